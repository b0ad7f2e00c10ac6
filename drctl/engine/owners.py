"""Whose the hosts are: the run takes them with its first act, keeps them while it is open, gives them back at its end.

The lock that counts lies on the host (`adapters/claim_wrapper.sh`); here stands what a run records and does about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.bounds import FAN_OUT
from drctl.core.outcomes import Outcome
from drctl.core.ports import Claim, ClaimReply, ClaimState
from drctl.engine.fanout import fan_out
from drctl.engine.stops import Stop
from drctl.engine.world import LOCAL
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drctl.core.fold import RunState
    from drctl.core.holdings import Holding
    from drctl.engine.context import Identity
    from drctl.engine.recorder import Recorder
    from drctl.engine.world import World

REPLACED: Final = "replaced"
"""Why a writer stops whose run goes on elsewhere."""


def claim_of(who: Identity, key: str = "0" * 64) -> Claim:
    """What a writer says of itself to hosts; the key matters to acts only."""
    return Claim(key=key, run=who.uid, run_id=who.id, operator=who.operator, epoch=who.epoch, holder=who.holder)


def acted_on(state: RunState) -> set[str]:
    """Places where an act of this run was announced, and hosts that it took: what it must give back."""
    units = (unit for step in list(state.steps.values()) for unit in step.units)
    began = (unit for unit in units if unit.outcome is not Outcome.UNREACHABLE)  # where none began there is no mark
    return {unit.host for unit in began if unit.started is not None and unit.started.key} | set(state.held)


class Owners:
    """The hosts of one run, as its writer sees them."""

    def __init__(self, who: Identity, recorder: Recorder, world: World, at_once: int = FAN_OUT) -> None:
        self._who = who
        self._at_once = at_once
        self._recorder = recorder
        self._world = world

    def heard(self, place: str, answer: ClaimReply) -> None:
        """Record what an answer says about the owner: that the host is this run's now, or not any more."""
        by, state = answer.held_by, self._recorder.state
        if by is None:
            began = answer.state not in {ClaimState.REFUSED, ClaimState.UNREACHABLE, ClaimState.NOT_STARTED}
            if began and answer.boot and place not in state.held:  # a lost link names no boot: the host said nothing
                self._recorder.write(ev.LockTaken(names=(place,)))
        elif by.replaces or place in state.held:
            self._lost(place, by, answer.because)

    def _lost(self, place: str, by: Holding, because: str) -> None:
        lost = ev.LockLost(
            name=place, because=because, epoch=by.epoch, holder=by.holder or f"run {by.run_id}", by=by.operator,
            since=by.since,
        )  # fmt: skip
        self._recorder.write(lost, durable=True)

    def announce(self) -> None:
        """Say on every host of this run that this writer goes on with it, under its epoch.

        Raises:
            Stop: a host says that the run goes on elsewhere.
        """
        for place, answer in self._say((), "").items():
            if answer.held_by is not None and answer.held_by.replaces:
                raise replaced(place, answer.because)

    def take_over(self, places: Iterable[str], given_up: str, reason: str) -> dict[str, ClaimReply]:
        """The same by a person's word, which is a deviation; what each host answered.

        Args:
            places: more hosts to own, those of the runbook.
            given_up: the uid of a run whose hosts become this run's; empty for none.
            reason: the person's.
        """
        what = f"hosts taken from run {given_up}" if given_up else "taken over"
        self._recorder.deviation(ev.DeviationNoted(path="run", what=what, by=self._who.operator, because=reason))
        return self._say(places, given_up)

    def _say(self, places: Iterable[str], given_up: str) -> dict[str, ClaimReply]:
        claim = claim_of(self._who)
        wanted = sorted({*acted_on(self._recorder.state), *places} - {LOCAL})
        answers = fan_out(wanted, lambda place: self._world.shell(place).take(claim, given_up), self._at_once)
        told = dict(zip(wanted, answers, strict=True))
        for place, answer in told.items():
            self.heard(place, answer)
            if answer.state is not ClaimState.RAN and answer.held_by is None:
                self._recorder.write(ev.Degraded(what=f"epoch {self._who.epoch} on {place}", because=answer.because))
        return told

    def release(self) -> None:
        """Give every host back; one that cannot be told is noted, not waited for.

        A fenced host too: it is rebuilt by another run, which would find it held.

        Raises:
            Stop: a host says that the run goes on elsewhere, so it is not this writer's to end.
        """
        claim, places = claim_of(self._who), sorted(acted_on(self._recorder.state))
        answers = fan_out(places, lambda place: self._world.shell(place).release(claim), self._at_once)
        for place, answer in zip(places, answers, strict=True):
            if answer.held_by is not None and answer.held_by.replaces:
                self.heard(place, answer)
                raise replaced("", answer.because)
            if answer.state is not ClaimState.RAN and answer.held_by is None and place != LOCAL:
                self._recorder.write(ev.Degraded(what=f"owner mark on {place}", because=answer.because))


def locked(path: str, because: str) -> Stop:
    """The pause of a run that met another run's host."""
    return Stop("locked", path=path, because=because, exit=Exit.LOCKED)


def replaced(path: str, because: str) -> Stop:
    """The stop of a writer that somebody else has replaced."""
    return Stop(REPLACED, path=path, because=because, exit=Exit.LOCKED)
