"""Would the suite notice? Builds of drctl broken on purpose, one for each thing that must never happen.

    python -m tests.campaign.test_mutations      prints the table

A row says what is broken, how, who has to notice (a campaign at a small count, or the named test of the claims' own
suite) and by which promise. The sabotage tests beside each campaign go further into that campaign; this is the whole.
"""

import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drctl.adapters import claim_text, recovery
from drctl.adapters.carrier import End
from drctl.adapters.claims import ClaimedShell
from drctl.adapters.journal import JournalWriter
from drctl.adapters.local import LocalShell
from drctl.adapters.secrets import Masker
from drctl.core import events as ev
from drctl.core.fold import Entry
from drctl.core.states import StepState
from drctl.engine.acts import Acts
from drctl.engine.ledger import Ledger
from drctl.engine.recorder import Recorder, Sealed
from tests.adapters.shell_conformance import Place, ShellConformance
from tests.adapters.test_claims_sabotage import SABOTAGE
from tests.campaign import engine_kills, power_loss, ssh_resets, syscall_kills
from tests.campaign.registry import campaigns
from tests.engine.rig import Line
from tests.invariants import I1, I2, I3, I6, I8, I9

Patch = pytest.MonkeyPatch


# --- how it is broken -------------------------------------------------------------------------------------------------


def skip_the_fsync(patch: Patch) -> None:
    patch.setattr(JournalWriter, "settle", lambda _self, _seq: None)


class _Late:
    """A journal that writes the intent of an act with the record that comes after it."""

    def __init__(self, journal: Any) -> None:  # noqa: ANN401 - whatever the recorder was given
        self._journal = journal
        self._held: list[tuple[str, Mapping[str, Any], str]] = []

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> Sealed:  # noqa: A002 - the port's
        if type == "step_started" and body.get("effect", "read") != "read":
            self._held.append((type, body, actor))
            return Line(len(self._journal.lines), self._journal.clock.now().micros, 0)
        for held, its, by in self._held:
            self._journal.append(held, its, actor=by, durable=True)
        self._held.clear()
        sealed: Sealed = self._journal.append(type, body, actor=actor, durable=durable)
        return sealed

    def checkpoint(self) -> object:
        return self._journal.checkpoint()

    def settle(self, seq: int) -> None:
        self._journal.settle(min(seq, len(self._journal.lines) - 1))


def act_before_the_intent(patch: Patch) -> None:
    honest = Recorder.__init__

    def late(self: Recorder, journal: Any, *given: Any, **named: Any) -> None:  # noqa: ANN401 - passed through
        honest(self, _Late(journal), *given, **named)

    patch.setattr(Recorder, "__init__", late)


def take_a_lost_link_for_success(patch: Patch) -> None:
    honest = ClaimedShell._ask

    def hopeful(self: ClaimedShell, mode: str, *given: Any, **named: Any) -> tuple[Any, Any]:  # noqa: ANN401 - passed through
        answer, carried = honest(self, mode, *given, **named)
        if isinstance(answer, claim_text.Answer) or carried.end is not End.LOST or mode != "run":
            return answer, carried
        return claim_text.Answer(state="ran", exit=0, out=b"", err=b"", cut=False, boot="-", note=""), carried

    patch.setattr(ClaimedShell, "_ask", hopeful)


def lose_the_restores(patch: Patch) -> None:
    patch.setattr(Ledger, "restore_all", lambda _: None)


def drop_an_outcome(patch: Patch) -> None:
    honest = Recorder.write

    def forgetful(self: Recorder, event: ev.Event, *, durable: bool = False) -> Entry:
        if isinstance(event, ev.StepFinished) and event.role is ev.Role.ACT and event.outcome == "ok":
            entry = Entry(seq=self.state.records, at=self._journal.clock.now(), mono=0, boot="", actor="", event=event)  # type: ignore[attr-defined] # the rig's
            self.state.apply(entry)
            return entry
        return honest(self, event, durable=durable)

    patch.setattr(Recorder, "write", forgetful)


def keep_the_generation(patch: Patch) -> None:
    honest = Acts._key
    patch.setattr(Acts, "_key", lambda self, unit, kind, _generation: honest(self, unit, kind, 1))


def drop_a_torn_end_in_silence(patch: Patch) -> None:
    patch.setattr(recovery, "_put_aside", lambda _disk, _folder, _torn: None)


def forget_what_began(patch: Patch) -> None:
    patch.setattr(StepState, "unsettled", property(lambda _: False))


def show_secrets(patch: Patch) -> None:
    patch.setattr(Masker, "text", lambda _self, text: text)


# --- who notices ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One broken build.

    Attributes:
        what: what is broken.
        breaks: how; None when it is a rule of the claim wrapper.
        rule: that rule's name in `SABOTAGE` of the claims' suite.
        campaign: who has to notice, with how many cases (each of `seeds` seeds until it is noticed).
        promise: which figure must not be zero.
    """

    what: str
    breaks: Callable[[Patch], None] | None = None
    rule: str = ""
    campaign: str = ""
    count: int = 0
    seeds: int = 1
    promise: str = ""

    @property
    def guard(self) -> str:
        """Who has to notice."""
        return f"{self.campaign} x {self.count}: {self.promise}" if self.campaign else SABOTAGE[self.rule][2]


ENGINE = engine_kills.NAME
MUTATIONS = (
    Mutation(
        what="acknowledges a record before the disk has it", breaks=skip_the_fsync, campaign=power_loss.NAME, count=300,
        promise=I3,
    ),
    Mutation(
        what="acts before its intent is written", breaks=act_before_the_intent, campaign=ENGINE, count=15, seeds=8,
        promise=I1,
    ),
    Mutation(what="lets a second holder use an epoch again", rule="a second holder is let in"),
    Mutation(
        what="takes a lost link (exit -1) for success", breaks=take_a_lost_link_for_success, campaign=ssh_resets.NAME,
        count=60, promise="wrong exit code",
    ),
    Mutation(
        what="loses what is to be put back", breaks=lose_the_restores, campaign=ENGINE, count=15, seeds=8,
        promise="restores lost",
    ),
    Mutation(what="drops an outcome", breaks=drop_an_outcome, campaign=ENGINE, count=15, seeds=8, promise=I6),
    Mutation(
        what="does not raise the generation", breaks=keep_the_generation, campaign=ENGINE, count=15, seeds=8,
        promise=I8,
    ),
    Mutation(
        what="accepts a torn end in silence", breaks=drop_a_torn_end_in_silence, campaign=power_loss.NAME, count=300,
        promise="torn ends dropped in silence",
    ),
    Mutation(what="does not compare the digest of a claim", rule="the digest is not compared"),
    Mutation(what="does not ask whose host it is", rule="the owner is not asked"),
    Mutation(
        what="forgets on resume what began", breaks=forget_what_began, campaign=ENGINE, count=15, seeds=8, promise=I2
    ),
    Mutation(
        what="shows a secret (a real process)", breaks=show_secrets, campaign=syscall_kills.NAME, count=1, promise=I9
    ),
)  # fmt: skip


def noticed(mutation: Mutation) -> bool:
    """Whether the guard of a mutation fails on the broken build."""
    with pytest.MonkeyPatch.context() as patch:
        if mutation.breaks is None:
            return _by_the_suite(patch, *SABOTAGE[mutation.rule])
        if mutation.campaign == syscall_kills.NAME:
            patch.setattr(syscall_kills, "SABOTAGE", f"tests.campaign.test_mutations:{mutation.breaks.__name__}")
        else:
            mutation.breaks(patch)
        run = campaigns()[mutation.campaign].run
        return any(run(mutation.count, random.Random(seed)).numbers[mutation.promise] for seed in range(mutation.seeds))


def _by_the_suite(patch: Patch, rule: str, broken: str, test: str) -> bool:
    wrapper = claim_text._wrapper()
    assert rule in wrapper
    patch.setattr(claim_text, "_wrapper", lambda: wrapper.replace(rule, broken))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "effects").touch()
        place = Place(
            LocalShell(folder), lambda: (folder / "effects").read_text().split(), str(folder / "effects"), lambda: None
        )
        try:
            getattr(ShellConformance(), test)(place)
        except AssertionError:
            return True
        finally:
            place.clear()
    return False


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what.replace(" ", "-"))
def test_a_broken_build_is_noticed(mutation: Mutation) -> None:
    assert noticed(mutation), f"nobody noticed a build that {mutation.what}: {mutation.guard}"


def test_the_table_is_long_enough() -> None:
    assert len(MUTATIONS) >= 10


if __name__ == "__main__":
    sys.modules["tests.campaign.test_mutations"] = sys.modules["__main__"]
    caught = 0
    for one in MUTATIONS:
        found = noticed(one)
        caught += found
        print(f"{'caught' if found else 'MISSED':<7} {one.what:<46} {one.guard}", flush=True)  # noqa: T201 - its output
    print(f"{caught} of {len(MUTATIONS)}")  # noqa: T201 - its output
    sys.exit(caught != len(MUTATIONS))
