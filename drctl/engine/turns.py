"""One act's turn: is it done already, do people agree, does a second look hold, and then the act.

Steps, methods of a fence and ways back all act through here; only steps have guards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.kind import ActKind, Seen
from drctl.core.model import Action, Fence, Step
from drctl.core.nouns import replace
from drctl.core.outcomes import Outcome
from drctl.core.values import Unknown
from drctl.engine.failures import ATTESTED
from drctl.engine.guards import Guards, Wanted, guards_around
from drctl.engine.parts import everything
from drctl.engine.recorder import fitting
from drctl.engine.scope import RunScope
from drctl.engine.units import ActUnit, Resolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.engine.acts import Acts
    from drctl.engine.looks import Looks
    from drctl.engine.recorder import Recorder

LONGEST_GROUP: Final = 4000
"""Characters of what a whole group will send, in the text people see."""


class Turns:
    """Turns of one run's acts."""

    def __init__(self, looks: Looks, acts: Acts, guards: Guards, recorder: Recorder) -> None:
        self._looks = looks
        self._acts = acts
        self._guards = guards
        self._recorder = recorder
        self._agreed_in_group: dict[str, str] = {}
        """What people agreed to for a container as a whole: address of an act to its digest."""

    def act(self, unit: ActUnit) -> ev.StepFinished:
        """Carry one act out, from wherever the journal says it stands.

        Raises:
            Stop: nobody answered; the run pauses.
        """
        return self._acts.carry_out(unit, lambda: self._guarded(unit))

    def _guarded(self, unit: ActUnit) -> ev.StepFinished | str:
        """The end of a step that is done already or refused; else the digest that people agreed to, if they did."""
        step = unit.step
        early = self._unless(unit)
        if early is not None or unit.role is not ev.Role.ACT:
            return early or ""
        agreed = self._agreed(unit)
        if isinstance(agreed, str) and self._needs_fence(step):
            because = self._unfenced()
            return self._refuse(step, because) if because else agreed
        return agreed

    def _agreed(self, unit: ActUnit) -> ev.StepFinished | str:
        """The digest that people agreed to, empty when nobody is asked; or the end of a step that they refused."""
        step, guards = unit.step, unit.step.guards
        if guards.approve is None and guards.caution is None and not guards.recheck:
            around = guards_around(self._looks.context, step) if unit.path in self._recorder.state.changes else None
            if around is None:
                return self._agreed_in_group.get(unit.path, "")
            step = replace(step, guards=around)  # who agreed to the whole has not agreed to this
        because = ""
        for _ in range(2):  # a recheck that changes what would be sent makes the answer void: asked again, once
            resolved = self._acts.resolve(unit)
            if isinstance(resolved, str):
                return self._refuse(step, resolved)
            because = self._guards.ask(step, _wanted(unit, resolved)) or self._guards.recheck(step)
            if because:
                return self._refuse(step, because)
            after = self._acts.resolve(unit)
            if not isinstance(after, str) and after.digest == resolved.digest:
                return after.digest
        return self._refuse(step, "what would be sent changes from one moment to the next, so nobody can agree to it")

    def _needs_fence(self, step: Step) -> bool:
        kinds = self._looks.context.kinds
        kind = kinds[step.body.kind] if isinstance(step.body, Action) else None
        return kind is not None and issubclass(kind, ActKind) and kind.REQUIRES_FENCE

    def _unfenced(self) -> str:
        """Why the fences of this run do not hold any more, by their own proofs; a person's word is not looked at."""
        state = self._recorder.state
        attested = {d.path for _, d in state.deviations if d.what == ATTESTED}
        fences = [one for one in everything(self._looks.context) if one.path in state.fenced.values()]
        for fence in fences:
            if isinstance(fence.body, Fence) and fence.path not in attested:
                verdict = self._looks.verdict(fence.body.proof)
                if verdict.seen is not Seen.DONE:
                    return f"the fence {fence.id} does not hold any more: {verdict.because}"
        return ""

    def fence(self, step: Step, body: Fence, place: str) -> str:
        """Ask about a fence as a whole, before its first method; empty when it may go on, else why not."""
        resolved = [self._acts.resolve(ActUnit(step=m, place=self._place(m, place))) for m in body.methods]
        texts = [one if isinstance(one, str) else one.text for one in resolved]
        digest = "\n".join(one if isinstance(one, str) else one.digest for one in resolved)
        wanted = Wanted(place=place, text="\n".join(f"{n}. {text}" for n, text in enumerate(texts, 1)), digest=digest)
        return self._guards.ask(step, wanted) or self._guards.recheck(step)

    def group(self, step: Step, units: Sequence[Step | str]) -> str:
        """Ask about a table, loop or block as a whole; empty when it may go on, else why not.

        What can be resolved now is bound to the answer. What needs values that are still to come is shown as written.
        """
        lines, digests = [], []
        for unit in units:
            if isinstance(unit, str):
                lines.append(unit)
                continue
            if not unit.acts:
                continue
            place = self._looks.place_of(unit)
            one = f"no place yet: {place}" if isinstance(place, Unknown) else self._resolved(unit, place)
            where = "" if isinstance(place, Unknown) else f"on {place}: "
            lines.append(f"{where}{one if isinstance(one, str) else one.text}")
            if not isinstance(one, str) and not isinstance(place, Unknown):
                self._agreed_in_group[unit.path] = one.digest
                digests.append(f"{unit.path} {place} {one.digest}")
        text = fitting("\n".join(lines), LONGEST_GROUP)
        wanted = Wanted(place="", text=f"{len(lines)} act(s)\n{text}", digest="\n".join(digests))
        return self._guards.ask(step, wanted) or self._guards.recheck(step)

    def _resolved(self, unit: Step, place: str) -> Resolved | str:
        return self._acts.resolve(ActUnit(step=unit, place=place))

    def _place(self, method: Step, place: str) -> str:
        found = self._looks.place_of(method)
        return found if isinstance(found, str) else place

    def _refuse(self, step: Step, because: str) -> ev.StepFinished:
        return self._looks.end_early(step, Outcome.FAILED, because)

    def _unless(self, unit: ActUnit) -> ev.StepFinished | None:
        """The end of a step that is done already."""
        step = unit.step
        if not step.unless:
            return None
        scope = RunScope(context=self._looks.context, place=unit.place, pinned=unit.pinned).at(step)
        verdict = self._looks.verdict(step.unless, scope=scope)
        if verdict.seen is Seen.NOT_DONE:
            return None
        if verdict.seen is Seen.UNKNOWN:
            return self._refuse(step, f"cannot tell whether it is done already: {verdict.because}")
        found = ev.StepFinished(
            path=step.path, host=unit.place, attempt=0, outcome="ok", found=True, role=unit.role, effect_there=True,
            because=f"done already: {verdict.because}",
        )  # fmt: skip
        self._recorder.write(found, durable=True)
        return found


def _wanted(unit: ActUnit, resolved: Resolved) -> Wanted:
    who = "" if resolved.user is None else f"as {resolved.user}: "
    return Wanted(place=unit.place, text=f"{who}{resolved.text}", digest=resolved.digest)
