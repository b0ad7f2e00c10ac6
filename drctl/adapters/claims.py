"""Looks and claimed commands on any carrier: the rules of design section 6, from the control node's side.

The host's side is `claim_wrapper.sh`; the texts and frames are `claim_text`; the links are `ssh` and `local`. Nothing
here guesses: an exit code is read from the host, "not started" is proven by taking the claim, everything else is in
doubt. Becoming another user is `become`.
"""

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from drctl.adapters import claim_text
from drctl.adapters.become import Sudo
from drctl.adapters.carrier import Carried, Carrier, Counted, End, Order
from drctl.core.holdings import LinkError, Standing
from drctl.core.nouns import replace
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command, Reach, Reply
from drctl.core.values import Duration
from drctl.core.whole import Whole

_GRACE = 20.0  # seconds after a command's limit: 5 for TERM, 3 for KILL, the rest for the link
_RECOVER = 60.0  # seconds in which a lost link is opened again, inside the command's own limit
_PAUSES = (0.1, 0.3, 1.0, 2.0)  # seconds between two attempts at that; the last one repeats
_STAGING = 60_000_000  # microseconds for each word about staged bytes
_STAGE = """IFS= read -r p && IFS= read -r n && umask 077 && cat >"$p.$n" && printf "\\n@%s end\\n" "$n\""""
_MARGIN = 65536  # bytes beside the outputs: frames, and what a noisy login shell prints

_LOOKING = frozenset({"endlook", "standing"})  # modes that change nothing but what is drctl's own

_STATES = {
    "ran": ClaimState.RAN,
    "reattached": ClaimState.REATTACHED,
    "void": ClaimState.NOT_STARTED,
    "killed": ClaimState.KILLED,
    "running": ClaimState.STILL_RUNNING,
    "indoubt": ClaimState.IN_DOUBT,
    "gone": ClaimState.IN_DOUBT,  # its end is unknown, but nothing of it runs any more
    "released": ClaimState.RAN,
    "ready": ClaimState.RAN,
    "stage": ClaimState.RAN,
    "staged": ClaimState.RAN,
}


class ClaimedShell:
    """A `ClaimShell` over a carrier, for one host or for this machine.

    Args:
        carrier: the link.
        name: the host's name, for messages.
        state_dir: the folder for claims on the host; None is `drctl` in the user's state folder.
        shell: the shell that commands run in.
        sudo: how another user's shell is had; by default sudo asks for no password.
    """

    def __init__(
        self,
        carrier: Carrier,
        name: str,
        state_dir: str | None = None,
        shell: str = "/bin/sh",
        sudo: Sudo | None = None,
    ) -> None:
        self._carrier = carrier
        self._name = name
        self._state_dir = state_dir or ""
        self._shell = shell
        self._sudo = sudo or Sudo(host=name)
        self._lock = threading.Lock()
        self._became: set[tuple[str, str]] = set()

    # --- looking ------------------------------------------------------------------------------------------------------

    def read(self, command: Command) -> Reply:
        """Run a look. A link that breaks is opened once more: a look may be repeated."""
        limit = time.monotonic() + _seconds(command)
        mark, carried = self._look(command, limit)
        begun = claim_text.seen(mark, carried.out)
        if carried.end is End.LOST and begun.pid and limit - time.monotonic() >= 1:
            left = min(_GRACE, limit - time.monotonic())
            self._end_look(command, mark, begun, left)  # it goes on there, and the host would carry out both
        if carried.end is End.LOST and limit - time.monotonic() >= 1:
            mark, carried = self._look(command, limit)
        return self._look_reply(command, mark, carried, limit)

    def _look(self, command: Command, limit: float) -> tuple[str, Carried]:
        mark = claim_text.nonce()
        shell, door = self._sudo.way(command.as_user, self._shell)
        order = Order(
            shell=shell,
            door=door,
            stdin=(claim_text.look_text(mark, command, self._shell),),
            mark=claim_text.look_mark(mark),
            opens=b"" if claim_text.is_private(command) else claim_text.look_opens(mark),
            both=True,
            seconds=limit - time.monotonic(),
            cap=command.cap + _MARGIN,
        )
        return mark, self._carrier.exchange(order)

    def _look_reply(self, command: Command, mark: str, carried: Carried, limit: float) -> Reply:
        out, err = claim_text.seen(mark, carried.out), claim_text.seen(mark, carried.err)
        because, reach, code = carried.because, Reach.COMPLETE, out.exit
        if out.exit is None:
            if carried.end is End.TIMEOUT:
                reach = Reach.TIMEOUT
                because = because or f"no end within {command.timeout.human()}"
                if out.pid:
                    because += f"; {self._end_look(command, mark, out, _GRACE)}"
            else:
                reach = Reach.UNREACHABLE
                because = because or self._mute(carried, command.as_user)
        whole = {
            "stdout": claim_text.whole(mark, carried.out, carried.out_gone, command.cap),
            "stderr": claim_text.whole(mark, carried.err, carried.err_gone, command.cap),
        }
        if claim_text.is_private(command):
            whole = {name: one and Whole(size=one.size) for name, one in whole.items()}
        return Reply(
            reach=reach,
            exit=code,
            stdout=out.content[: command.cap],
            stderr=err.content[: command.cap],
            cut=carried.cut or max(len(out.content), len(err.content)) > command.cap,
            whole={name: one for name, one in whole.items() if one is not None},
            because=because,
            elapsed=_elapsed(command, limit),
            host_key=carried.host_key,
        )

    def _end_look(self, command: Command, mark: str, look: claim_text.Seen, seconds: float) -> str:
        values = {"pid": str(look.pid), "st": look.since, "k": mark}
        answer, carried = self._ask("endlook", values, seconds=seconds, user=command.as_user, spare=True)
        if isinstance(answer, claim_text.Held):
            return f"the look (process {look.pid}) could not be ended: {carried.because or 'no answer'}"
        return "the look was ended" if answer.state == "killed" else f"the look could not be ended: {answer.note}"

    # --- acting -------------------------------------------------------------------------------------------------------

    def run(self, claim: Claim, command: Command) -> ClaimReply:
        """Run under the claim, or hand back what became of it. After a lost link the claim itself is asked."""
        limit = time.monotonic() + _seconds(command)
        if command.as_user is not None:
            problem = self._become(claim, command, limit)
            if problem is not None:
                return problem
        program = claim_text.program(command)
        reply, timed_out = self._insist("run", claim, command, limit, {"p": program})
        if not timed_out:
            return reply
        reply = self.kill(claim, command)
        if reply.state is ClaimState.UNREACHABLE:  # now; the command itself was sent
            return self._doubt(reply.because)
        return reply

    def attach(self, claim: Claim, command: Command) -> ClaimReply:
        """Look at the claim; wait for its command to end, at most as long as the command's limit, and never end it."""
        limit = time.monotonic() + _seconds(command)
        reply, timed_out = self._insist("attach", claim, command, limit, {})
        return self._after_limit("attach", claim, command, "no answer") if timed_out else reply

    def kill(self, claim: Claim, command: Command) -> ClaimReply:
        """End the command, seen to be gone; one that must not be ended is only looked at."""
        if not command.killable:
            return self._after_limit("attach", claim, command, "not to be ended")
        return self._after_limit("kill", claim, command, "no answer")

    def _after_limit(self, mode: str, claim: Claim, command: Command, why: str) -> ClaimReply:
        """Ask once more, beyond the command's own limit, without waiting for its end."""
        limit = time.monotonic() + _GRACE
        reply, timed_out = self._insist(mode, claim, command, limit, {"t": "0"}, spare=True)
        if timed_out:
            because = (
                f"its limit of {command.timeout.human()} passed, and {self._name} did not say how it stands ({why})"
            )
            return ClaimReply(state=ClaimState.IN_DOUBT, because=because)
        return reply

    def _insist(
        self, mode: str, claim: Claim, command: Command, limit: float, extra: dict[str, str], *, spare: bool = False
    ) -> tuple[ClaimReply, bool]:
        """Ask until an answer is there or the limit passes; True says that it passed on an open link."""
        sent, lost_since, attempt, because, held = False, 0.0, 0, "", claim_text.NOTHING
        while True:
            left = limit - time.monotonic()
            values = (
                claim_text.claim_values(claim, _now())
                | {
                    "g": command.digest,
                    "cap": str(command.cap),
                    "t": str(max(0, int(left))),
                    "priv": str(int(claim_text.is_private(command))),
                    "kill": str(int(command.killable)),
                    "p": "",
                }
                | held.values
            )
            answer, carried = self._ask(
                mode, values | extra, seconds=left, user=command.as_user, cap=2 * command.cap, spare=spare, held=held
            )
            if isinstance(answer, claim_text.Answer):
                reply = self._claim_reply(answer, carried, command, claim, asking=mode in ("attach", "kill"))
                if mode == "run" and reply.reply is not None:
                    reply = replace(reply, reply=replace(reply.reply, elapsed=_elapsed(command, limit)))
                return reply, False
            held = answer
            if carried.end is End.TIMEOUT:
                return self._doubt(carried.because or carried.end.value), True
            certain = carried.end in (End.NO_LINK, End.REFUSED)
            if certain and not sent:
                state = ClaimState.UNREACHABLE if carried.end is End.NO_LINK else self._refusal(mode)
                return ClaimReply(state=state, because=carried.because), False
            if carried.end is End.DONE and not sent and carried.status is not None and not answer.began:
                because = self._mute(carried, command.as_user)
                return ClaimReply(state=self._refusal(mode), because=because), False
            because = carried.because or self._mute(carried)
            sent, now = True, time.monotonic()
            lost_since = lost_since or now
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            attempt += 1
            if now + pause >= min(limit, lost_since + _RECOVER):
                return self._doubt(because), False
            time.sleep(pause)

    def _refusal(self, mode: str) -> ClaimState:
        """Say what a refusal proves: that an act did not begin; nothing about one that was sent earlier."""
        return ClaimState.IN_DOUBT if mode in ("attach", "kill") else ClaimState.REFUSED

    def _doubt(self, because: str) -> ClaimReply:
        return ClaimReply(
            state=ClaimState.IN_DOUBT,
            because=f"{self._name}: {because}; the command may have begun, its end is unknown",
        )

    def _claim_reply(
        self, answer: claim_text.Answer, carried: Carried, command: Command, claim: Claim, *, asking: bool
    ) -> ClaimReply:
        unproven = asking and answer.state not in ("digest", "refused")
        state = _STATES.get(answer.state, ClaimState.IN_DOUBT if unproven else ClaimState.REFUSED)
        because = answer.note
        if answer.state in ("ran", "reattached") and answer.exit is None:  # only an integer that was read is an end
            state, because = ClaimState.IN_DOUBT, f"{self._name}: the claim holds no exit code that can be read"
        held_by = claim_text.holding(answer)
        if held_by is not None:
            because = claim_text.told(self._name, held_by, claim)
        elif answer.state == "digest":
            because = f"defect: the key was {answer.note}; this is no outcome of this step"
        elif answer.state not in _STATES:
            because = f"{self._name} refused: {answer.note}"
        reply = None
        if state in (ClaimState.RAN, ClaimState.REATTACHED, ClaimState.KILLED) and answer.state in _STATES:
            known = state is not ClaimState.KILLED
            reply = Reply(
                reach=Reach.COMPLETE if known else Reach.TIMEOUT,
                exit=answer.exit if known else None,
                stdout=answer.out,
                stderr=answer.err,
                cut=answer.cut,
                whole=answer.whole,
                because="" if known else f"no end within {command.timeout.human()}: {answer.note}",
                host_key=carried.host_key,
            )
        return ClaimReply(
            state=state,
            reply=reply,
            because=because,
            boot="" if answer.boot == "-" else answer.boot,
            gone=answer.state in ("gone", "killed"),
            held_by=held_by,
        )

    # --- staging, giving back -----------------------------------------------------------------------------------------

    def stage(self, claim: Claim, chunks: Iterable[bytes], as_user: str | None = None) -> str:
        """Send the bytes beside the claim, then move them into place when their number is right."""
        if as_user is not None:
            asking = Command(script=":", as_user=as_user, timeout=Duration(_STAGING))
            problem = self._become(claim, asking, time.monotonic() + _seconds(asking))
            if problem is not None:
                raise LinkError(problem.because, began=False, held_by=problem.held_by)
        place = self._placed(claim, "stage", {}, as_user)
        if place.state == "staged":  # claimed before: its command may be reading the bytes
            return place.note
        part, counted = claim_text.nonce(), Counted(chunks)
        mark = f"\n@{part} end\n".encode()
        shell, door = self._sudo.way(as_user, self._shell, _STAGE)
        order = Order(
            shell=shell,
            door=door,
            stdin=counted.stream(f"{place.note}\n{part}\n".encode()),
            mark=mark,
            seconds=86400.0,
            cap=_MARGIN,
        )
        carried = self._carrier.exchange(order)
        if mark not in carried.out or not counted.all:
            because = carried.because or self._mute(carried)
            raise LinkError(f"{self._name}: staging {counted.size} bytes: {because}", began=False)
        return self._placed(claim, "commit", {"part": part, "size": str(counted.size)}, as_user).note

    def _placed(self, claim: Claim, mode: str, extra: dict[str, str], user: str | None) -> claim_text.Answer:
        values = claim_text.claim_values(claim, _now()) | extra
        for _ in range(2):  # nothing outside drctl's own folder is touched: it may be said twice
            answer, carried = self._ask(mode, values, seconds=_STAGING / 1e6, user=user)
            if isinstance(answer, claim_text.Answer):
                break
        else:
            raise LinkError(f"{self._name}: {carried.because or self._mute(carried, user)}", began=False)
        if answer.state not in ("stage", "staged"):
            held_by = claim_text.holding(answer)
            because = claim_text.told(self._name, held_by, claim) if held_by else f"{self._name} refused: {answer.note}"
            raise LinkError(because, began=False, held_by=held_by)
        return answer

    def release(self, claim: Claim) -> ClaimReply:
        """Give the host back, for the login user and for every user this run became; safe to repeat."""
        reply = self._owning("release", claim, None)
        if reply.state is ClaimState.RAN:
            for user in reply.because.split():
                other = self._owning("release", claim, user)
                if other.state is not ClaimState.RAN:
                    return other
        with self._lock:
            self._became = {entry for entry in self._became if entry[0] != claim.run}
        if reply.state is ClaimState.RAN:
            return ClaimReply(state=ClaimState.RAN, reply=Reply(reach=Reach.COMPLETE, exit=0), boot=reply.boot)
        return reply

    def standing(self, claim: Claim) -> Standing:
        """Look who owns the host for the login user, and the newest epoch of this run there."""
        answer, carried = self._ask("standing", claim_text.claim_values(claim, _now()), seconds=30.0)
        if not isinstance(answer, claim_text.Answer):
            return Standing(because=carried.because or self._mute(carried))
        return claim_text.standing(answer)

    def take(self, claim: Claim, given_up: str = "") -> ClaimReply:
        """Announce the epoch and own the host, for the login user and every user that either run became there."""
        reply = self._owning("take", claim, None, given_up)
        if reply.state is not ClaimState.RAN:
            return reply
        open_there, *users = reply.because.split()
        for user in users:
            other = self._owning("take", claim, user, given_up)
            if other.state is not ClaimState.RAN:
                return other
            open_there = str(int(open_there) + int(other.because.split()[0]))
        because = f"{open_there} command(s) of the run given up have no end there" if open_there != "0" else ""
        return ClaimReply(state=ClaimState.RAN, because=because, boot=reply.boot)

    def _owning(self, mode: str, claim: Claim, user: str | None, given_up: str = "") -> ClaimReply:
        """Take the host or give it back, in the folder of one user; done already is done."""
        values = claim_text.claim_values(claim, _now()) | {"from": claim_text.checked(given_up)}
        answer, carried = self._ask(mode, values, seconds=30.0, user=user)
        if isinstance(answer, claim_text.Answer):
            state = ClaimState.RAN if answer.state in ("released", "ready") else ClaimState.REFUSED
            held_by = claim_text.holding(answer)
            because = claim_text.told(self._name, held_by, claim) if held_by is not None else answer.note
            return ClaimReply(state=state, because=because, boot=answer.boot, held_by=held_by)
        if carried.end is End.NO_LINK:
            return ClaimReply(state=ClaimState.UNREACHABLE, because=carried.because)
        if carried.end is End.REFUSED:
            return ClaimReply(state=ClaimState.REFUSED, because=carried.because)
        return self._doubt(carried.because or self._mute(carried))

    def _become(self, claim: Claim, command: Command, limit: float) -> ClaimReply | None:
        """Hold the host as the login user too, and leave a note of the user whose folder must be given back."""
        user = command.as_user or ""
        self._sudo.way(user, self._shell)  # what is no name of a user is refused before a folder has it
        with self._lock:
            if (claim.run, user) in self._became:
                return None
        reply, timed_out = self._insist(
            "become", claim, _as_login(command), min(limit, time.monotonic() + 30), {"user": user}
        )
        if reply.state is not ClaimState.RAN:
            if timed_out or reply.state is ClaimState.IN_DOUBT:  # nothing of the command itself was sent
                return ClaimReply(state=ClaimState.UNREACHABLE, because=reply.because.split(";")[0])
            return reply
        with self._lock:
            self._became.add((claim.run, user))
        return None

    # --- saying -------------------------------------------------------------------------------------------------------

    def _ask(
        self,
        mode: str,
        values: dict[str, str],
        *,
        seconds: float,
        user: str | None = None,
        cap: int = 0,
        spare: bool = False,
        held: claim_text.Held = claim_text.NOTHING,
    ) -> tuple[claim_text.Answer | claim_text.Held, Carried]:
        """Say one text of the wrapper: its answer, or what is held of one that is not whole, and what was carried."""
        mark = claim_text.nonce()
        state_dir = "" if user is not None else self._state_dir
        text = claim_text.wrapper_text(mark, mode, {"d": state_dir, "sh": self._shell} | values)
        shell, door = self._sudo.way(user, self._shell)
        carried = self._carrier.exchange(
            Order(
                shell=shell,
                door=door,
                stdin=(text,),
                mark=claim_text.wrapper_mark(mark),
                seconds=max(0.001, seconds),
                cap=cap + _MARGIN,
                act=mode not in _LOOKING,
                spare=spare,
            )
        )
        return claim_text.answer(mark, carried.out, held), carried

    def _mute(self, carried: Carried, user: str | None = None) -> str:
        """Say what a host, or its sudo, said instead of answering."""
        if user is not None:
            return self._sudo.refusal(user, carried)
        said = (carried.err or carried.out).strip().splitlines()
        first = said[0].decode("utf-8", "replace")[:200] if said else "nothing"
        status = "" if carried.status is None else f", exit status {carried.status}"
        return f"{self._name} ran no shell for drctl; it said: {first}{status}"


def _seconds(command: Command) -> float:
    return max(0.001, command.timeout.micros / 1e6)


def _elapsed(command: Command, limit: float) -> Duration:
    """Time since the attempt began, connecting included."""
    return Duration(max(0, round((time.monotonic() - limit) * 1e6) + command.timeout.micros))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_login(command: Command) -> Command:
    return Command(script=":", timeout=command.timeout)
