"""Carries out looks: once, again until they are ok, or several as a verdict. A plan and a run use the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drctl.core import events as ev
from drctl.core.kind import FieldError, LookKind, Outputs, Seen, Verdict
from drctl.core.model import Action, AnyOf, Check, Repeat, Step
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.ports import Reach
from drctl.core.values import Duration, Secret, Unknown
from drctl.engine.changes import as_changed
from drctl.engine.context import LOOK_LIMIT, Context
from drctl.engine.faults import telling
from drctl.engine.fields import build
from drctl.engine.judge import Judged, criteria, judge
from drctl.engine.outputs import pack
from drctl.engine.pace import Ladder, Pace
from drctl.engine.places import place_of
from drctl.engine.recorder import fitting
from drctl.engine.scope import RunScope
from drctl.engine.shells import user_of, viewed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.kind import Kind
    from drctl.core.ports import Facts, Probe
    from drctl.core.whole import Whole
    from drctl.engine.recorder import Recorder
    from drctl.engine.world import Looking

LONGEST_REASON: Final = 500
SHORTEST_SECRET: Final = 6
"""A shorter text is no secret: starring it out would star out everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One unit to be carried out: the step, where, what for, its number and its limit."""

    step: Step
    place: str
    role: ev.Role
    number: int
    limit: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """What is done with texts and values before they are written: masking, and learning what to mask."""

    mask: Callable[[str], str] = lambda text: text
    mask_begin: Callable[[str], str] | None = None  # of a text that was cut off, perhaps inside a secret; else mask
    learn: Callable[[Secret], None] = lambda _: None


class Looks:
    """Looks of one run or plan.

    `halted` says, for a role, whether looking again is to stop: a step's own looks stop at the operator's first word,
    looks that decide about an act only at the second.
    """

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        looking: Looking,
        pen: Pen,
        halted: Callable[[ev.Role], bool],
        ladder: Ladder | None = None,
    ) -> None:
        self.context = context
        self.pen = pen
        self._recorder = recorder
        self._looking = looking
        self._halted = halted
        self._ladder = ladder or Ladder()

    # -- where ------------------------------------------------------------------------------------------------------

    def place_of(self, step: Step, scope: RunScope | None = None) -> str | Unknown:
        """The one place of a step (see `places.place_of`)."""
        return place_of(self.context, step, scope)

    @property
    def facts(self) -> Facts:
        """What kinds may ask of the inventory."""
        return self._looking.facts

    def probe(self, place: str, user: str | None, limit: Duration = LOOK_LIMIT) -> Probe:
        """Ports for looking, as a step's user."""
        return viewed(self._looking.probe(place, limit), user)

    # -- a step's look ----------------------------------------------------------------------------------------------

    def carry_out(self, step: Step, role: ev.Role = ev.Role.LOOK, scope: RunScope | None = None) -> ev.StepFinished:
        """Look, again if the step says `until`, and record every attempt; the last record is the step's end.

        `scope` gives names their values when the step belongs to a way back.
        """
        return self._look(step, role, scope)[0]

    def _look(self, step: Step, role: ev.Role, scope: RunScope | None) -> tuple[ev.StepFinished, Judged]:
        place = self.place_of(step, scope)
        if isinstance(place, Unknown):
            because = f"no place: {place}"
            end = self.end_early(step, Outcome.FAILED, because, role=role)
            return end, Judged(outcome=Outcome.FAILED, because=because, told=False)
        names = RunScope(context=self.context, place=place, pinned=scope.pinned if scope is not None else {}).at(step)
        if step.until is None:
            judged = self._once(self._next(step, place, role, None), names, final=lambda _: True)
        else:
            judged = self._until(step, step.until, role, names)
        final = self._recorder.state.step(step.path).final
        if final is None:  # the walk was told to stop while it looked again
            final = ev.StepFinished(path=step.path, outcome=judged.outcome.value, because=judged.because, final=False)
        return final, judged

    def _until(self, step: Step, until: Repeat, role: ev.Role, names: RunScope) -> Judged:
        clock = self.context.clock
        pace = Pace(until, clock.monotonic())
        row = 0
        pause: Duration | None = None

        def over(judged: Judged) -> bool:
            nonlocal row, pause
            row = row + 1 if judged.outcome is Outcome.OK else 0
            pause = None if row >= until.in_a_row else pace.next_pause(clock.monotonic(), until.in_a_row - row)
            if pause is not None and not pace.climb(self._ladder, clock.monotonic()):
                pause = None
            return pause is None

        while True:
            pace.tries += 1
            judged = self._once(self._next(step, names.place, role, pace), names, final=over, pace=pace)
            if pause is None or self._halted(role):
                return judged
            clock.sleep(pause, lambda: self._halted(role))

    def _next(self, step: Step, place: str, role: ev.Role, pace: Pace | None) -> Attempt:
        state = self._recorder.state.step(step.path)
        number = state.attempts if state.last is not None and state.last.open else state.attempts + 1
        kind = self._kind_of(step)
        limit = step.timeout or (kind.TIMEOUT if kind is not None else None) or LOOK_LIMIT
        if pace is not None:
            limit = pace.limit(limit, self.context.clock.monotonic())
        return Attempt(step=step, place=place, role=role, number=number, limit=limit)

    def _kind_of(self, step: Step) -> type[Kind] | None:
        return self.context.kinds[step.body.kind] if isinstance(step.body, Action) else None

    def _once(
        self, attempt: Attempt, names: RunScope, *, final: Callable[[Judged], bool], pace: Pace | None = None
    ) -> Judged:
        """One attempt: begun, looked, judged, recorded. `final` says whether it was the last one."""
        clock, step = self.context.clock, attempt.step
        began = clock.monotonic()
        judged = self._looked(attempt, names)
        over = final(judged)
        if over and pace is not None and judged.outcome is not Outcome.OK:
            outcome = Outcome.TIMEOUT if pace.time_over else Outcome.FAILED
            why = f"{pace.refused}; " if pace.refused else ""
            judged = Judged(
                outcome=outcome, because=f"until gave up: {why}{judged.because}", values=judged.values,
                captures=judged.captures, unknown=judged.unknown, told=False,
            )  # fmt: skip
        if step.sensitive:
            self.hold(step, judged)
        self._finish(attempt, judged, final=over, elapsed=Duration(clock.monotonic().micros - began.micros))
        return judged

    def _looked(self, attempt: Attempt, names: RunScope) -> Judged:
        step = attempt.step
        lines = criteria(self._kind_of(step), step.judgement.expect)
        if isinstance(step.body, Check):
            self._begin(attempt, None)
            return judge(lines, step.judgement.capture, Outputs(values={}), names)
        with telling() as told:
            kind = self._built(step, names)
            if isinstance(kind, Unknown):
                return Judged(outcome=Outcome.FAILED, because=f"needs {kind}", told=False)
            user = user_of(step, names)
            if isinstance(user, Unknown):
                return Judged(outcome=Outcome.FAILED, because=f"needs {user}", told=False)
            self._begin(attempt, kind)
            outputs = kind.look(self.probe(attempt.place, user, attempt.limit))
            judged = judge(lines, step.judgement.capture, outputs, names)
            self._evidence(attempt, outputs)
            return judged
        return Judged(outcome=Outcome.FAILED, because=told.because, told=False)

    def _built(self, step: Step, names: RunScope) -> LookKind | Unknown:
        assert isinstance(step.body, Action)  # noqa: S101 - the executor sends nothing else here
        try:
            body = as_changed(step.body, self._recorder.state.changes.get(step.path, ()))
            kind = build(self.context.kinds[body.kind], body, names)
        except FieldError as error:
            return Unknown(str(error), not_yet=False)
        assert isinstance(kind, Unknown | LookKind)  # noqa: S101 - the loader checked it
        return kind

    # -- several looks as a verdict -----------------------------------------------------------------------------------

    def verdict(
        self, looks: Sequence[Step | AnyOf], role: ev.Role = ev.Role.VERIFY, scope: RunScope | None = None
    ) -> Verdict:
        """DONE if all are ok; NOT_DONE if one answered and is not ok; else UNKNOWN (language, section 3)."""
        seen = Seen.DONE
        reasons = []
        for look in looks:
            one = self._any(look, role, scope) if isinstance(look, AnyOf) else self._one(look, role, scope)
            if one.seen is not Seen.DONE:
                reasons.append(one.because)
            if one.seen is Seen.NOT_DONE:
                seen = Seen.NOT_DONE
            elif one.seen is Seen.UNKNOWN and seen is Seen.DONE:
                seen = Seen.UNKNOWN
        return Verdict(seen=seen, because="; ".join(reasons) or "seen to be there")

    def _any(self, alternatives: AnyOf, role: ev.Role, scope: RunScope | None) -> Verdict:
        reasons = []
        for look in alternatives.looks:
            one = self._one(look, role, scope)
            if one.seen is Seen.DONE:
                return one
            reasons.append(one)
        is_known = all(one.seen is Seen.NOT_DONE for one in reasons)
        because = "; ".join(one.because for one in reasons)
        return Verdict(seen=Seen.NOT_DONE if is_known else Seen.UNKNOWN, because=because)

    def _one(self, look: Step, role: ev.Role, scope: RunScope | None) -> Verdict:
        final, judged = self._look(look, role, scope)
        if judged.outcome is Outcome.OK and final.final:
            return Verdict(seen=Seen.DONE, because=final.because)
        is_answer = judged.outcome is Outcome.FAILED and judged.told and not _crashed(look, judged)
        return Verdict(seen=Seen.NOT_DONE if is_answer else Seen.UNKNOWN, because=f"{look.path}: {final.because}")

    # -- records ------------------------------------------------------------------------------------------------------

    def title(self, step: Step) -> str:
        """The step's title in the run's language, empty when it has none."""
        if step.title is None:
            return ""
        return step.title.pick(self.context.identity.language).show(RunScope(context=self.context).at(step))

    def keep(self, streams: Mapping[str, bytes], whole: Mapping[str, Whole], *, ended: bool) -> dict[str, Any]:
        """Keep what was printed, masked, and give the fields of the record that tell it.

        Where the command has no end of its own (`ended`), a text may break off inside a secret, as a long one may.

        With the digest of all that a stream held, whoever has the rest of it could try one secret after another: where
        one was starred out, the digest is not told.
        """
        out, digests = {}, {}
        for name, data in streams.items():
            cut, text = whole.get(name), data.decode("utf-8", "backslashreplace")
            masked = self.pen.mask(text) if cut is None and ended else (self.pen.mask_begin or self.pen.mask)(text)
            if data:
                out[name] = self.context.store.put(masked.encode())
            if cut is not None and cut.sha256 and text.startswith(masked):
                digests[name] = cut.sha256
        sizes = {name: cut.size for name, cut in whole.items() if cut.size is not None}
        return {"out": out, "cut": bool(whole), "sizes": sizes, "digests": digests}

    def hold(self, step: Step, judged: Judged) -> None:
        """Keep the texts of a sensitive step for this process alone, and star them out everywhere else."""
        held: dict[str, Secret] = {}
        for name, value in {**judged.values, **judged.captures}.items():
            if isinstance(value, str) and len(value) >= SHORTEST_SECRET:
                held[name] = Secret(value, f"steps.{step.id}.{name}")
                for part in {value, *value.splitlines()}:
                    if len(part) >= SHORTEST_SECRET:
                        self.pen.learn(Secret(part, f"steps.{step.id}.{name}"))
        self.context.held[step.path] = held

    def _begin(self, attempt: Attempt, kind: LookKind | None) -> None:
        state = self._recorder.state.step(attempt.step.path)
        if state.last is not None and state.last.open and state.last.attempt == attempt.number:
            return
        self._recorder.write(
            ev.StepStarted(
                path=attempt.step.path, host=attempt.place, attempt=attempt.number, role=attempt.role,
                kind=kind.NAME if kind is not None else "check", title=self.title(attempt.step),
                text=kind.describe(self.facts) if kind is not None else "",
            )
        )  # fmt: skip

    def _evidence(self, attempt: Attempt, outputs: Outputs) -> None:
        """Keep what was printed, under its digest; a sensitive step leaves nothing."""
        if attempt.step.sensitive or not (outputs.streams or outputs.host_key):
            return
        kept = self.keep(outputs.streams, outputs.whole, ended=outputs.reach is Reach.COMPLETE)
        self._recorder.write(
            ev.CommandRan(
                path=attempt.step.path, host=attempt.place, attempt=attempt.number, state=outputs.reach.value,
                host_key=outputs.host_key, **kept,
            )
        )  # fmt: skip

    def _finish(self, attempt: Attempt, judged: Judged, *, final: bool, elapsed: Duration) -> None:
        step = attempt.step
        event = ev.StepFinished(
            path=step.path, host=attempt.place, attempt=attempt.number, role=attempt.role, final=final,
            outcome=judged.outcome.value, elapsed_us=elapsed.micros, observed=step.judgement.observe,
            tolerated=judged.outcome in step.judgement.tolerate, **self.said(step, judged),
        )  # fmt: skip
        self._recorder.write(event)

    def said(self, step: Step, judged: Judged) -> dict[str, Any]:
        """The fields of an end that come from what a step said; of a sensitive step there are none."""
        if step.sensitive:
            judged = judged.hushed
        outputs = pack(judged.values, self.context.store, self.pen.mask)
        captures = pack(judged.captures, self.context.store, self.pen.mask)
        unknown = {**judged.unknown, **outputs.lost, **captures.lost}
        return {
            "because": judged.because, "outputs": outputs.values, "captures": captures.values,
            "unknown": {name: fitting(why, LONGEST_REASON) for name, why in unknown.items()},
        }  # fmt: skip

    def end_early(
        self, step: Step, outcome: Outcome, because: str, *, role: ev.Role = ev.Role.LOOK, by: str = ""
    ) -> ev.StepFinished:
        """Record the end of a step of which no unit began."""
        event = ev.StepFinished(
            path=step.path, outcome=outcome.value, attempt=0, role=role, because=because, by=by,
            tolerated=outcome in step.judgement.tolerate, observed=step.judgement.observe,
        )  # fmt: skip
        self._recorder.write(event)
        return event


def _crashed(look: Step, judged: Judged) -> bool:
    """In a shell look here exit 0 = yes, 1 = no, any other = cannot tell, unless its `expect` names `exit`."""
    named = {use.path[0] for line in look.judgement.expect for use in line.expression.paths()}
    is_shell = isinstance(look.body, Action) and look.body.kind == "shell"
    return is_shell and "exit" not in named and judged.values.get("exit") not in (0, 1)
