"""The ways back: `undo` on rollback, `restore` always at the end. One ledger, registered with the intents.

Entries are carried out by the same executor as ordinary units, newest first. What cannot be put back is said, with what
remains; it never holds up the rest, except that an undo that fails stops the rollback: what comes next may depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.kind import ActKind
from drctl.core.model import Action, Effect, Outcome, RestoreNow, Step, Way, WayKind
from drctl.core.values import Unknown, from_json
from drctl.engine.acts import Acts, ActUnit
from drctl.engine.fields import build
from drctl.engine.scope import RunScope

if TYPE_CHECKING:
    from drctl.engine.looks import Looks
    from drctl.engine.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One registered way back: of which step, where, and what its intent recorded."""

    step: Step
    host: str
    started: ev.StepStarted
    restore: bool

    @property
    def path(self) -> str:
        """Where its units are recorded."""
        return f"{self.step.path}/{'restore' if self.restore else 'undo'}"


class Ledger:
    """The ways back of one run."""

    def __init__(self, looks: Looks, acts: Acts, recorder: Recorder) -> None:
        self._looks = looks
        self._acts = acts
        self._recorder = recorder

    def due(self, *, restore: bool) -> list[Due]:
        """What is registered and not yet carried out, newest first; undo stops at a point of no return."""
        found: list[tuple[int, Due]] = []
        steps = {step.path: step for step in self._looks.context.steps.values()}
        cut = -1
        for path, state in self._recorder.state.steps.items():
            step = steps.get(path)
            if step is None:
                continue
            starts = [
                u
                for u in state.units
                if u.started is not None and u.started.effect != "read" and u.started_at is not None
            ]
            if not starts:
                continue
            newest = starts[-1]
            assert newest.started is not None and newest.started_at is not None  # noqa: S101, PT018 - filtered above
            at = newest.started_at.micros
            if newest.started.no_return:
                cut = max(cut, at)
            way = newest.started.restore if restore else newest.started.undo
            never = state.outcome is Outcome.NOT_RUN or (state.outcome is Outcome.UNREACHABLE)
            if way is not None and not never and not self._over(step, restore=restore):
                found.append((at, Due(step=step, host=newest.host, started=newest.started, restore=restore)))
        found.sort(key=lambda pair: -pair[0])
        return [due for at, due in found if restore or at > cut]

    def cut_by(self) -> str:
        """The step that is the point of no return passed last; empty when none was."""
        passed = [
            (u.started_at.micros, path)
            for path, state in self._recorder.state.steps.items()
            for u in state.units
            if u.started is not None and u.started.no_return and u.started_at is not None
        ]
        return max(passed)[1] if passed else ""

    def _over(self, step: Step, *, restore: bool) -> bool:
        block = self._recorder.state.blocks.get(f"{step.path}/{'restore' if restore else 'undo'}")
        return block is not None and block.outcome is not None

    def restore_all(self) -> None:
        """Carry out every open restore; a failure of one does not stop the others."""
        for due in self.due(restore=True):
            self.take_back(due)

    def restore_now(self, step: Step, body: RestoreNow) -> ev.StepFinished:
        """The `restore` kind: the restores of the named steps at this place."""
        bad = []
        for due in self.due(restore=True):
            if due.step.id in body.steps:
                outcome, because = self.take_back(due)
                if outcome is not Outcome.OK:
                    bad.append(f"{due.step.id}: {because}")
        outcome = Outcome.FAILED if bad else Outcome.OK
        return self._looks.end_early(step, outcome, "; ".join(bad) or "restored")

    def roll_back(self) -> str:
        """Undo everything that is due, newest first; the reason when an undo failed and a person must decide."""
        for due in self.due(restore=False):
            outcome, because = self.take_back(due)
            if outcome in {Outcome.FAILED, Outcome.IN_DOUBT, Outcome.TIMEOUT}:
                return f"undo of {due.step.id}: {because}"
        return ""

    def take_back(self, due: Due) -> tuple[Outcome, str]:
        """Carry one way back out, and record what could not be put back."""
        way = due.step.ways.restore if due.restore else due.step.ways.undo
        self._recorder.write(ev.BlockStarted(path=due.path, form="restore" if due.restore else "undo", host=due.host))
        fenced = self._recorder.state.fenced.get(due.host)
        recorded = due.started.restore if due.restore else due.started.undo
        if fenced:
            outcome, because = Outcome.NOT_RUN, f"{due.host} is fenced"
        elif recorded is not None and "none" in recorded:
            outcome, because = (Outcome.OK, f"nothing to put back: {recorded['none']}") if due.restore else (
                Outcome.NOT_RUN, f"cannot be undone: {recorded['none']}")  # fmt: skip
        elif way is not None and way.kind is WayKind.STEPS:
            outcome, because = self._by_steps(due, way)
        else:
            outcome, because = self._by_inverse(due)
        self._recorder.write(
            ev.BlockFinished(path=due.path, outcome=outcome.value, because=because, host=due.host), durable=True
        )
        if outcome is not Outcome.OK:
            what = "not restored" if due.restore else "not undone"
            self._recorder.write(ev.DeviationNoted(path=due.step.path, what=what, because=because), durable=True)
        return outcome, because

    def _by_steps(self, due: Due, way: Way) -> tuple[Outcome, str]:
        role = ev.Role.RESTORE if due.restore else ev.Role.UNDO
        for inner in way.steps:
            done = self._recorder.state.step(inner.path).final
            if done is None or Outcome(done.outcome).bad:
                if inner.effect is Effect.READ:
                    done = self._looks.carry_out(inner, role)
                else:
                    place = self._looks.place_of(inner)
                    host = due.host if isinstance(place, Unknown) or inner.on is None else place
                    done = self._acts.carry_out(ActUnit(step=inner, place=host, role=role))
            if Outcome(done.outcome) is not Outcome.OK:
                return Outcome(done.outcome), done.because
        return Outcome.OK, ""

    def _by_inverse(self, due: Due) -> tuple[Outcome, str]:
        """The kind's own inverse, with what its preview had found."""
        context, step = self._looks.context, due.step
        if not isinstance(step.body, Action):
            return Outcome.NOT_RUN, "no inverse"
        kind = build(context.kinds[step.body.kind], step.body, RunScope(context=context, place=due.host))
        inverse = None
        if isinstance(kind, ActKind):
            inverse = kind.inverse({name: from_json(value) for name, value in due.started.prior.items()})
        if inverse is None:
            return Outcome.NOT_RUN, "what stood there before is not known"
        path = f"{due.path}/0"
        judgement = replace(step.judgement, capture={}, expect=(), tolerate=frozenset())
        back = replace(
            step,
            id=step.id,
            path=path,
            verify=(),
            judgement=judgement,
            retry=None,
            effect=Effect.IDEMPOTENT,
            sensitive=step.sensitive,
        )
        role = ev.Role.RESTORE if due.restore else ev.Role.UNDO
        done = self._acts.carry_out(ActUnit(step=back, place=due.host, role=role, kind=inverse))
        return Outcome(done.outcome), done.because
