"""A host in memory, with the claim rules of the real wrapper: keys, digests, owner, epochs, voids, restarts.

    host = FakeHost("db1")
    host.on("pg_promote", said("t"))                     # a look or an act whose script contains this text
    host.on("systemctl stop", lambda command: 5)         # an exit code, a text, a Reply, or a function giving one
    host.lose_link("after")                              # the next act happens, its answer does not arrive
    host.effects                                         # scripts of the acts that really ran, in order

Nothing takes time; `advance` is told how long a real host would have taken until a limit. Its conformance to the real
thing is checked by tests/adapters/shell_conformance.py, the same suite that the real shells run.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from drctl.adapters import claim_text
from drctl.core.holdings import GIVEN, Holding, LinkError, Standing
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command, Reach, Reply
from drctl.core.values import Duration
from drctl.core.whole import Whole

Answer = Reply | str | bytes | int | None
Behaviour = Answer | Callable[[Command], Answer]
Match = str | Callable[[Command], bool]
Fault = Literal["before", "after", "during", "refuse", "hang"]


def said(stdout: str | bytes = b"", exit: int = 0, stderr: str | bytes = b"") -> Reply:  # noqa: A002 - the word of Reply
    """A complete reply."""
    out = stdout.encode() if isinstance(stdout, str) else stdout
    err = stderr.encode() if isinstance(stderr, str) else stderr
    return Reply(reach=Reach.COMPLETE, exit=exit, stdout=out, stderr=err)


@dataclass(slots=True)
class _Entry:
    digest: str
    boot: str
    script: str
    state: Literal["running", "void", "killed", "over"]
    reply: Reply | None = None
    pending: Callable[[], Reply] | None = None


@dataclass(slots=True)
class FakeHost:
    """A `ClaimShell`. `effects` are acts that ran, `looks` every look, `asked` every call on a claim, in order."""

    name: str = "host"
    boot: str = "boot-1"
    advance: Callable[[Duration], None] = lambda _: None
    effects: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    staged: dict[str, bytes] = field(default_factory=dict)
    down: bool = False
    full: bool = False
    owner: Claim | None = None
    _rules: list[tuple[Match, Behaviour]] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _claims: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    _epochs: dict[str, dict[int, str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- arranging ----------------------------------------------------------------------------------------------------

    def on(self, match: Match, answer: Behaviour) -> "FakeHost":
        """Say what a script does; the rule added last is tried first."""
        self._rules.insert(0, (match, answer))
        return self

    def lose_link(self, when: Literal["before", "after", "during"] = "after", times: int = 1) -> None:
        """Lose the link on the next acts: before anything began, after the effect, or while the command goes on."""
        self._faults += [when] * times

    def refuse(self, times: int = 1) -> None:
        """Let the next acts be refused by the host before anything ran."""
        self._faults += ["refuse"] * times

    def hang(self, times: int = 1) -> None:
        """Let the next acts, or looks, not end by themselves."""
        self._faults += ["hang"] * times

    def finish(self) -> None:
        """Let every command that still runs come to its end."""
        with self._lock:
            for entry in self._claims.values():
                self._settle(entry)

    def restart(self) -> None:
        """Reboot: what ran is gone and left no exit code."""
        number = int(self.boot.rpartition("-")[2]) + 1
        self.boot = f"boot-{number}"

    def count(self, text: str) -> int:
        """How often an act whose script contains the text really ran."""
        return sum(text in script for script in self.effects)

    # --- the port -----------------------------------------------------------------------------------------------------

    def read(self, command: Command) -> Reply:
        with self._lock:
            self.looks.append(command.script)
            if self.down:
                return Reply(reach=Reach.UNREACHABLE, because=f"refused: nothing listens at {self.name}")
            if self._faults and self._faults[0] == "hang":
                self._faults.pop(0)
                self.advance(command.timeout)
                return Reply(reach=Reach.TIMEOUT, because="no end within its limit; the look was ended")
            return self._capped(command, self._behave(command))

    def run(self, claim: Claim, command: Command) -> ClaimReply:
        with self._lock:
            self.asked.append(("run", claim.key))
            if self.down:
                return ClaimReply(state=ClaimState.UNREACHABLE, because=f"refused: nothing listens at {self.name}")
            fault = self._faults.pop(0) if self._faults else None
            if fault == "before":
                return self._doubt("reset: the link broke")
            entry = self._claims.get((claim.run, claim.key))
            if entry is not None:
                return self._found(entry, command, kill=command.killable)
            refusal = self._fence(claim) or self._own(claim)
            if refusal is None and (self.full or fault == "refuse"):
                refusal = ClaimReply(state=ClaimState.REFUSED, because=f"{self.name} refused: no room")
            return refusal or self._begin(claim, command, fault)

    def attach(self, claim: Claim, command: Command) -> ClaimReply:
        return self._ask("attach", claim, command, kill=False)

    def kill(self, claim: Claim, command: Command) -> ClaimReply:
        return self._ask("kill", claim, command, kill=command.killable)

    def stage(self, claim: Claim, chunks: Iterable[bytes], as_user: str | None = None) -> str:
        with self._lock:
            self.asked.append(("stage", claim.key))
            data = b"".join(chunks)
            if self.down:
                raise LinkError(f"{self.name}: refused", began=False)
            refusal = self._fence(claim)
            if refusal is not None or self.full:
                because, by = (refusal.because, refusal.held_by) if refusal else (f"{self.name} refused: no room", None)
                raise LinkError(because, began=False, held_by=by)
            path = f"/state{'' if as_user is None else f'-of-{as_user}'}/runs/{claim.run}/stage/{claim.key}/data"
            if (claim.run, claim.key) not in self._claims:
                self.staged[path] = data
            return path

    def release(self, claim: Claim) -> ClaimReply:
        with self._lock:
            self.asked.append(("release", claim.run))
            if self.down:
                return ClaimReply(state=ClaimState.UNREACHABLE, because=f"refused: nothing listens at {self.name}")
            refusal = self._fence(claim)
            if refusal is not None:
                return refusal
            if self.owner is not None and self.owner.run == claim.run:
                self.owner = None
            for (run, _), entry in self._claims.items():
                if run == claim.run and entry.reply is not None:
                    entry.reply = replace(entry.reply, stdout=b"", stderr=b"", cut=True)
            self.staged.clear()
            return ClaimReply(state=ClaimState.RAN, reply=said(), boot=self.boot)

    def standing(self, claim: Claim) -> Standing:
        with self._lock:
            self.asked.append(("standing", claim.run))
            if self.down:
                return Standing(because=f"refused: nothing listens at {self.name}")
            seen = self._epochs.get(claim.run, {})
            newest = _epoch(max(seen), seen[max(seen)]) if seen else None
            return Standing(owner=_owner(self.owner) if self.owner else None, newest=newest)

    def take(self, claim: Claim, given_up: str = "") -> ClaimReply:
        with self._lock:
            self.asked.append(("take", claim.run))
            if self.down:
                return ClaimReply(state=ClaimState.UNREACHABLE, because=f"refused: nothing listens at {self.name}")
            refusal = self._fence(claim)
            if refusal is None and self.owner is not None and self.owner.run == given_up:
                seen = self._epochs.setdefault(given_up, {})
                seen[max(seen, default=0) + 1] = f"{GIVEN}{claim.run}:{claim.run_id}"
                self.owner = claim
            refusal = refusal or self._own(claim)
            pending = sum(run == given_up and one.state == "running" for (run, _), one in self._claims.items())
            because = f"{pending} command(s) of the run given up have no end there" if pending else ""
            return refusal or ClaimReply(state=ClaimState.RAN, because=because, boot=self.boot)

    # --- the rules of the wrapper -------------------------------------------------------------------------------------

    def _ask(self, what: str, claim: Claim, command: Command, *, kill: bool) -> ClaimReply:
        with self._lock:
            self.asked.append((what, claim.key))
            if self.down:
                return ClaimReply(state=ClaimState.UNREACHABLE, because=f"refused: nothing listens at {self.name}")
            entry = self._claims.get((claim.run, claim.key))
            refusal = self._fence(claim) if entry is None or what == "kill" else None
            if refusal is not None or (entry is None and self.full):  # the claim was not taken: nothing is proven
                because = refusal.because if refusal else f"{self.name} refused: no room"
                by = refusal.held_by if refusal else None
                return ClaimReply(state=ClaimState.IN_DOUBT, because=because, boot=self.boot, held_by=by)
            if entry is None:
                entry = _Entry(command.digest, self.boot, command.script, "void")
                self._claims[claim.run, claim.key] = entry
                return ClaimReply(state=ClaimState.NOT_STARTED, because="claimed and voided now", boot=self.boot)
            return self._found(entry, command, kill=kill)

    def _found(self, entry: _Entry, command: Command, *, kill: bool) -> ClaimReply:
        if entry.digest != command.digest:
            because = f"defect: the key was claimed for another command (digest {entry.digest}, not {command.digest})"
            return ClaimReply(state=ClaimState.REFUSED, because=because, boot=self.boot)
        if entry.state != "running":
            return self._known(entry, command, ClaimState.REATTACHED)
        if entry.boot != self.boot:
            because = f"the host was restarted since (boot {entry.boot}, now {self.boot})"
            return ClaimReply(state=ClaimState.IN_DOUBT, because=because, boot=self.boot, gone=True)
        if kill:
            entry.state = "killed"
            return self._known(entry, command, ClaimState.KILLED)
        return ClaimReply(state=ClaimState.STILL_RUNNING, because="still running as process 4711", boot=self.boot)

    def _known(self, entry: _Entry, command: Command, state: ClaimState) -> ClaimReply:
        if entry.state == "void":
            because = "this key was voided before anything was started"
            return ClaimReply(state=ClaimState.NOT_STARTED, because=because, boot=self.boot)
        if entry.state == "killed":
            because = "ended by drctl, and seen to be gone"
            reply = Reply(reach=Reach.TIMEOUT, because=because)
            return ClaimReply(state=ClaimState.KILLED, reply=reply, because=because, boot=self.boot, gone=True)
        reply = self._capped(command, entry.reply or said())
        return ClaimReply(state=state, reply=reply, boot=self.boot)

    def _doubt(self, because: str) -> ClaimReply:
        because = f"{self.name}: {because}; the command may have begun, its end is unknown"
        return ClaimReply(state=ClaimState.IN_DOUBT, because=because)

    def _begin(self, claim: Claim, command: Command, fault: Fault | None) -> ClaimReply:
        entry = _Entry(command.digest, self.boot, command.script, "running", pending=lambda: self._behave(command))
        self._claims[claim.run, claim.key] = entry
        if fault == "hang":
            self.advance(command.timeout)
            return self._found(entry, command, kill=command.killable)
        if fault != "during":
            self._settle(entry)
        return self._doubt("reset: the link broke") if fault else self._known(entry, command, ClaimState.RAN)

    def _settle(self, entry: _Entry) -> None:
        if entry.state == "running" and entry.boot == self.boot and entry.pending is not None:
            self.effects.append(entry.script)
            entry.reply, entry.state = entry.pending(), "over"

    def _fence(self, claim: Claim) -> ClaimReply | None:
        seen = self._epochs.setdefault(claim.run, {})
        holder = seen.setdefault(claim.epoch, claim.holder)
        newest = max(seen)
        if holder == claim.holder and newest == claim.epoch:
            return None
        by = _epoch(newest, seen[newest]) if newest > claim.epoch else _epoch(claim.epoch, holder)
        return self._held_by(by, claim)

    def _held_by(self, by: Holding, claim: Claim) -> ClaimReply:
        because = claim_text.told(self.name, by, claim)
        return ClaimReply(state=ClaimState.REFUSED, because=because, boot=self.boot, held_by=by)

    def _own(self, claim: Claim) -> ClaimReply | None:
        self.owner = self.owner or claim
        return None if self.owner.run == claim.run else self._held_by(_owner(self.owner), claim)

    def _behave(self, command: Command) -> Reply:
        for match, answer in self._rules:
            if match(command) if callable(match) else match in command.script:
                given = answer(command) if callable(answer) else answer
                if isinstance(given, Reply):
                    return given
                return said(exit=given) if isinstance(given, int) else said(given or b"")
        return said(exit=127, stderr=f"FakeHost {self.name} was not told what this does: {command.script}")

    def _capped(self, command: Command, reply: Reply) -> Reply:
        streams = {"stdout": reply.stdout, "stderr": reply.stderr}
        whole = {
            name: Whole(size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in streams.items()
            if len(data) > command.cap
        }
        cut = reply.cut or bool(whole)
        begun = {name: data[: command.cap] for name, data in streams.items()}
        return replace(reply, stdout=begun["stdout"], stderr=begun["stderr"], cut=cut, whole=whole)


SINCE = "2026-11-23T15:00:00Z"


def _owner(claim: Claim) -> Holding:
    return Holding(run=claim.run, run_id=claim.run_id, operator=claim.operator, since=SINCE)


def _epoch(number: int, holder: str) -> Holding:
    return Holding(epoch=number, holder=holder, operator="somebody", since=SINCE)
