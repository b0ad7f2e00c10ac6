"""What every `ClaimShell` owes, as one suite: the fake host, `local`, an asyncssh server and OpenSSH's sshd run it.

A subclass gives a fixture `place`. Scripts have a twin for the fake in `FAKE`.
"""

import contextlib
import hashlib
import os
import secrets
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from drctl.adapters.carrier import Carried, Carrier, End, Order
from drctl.adapters.claims import ClaimedShell
from drctl.core.holdings import LinkError, Standing
from drctl.core.ports import MEBIBYTE, Claim, ClaimReply, ClaimShell, ClaimState, Command, Reach, Reply
from drctl.core.values import Duration, Secret
from drctl.core.whole import Whole
from tests.fakes.hosts import FakeHost, said

EFFECT = 'printf "%s\\n" "$WHO" >>"$EFFECTS"; printf done; printf warned >&2; exit 3'
HANG = 'printf "%s\\n" "$WHO" >>"$EFFECTS"; printf begun; sleep 600'
LARGE = "head -c 300000 /dev/zero"
LOOK = "printf out; printf err >&2; exit 4"
STAGED = 'cat "$DRCTL_STAGE/data"'
SHOWN = 'printf %s "$PASSWORD"'


PRINTS = "seq 20000; seq 5000 >&2"


@dataclass(slots=True)
class Cutting:
    """A carrier whose first answer breaks off `offset` bytes behind its frame; `came` counts what each brought.

    With `change` what came before is not what the host holds.
    """

    carrier: Carrier
    offset: int
    change: bool = False
    came: list[int] = field(default_factory=list)

    def exchange(self, order: Order) -> Carried:
        carried = self.carrier.exchange(order)
        start = carried.out.find(b" reply ")
        if start < 0:
            return carried
        self.came.append(len(carried.out))
        if len(self.came) > 1:
            return carried
        first = carried.out.index(b"\n", start) + 1
        part = carried.out[first : first + self.offset]
        part = part[::-1] if self.change else part
        return Carried(end=End.LOST, out=carried.out[:first] + part, because="cut")


@dataclass(slots=True)
class Place:
    """One host under test. `effects` lists who acted; `restart` gives it another boot id; `hang` prepares the fake."""

    shell: ClaimShell
    effects: Callable[[], list[str]]
    effects_file: str
    restart: Callable[[], None]
    hang: Callable[[], None] = field(default=lambda: None)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    def claim(self, key: str = "k1", *, run: str = "uid-a", epoch: int = 1, holder: str = "SHA256:a+/=") -> Claim:
        """A claim of this test; processes are found by its key, so no two tests share one."""
        return Claim(
            key=f"{self.mark}-{key}",
            run=run,
            run_id="7K3QF" if run == "uid-a" else "ZZZZZ",
            operator="li" if run == "uid-a" else "wang",
            epoch=epoch,
            holder=holder,
        )

    @property
    def other(self) -> Claim:
        """A claim of another run."""
        return self.claim("other", run="uid-b", holder="SHA256:b")

    def left(self) -> list[int]:
        """Live processes that this test's commands started, wherever they went."""
        cookie, found = f"DRCTL_CLAIM={self.mark}".encode(), []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if cookie in entry.read_bytes():
                    found.append(int(entry.parent.name))
        return found

    def clear(self) -> None:
        """End what a test left running."""
        for pid in self.left():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def command(
        self, script: str = EFFECT, seconds: float = 30, *, killable: bool = True, cap: int = MEBIBYTE
    ) -> Command:
        env: dict[str, str | Secret] = {"EFFECTS": self.effects_file, "WHO": "me"}
        return Command(script=script, env=env, timeout=Duration(int(seconds * 1e6)), killable=killable, cap=cap)


def fake_place(host: FakeHost) -> Place:
    """The suite on a host in memory: what the scripts do is said here."""
    host.on(EFFECT, said("done", 3, "warned")).on(HANG, said("begun"))
    host.on(LARGE, said(bytes(300000))).on(LOOK, said("out", 4, "err")).on(SHOWN, said("sesam"))
    host.on(STAGED, lambda _: said(next(iter(host.staged.values()))))
    return Place(host, lambda: ["me"] * len(host.effects), "effects", host.restart, host.hang)


def ended(answer: ClaimReply, state: ClaimState = ClaimState.RAN) -> Reply:
    assert answer.state is state, answer
    assert answer.reply is not None
    return answer.reply


class ShellConformance:
    """The suite."""

    def test_a_claimed_command_runs_and_its_whole_answer_comes_back(self, place: Place) -> None:
        answer = place.shell.run(place.claim(), place.command())
        reply = ended(answer)
        assert (reply.reach, reply.exit, reply.stdout, reply.stderr, reply.cut) == (
            Reach.COMPLETE, 3, b"done", b"warned", False,
        )  # fmt: skip
        assert answer.boot
        assert place.effects() == ["me"]

    def test_the_same_key_hands_back_the_outcome_and_runs_nothing(self, place: Place) -> None:
        first = ended(place.shell.run(place.claim(), place.command()))
        for again in (place.shell.run, place.shell.attach, place.shell.kill):
            reply = ended(again(place.claim(), place.command()), ClaimState.REATTACHED)
            assert (reply.exit, reply.stdout, reply.stderr) == (first.exit, first.stdout, first.stderr)
        assert place.effects() == ["me"]

    def test_another_command_under_the_key_is_a_defect_and_no_outcome(self, place: Place) -> None:
        place.shell.run(place.claim(), place.command())
        answer = place.shell.run(place.claim(), place.command(LARGE))
        assert answer.state is ClaimState.REFUSED
        assert answer.reply is None
        assert "defect" in answer.because

    def test_not_started_is_proven_by_taking_the_claim(self, place: Place) -> None:
        for ask in (place.shell.attach, place.shell.kill):
            key = place.claim(ask.__name__)
            assert ask(key, place.command()).state is ClaimState.NOT_STARTED
            assert place.shell.run(key, place.command()).state is ClaimState.NOT_STARTED
        assert place.effects() == []

    def test_a_command_over_its_limit_is_ended_and_stays_ended(self, place: Place) -> None:
        place.hang()
        answer = place.shell.run(place.claim(), place.command(HANG, 1))
        assert (answer.state, answer.gone) == (ClaimState.KILLED, True), answer
        assert place.left() == []
        assert answer.reply is not None
        assert (answer.reply.reach, answer.reply.exit) == (Reach.TIMEOUT, None)
        assert place.shell.attach(place.claim(), place.command(HANG, 1)).state is ClaimState.KILLED

    def test_what_must_not_be_ended_is_left_running(self, place: Place) -> None:
        place.hang()
        command = place.command(HANG, 1, killable=False)
        for call in (place.shell.run, place.shell.kill, place.shell.attach):
            answer = call(place.claim(), command)
            assert (answer.state, answer.gone) == (ClaimState.STILL_RUNNING, False), answer
        assert place.shell.kill(place.claim(), place.command(HANG, 1)).state is ClaimState.KILLED

    def test_a_host_belongs_to_the_run_that_acted_first_until_it_is_given_back(self, place: Place) -> None:
        place.shell.run(place.claim(), place.command())
        answer = place.shell.run(place.other, place.command())
        assert answer.state is ClaimState.REFUSED
        for part in ("held by another run", "7K3QF", "li"):
            assert part in answer.because
        assert place.shell.release(place.other).state is ClaimState.RAN  # gives back nothing that is not its own
        assert place.shell.run(place.other, place.command()).state is ClaimState.REFUSED
        assert place.shell.release(place.claim()).state is ClaimState.RAN
        assert place.shell.run(place.other, place.command()).state is ClaimState.RAN
        assert place.effects() == ["me", "me"]

    def test_giving_back_keeps_the_outcome_and_drops_the_outputs(self, place: Place) -> None:
        place.shell.run(place.claim(), place.command())
        for _ in range(2):
            assert place.shell.release(place.claim()).state is ClaimState.RAN
        reply = ended(place.shell.attach(place.claim(), place.command()), ClaimState.REATTACHED)
        assert (reply.exit, reply.stdout, reply.cut) == (3, b"", True)

    def test_an_older_epoch_and_a_second_holder_are_refused(self, place: Place) -> None:
        place.shell.run(place.claim(), place.command())
        newer = place.claim(key="k2", epoch=2, holder="SHA256:new")
        assert place.shell.run(newer, place.command()).state is ClaimState.RAN
        for late in (place.claim(key="k3"), place.claim(key="k3", epoch=2, holder="SHA256:third")):
            answer = place.shell.run(late, place.command())
            assert answer.state is ClaimState.REFUSED
            assert "SHA256:new" in answer.because
            assert place.shell.attach(late, place.command()).state is ClaimState.IN_DOUBT  # nothing is proven to it
            assert place.shell.release(late).state is ClaimState.REFUSED
            ending = replace(late, key=newer.key)
            assert place.shell.kill(ending, place.command()).state is ClaimState.IN_DOUBT  # nor may it end anything
        assert place.effects() == ["me", "me"]

    def test_taking_over_refuses_the_older_epoch_before_the_new_one_has_acted(self, place: Place) -> None:
        assert place.shell.standing(place.claim()) == Standing()
        place.shell.run(place.claim(), place.command())
        newer = place.claim(key="k2", epoch=3, holder="SHA256:new")
        for _ in range(2):
            assert place.shell.take(newer).state is ClaimState.RAN
        seen = place.shell.standing(place.claim())
        assert seen.owner is not None
        assert (seen.owner.run, seen.owner.run_id, seen.owner.operator) == ("uid-a", "7K3QF", "li")
        assert seen.newest is not None
        assert (seen.newest.epoch, seen.newest.holder, bool(seen.newest.since)) == (3, "SHA256:new", True)
        late = place.claim(key="k3")
        held = [place.shell.run(late, place.command()), place.shell.attach(late, place.command())]
        held += [place.shell.take(late), place.shell.release(late)]
        for answer in held:
            assert answer.held_by is not None
            assert answer.held_by.replaces
            assert (answer.held_by.epoch, answer.held_by.holder) == (3, "SHA256:new")
        with pytest.raises(LinkError) as refused:
            place.shell.stage(late, [b"x"])
        assert refused.value.held_by == held[0].held_by
        assert place.effects() == ["me"]

    def test_a_host_is_taken_from_a_run_that_is_given_up_and_from_no_other(self, place: Place) -> None:
        place.shell.run(place.claim(), place.command())
        refused = place.shell.run(place.other, place.command())
        assert refused.held_by is not None
        assert (refused.held_by.run, refused.held_by.replaces) == ("uid-a", False)
        assert "drctl takeover ZZZZZ --from uid-a" in refused.because
        for given_up in ("", "uid-c"):
            assert place.shell.take(place.other, given_up).state is ClaimState.REFUSED
        assert place.shell.take(place.other, "uid-a").state is ClaimState.RAN
        assert place.shell.run(place.other, place.command()).state is ClaimState.RAN
        for _ in range(2):  # while the other holds it, and after: only by taking it over may it act here again
            late = place.shell.run(place.claim(key="k2"), place.command())
            assert late.state is ClaimState.REFUSED
            assert late.held_by is not None
            assert (late.held_by.replaces, late.held_by.holder) == (False, "run:uid-b:ZZZZZ")
            assert place.shell.release(place.other).state is ClaimState.RAN
        again = place.claim(key="k2", epoch=3, holder="SHA256:again")
        assert place.shell.take(again).state is ClaimState.RAN
        assert place.shell.run(again, place.command()).state is ClaimState.RAN
        assert place.effects() == ["me"] * 3

    def test_what_still_runs_of_a_run_given_up_is_told(self, place: Place) -> None:
        place.hang()
        place.shell.run(place.claim(), place.command(HANG, 1, killable=False))
        taken = place.shell.take(place.other, "uid-a")
        assert (taken.state, taken.because[:12]) == (ClaimState.RAN, "1 command(s)")

    def test_a_restart_of_the_host_leaves_a_running_command_in_doubt_but_gone(self, place: Place) -> None:
        place.hang()
        command = place.command(HANG, 1, killable=False)
        place.shell.run(place.claim(), command)
        place.restart()
        answer = place.shell.attach(place.claim(), command)
        assert (answer.state, answer.gone) == (ClaimState.IN_DOUBT, True), answer

    def test_staged_bytes_reach_the_command_and_may_be_staged_again(self, place: Place) -> None:
        data = bytes(range(256)) * 700
        place.shell.stage(place.claim(), [b"first"])
        path = place.shell.stage(place.claim(), [data[:1000], b"", data[1000:]])
        assert path.endswith("/data")
        assert ended(place.shell.run(place.claim(), place.command(STAGED))).stdout == data
        assert place.shell.stage(place.claim(), [b"late"]) == path  # claimed by now: nothing is replaced under its feet
        assert ended(place.shell.run(place.claim(), place.command(STAGED)), ClaimState.REATTACHED).stdout == data

    def test_an_output_over_the_cap_is_cut_and_says_so(self, place: Place) -> None:
        reply = ended(place.shell.run(place.claim(), place.command(LARGE, cap=1000)))
        assert (reply.exit, len(reply.stdout), reply.cut) == (0, 1000, True)
        look = place.shell.read(place.command(LARGE, cap=1000))
        assert (look.exit, len(look.stdout), look.cut) == (0, 1000, True)
        everything = {"stdout": Whole(size=300000, sha256=hashlib.sha256(bytes(300000)).hexdigest())}
        assert (reply.whole, look.whole) == (everything, everything)
        assert place.shell.read(place.command(LARGE, cap=299_900)).whole == everything
        secret = replace(place.command(LARGE, cap=1000), sensitive=True)
        if not isinstance(place.shell, FakeHost):
            assert place.shell.read(secret).whole == {"stdout": Whole(size=300000)}
            private = ended(place.shell.run(place.claim("k2"), secret))
            assert {one.sha256 for one in private.whole.values()} == {""}
        assert len(place.shell.read(place.command(LARGE)).stdout) == 300000

    def test_an_answer_that_broke_off_is_gone_on_with_from_the_byte_where_it_did(self, place: Place) -> None:
        if not isinstance(place.shell, ClaimedShell):
            pytest.skip("the fake has no link")
        whole = ended(place.shell.run(place.claim("whole"), place.command(PRINTS)))
        for offset in (1, 5000, 70_000, 120_000, 130_000):
            cutting = place.shell._carrier = Cutting(place.shell._carrier, offset)
            again = ended(place.shell.run(place.claim(f"at-{offset}"), place.command(PRINTS)), ClaimState.REATTACHED)
            place.shell._carrier = cutting.carrier
            assert (again.stdout, again.stderr, again.cut) == (whole.stdout, whole.stderr, False)
            assert cutting.came[1] < len(whole.stdout) + len(whole.stderr) - offset + 1000

    def test_another_output_than_the_one_that_broke_off_is_given_from_its_beginning(self, place: Place) -> None:
        if not isinstance(place.shell, ClaimedShell):
            pytest.skip("the fake has no link")
        cutting = place.shell._carrier = Cutting(place.shell._carrier, 50_000, change=True)
        whole = ended(place.shell.run(place.claim(), place.command(PRINTS)), ClaimState.REATTACHED)
        place.shell._carrier = cutting.carrier
        assert (
            whole.stdout
            == ended(place.shell.attach(place.claim(), place.command(PRINTS)), ClaimState.REATTACHED).stdout
        )
        assert cutting.came[1] > len(whole.stdout)

    def test_a_look_gives_its_exit_code_and_both_streams(self, place: Place) -> None:
        reply = place.shell.read(place.command(LOOK))
        assert (reply.reach, reply.exit, reply.stdout, reply.stderr) == (Reach.COMPLETE, 4, b"out", b"err")
        assert place.effects() == []

    def test_a_look_over_its_limit_is_a_timeout(self, place: Place) -> None:
        place.hang()
        reply = place.shell.read(place.command("sleep 600", 1))
        assert (reply.reach, reply.exit) == (Reach.TIMEOUT, None)
        assert "was ended" in reply.because

    def test_twenty_threads_act_and_look_at_once(self, place: Place) -> None:
        start = threading.Barrier(20)

        def both(number: int) -> tuple[ClaimState, int | None]:
            start.wait()
            answer = place.shell.run(place.claim(key=f"k{number % 10}"), place.command(seconds=60))
            return answer.state, place.shell.read(place.command(LOOK, 60)).exit

        with ThreadPoolExecutor(20) as pool:
            got = list(pool.map(both, range(20)))
        assert {code for _, code in got} == {4}
        assert sorted(state.value for state, _ in got) == ["ran"] * 10 + ["reattached"] * 10
        assert place.effects() == ["me"] * 10
