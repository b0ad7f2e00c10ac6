"""Fences: methods in order until every proof is ok. No end of a method stops one; only the proof decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.kind import Seen
from drctl.core.outcomes import Outcome
from drctl.core.values import Unknown
from drctl.engine.scope import RunScope
from drctl.engine.units import ActUnit

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.model import Fence, Step
    from drctl.engine.looks import Looks
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.turns import Turns


class Fences:
    """Fences of one run: methods in order until every proof is ok. No end of a method stops it; the proof decides."""

    def __init__(self, looks: Looks, turns: Turns, recorder: Recorder, control: Control) -> None:
        self._looks = looks
        self._control = control
        self._turns = turns
        self._recorder = recorder

    def begun(self, body: Fence) -> bool:
        """Whether a method of it began: then people have agreed already."""
        return any(self._recorder.state.step(method.path).began for method in body.methods)

    def ask(self, step: Step, body: Fence, place: str) -> str:
        """Ask the people of its guards; empty when it may go on, else why not."""
        guards = step.guards
        if self.begun(body) or not (guards.approve or guards.caution or guards.recheck):
            return ""
        return self._turns.fence(step, body, place)

    def carry_out(self, body: Fence, between: Callable[[Step], None]) -> tuple[Outcome, str]:
        """Carry the methods out; `between` stands before each and may stop the run."""
        because, looked = "no method was tried", True
        for method in body.methods:
            state = self._recorder.state.step(method.path)
            if state.own_final is not None and not state.unsettled:
                looked = False  # it ended before, and what it did to the proof is not known
                continue
            if not looked and (seen := self._proof(body)) is None:
                return Outcome.OK, "proven"
            between(method)
            because, seen, looked = self._method(method), self._proof(body), True
            if seen is None:
                return Outcome.OK, "proven"
            because = f"{because}; {seen}" if because else seen
        if not looked:
            seen = self._proof(body)
            if seen is None:
                return Outcome.OK, "proven"
            because = seen
        if self._control.stopping and body.methods:  # it may have been cut short
            raise self._control.stop(body.methods[-1].path)
        return Outcome.FAILED, f"not proven: {because}"

    def _proof(self, body: Fence) -> str | None:
        """Why the host is not proven to be fenced; None when it is."""
        verdict = self._looks.verdict(body.proof)
        return None if verdict.seen is Seen.DONE else verdict.because

    def _method(self, method: Step) -> str:
        """Carry one method out; what went wrong with it, in one line."""
        names = RunScope(context=self._looks.context).at(method)
        seen = evaluate(method.when.expression, names) if method.when else True
        if seen is not True:
            because = f"cannot tell whether it is wanted: {seen}" if isinstance(seen, Unknown) else "not wanted"
            self._looks.end_early(method, Outcome.SKIPPED, because, role=ev.Role.METHOD)
            return ""
        place = self._looks.place_of(method)
        if isinstance(place, Unknown):
            end = self._looks.end_early(method, Outcome.FAILED, f"no place: {place}", role=ev.Role.METHOD)
        else:
            begun = self._recorder.state.step(method.path).intent
            host = begun.host if begun is not None and self._recorder.state.step(method.path).unsettled else place
            end = self._turns.act(ActUnit(step=method, place=host, role=ev.Role.METHOD))
        if not end.final:
            raise self._control.stop(method.path)
        return "" if end.outcome == Outcome.OK.value else f"{method.path.rsplit('/', 1)[-1]}: {end.because}"
