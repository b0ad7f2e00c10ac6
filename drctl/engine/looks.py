"""Carries out looks: once, again until they are ok, or several as a verdict. A plan and a run use the same code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.kind import FieldError, Kind, LookKind, Outputs, Seen, Verdict
from drctl.core.model import Action, AnyOf, Check, Outcome, Repeat, Step
from drctl.core.values import Duration, Time, Unknown
from drctl.engine.context import LOOK_LIMIT, Context, fixed_place
from drctl.engine.fields import build
from drctl.engine.judge import Judged, criteria, judge
from drctl.engine.outputs import pack
from drctl.engine.scope import RunScope
from drctl.engine.world import LOCAL, Looking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.engine.recorder import Recorder

LONGEST_PAUSE = Duration(300_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One unit to be carried out: the step, where, what for, and its number."""

    step: Step
    place: str
    role: ev.Role
    number: int


class Pace:
    """The pauses and limits of `until` and `retry`."""

    def __init__(self, repeat: Repeat, now: Duration) -> None:
        self._repeat = repeat
        self._began = now
        self._pause = repeat.every
        self.tries = 0

    def left(self, now: Duration) -> Duration | None:
        """What remains of `within`; None when there is no such limit."""
        if self._repeat.within is None:
            return None
        return Duration(max(0, self._began.micros + self._repeat.within.micros - now.micros))

    def next_pause(self, now: Duration, needed: int = 1) -> Duration | None:
        """The pause before the next try; None when it can no longer succeed (`needed` more tries are wanted)."""
        times = self._repeat.times
        if times is not None and self.tries + needed > times:
            return None
        left = self.left(now)
        if left is not None and left.micros <= self._pause.micros * needed:
            return None
        pause = self._pause
        factor = self._repeat.backoff if isinstance(self._repeat.backoff, int) else 1
        self._pause = Duration(min(LONGEST_PAUSE.micros, pause.micros * factor))
        return pause

    @property
    def by_time(self) -> bool:
        """Whether a limit in time can end it."""
        return self._repeat.within is not None


class Looks:
    """Looks of one run or plan."""

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        looking: Looking,
        mask: Callable[[str], str],
        halted: Callable[[], bool],
    ) -> None:
        self.context = context
        self._recorder = recorder
        self._looking = looking
        self._mask = mask
        self._halted = halted
        self.good_since: dict[str, Time] = {}
        """When the good row of a path began, for its marks."""

    def place_of(self, step: Step) -> str | Unknown:
        """The one place of a step, computed when it has to be; Unknown with its reason when it cannot be told."""
        fixed = fixed_place(step.on, self.context.inventory)
        if fixed is not None or step.on is None or step.on.computed is None:
            return fixed or LOCAL
        value = step.on.computed.resolve(RunScope(context=self.context))
        if isinstance(value, Unknown):
            return value
        name = str(value)
        if name not in self.context.inventory.hosts:
            return Unknown(f"{name!r} is not a host of the inventory", not_yet=False)
        return name

    def carry_out(self, step: Step, role: ev.Role = ev.Role.LOOK) -> ev.StepFinished:
        """Look, again if the step says `until`, and record every attempt; the last record is the step's end."""
        place = self.place_of(step)
        if isinstance(place, Unknown):
            return self.end_early(step, Outcome.FAILED, f"no place: {place}", role=role)
        if step.until is None:
            judged = self._once(self._next(step, place, role), final=lambda _: True)
            return self._ended(step, judged)
        return self._until(step, step.until, place, role)

    def _until(self, step: Step, until: Repeat, place: str, role: ev.Role) -> ev.StepFinished:
        clock = self.context.clock
        pace = Pace(until, clock.monotonic())
        row = 0
        good_since: Time | None = None
        while True:
            pace.tries += 1
            began = clock.now()
            attempt = self._next(step, place, role)
            limit = pace.left(clock.monotonic())
            pause: Duration | None = None

            def over(judged: Judged) -> bool:
                nonlocal row, good_since, pause
                row = row + 1 if judged.outcome is Outcome.OK else 0
                good_since = (good_since or began) if row else None  # noqa: B023 - called before the next turn
                if row >= until.in_a_row:
                    return True
                pause = pace.next_pause(clock.monotonic(), until.in_a_row - row)
                return pause is None or self._halted()

            judged = self._once(attempt, final=over, limit=limit, timed=pace.by_time)
            if pause is None or row >= until.in_a_row or self._halted():
                if row >= until.in_a_row and good_since is not None:
                    self.good_since[step.path] = good_since
                return self._ended(step, judged)
            clock.sleep(pause, self._halted)

    def verdict(self, looks: Sequence[Step | AnyOf], role: ev.Role = ev.Role.VERIFY) -> Verdict:
        """DONE if all are ok; NOT_DONE if one answered and is not ok; else UNKNOWN (language specification, section 3)."""
        seen = Seen.DONE
        reasons = []
        for look in looks:
            one = self._any(look, role) if isinstance(look, AnyOf) else self._one(look, role)
            if one.seen is not Seen.DONE:
                reasons.append(one.because)
            if one.seen is Seen.NOT_DONE:
                seen = Seen.NOT_DONE
            elif one.seen is Seen.UNKNOWN and seen is Seen.DONE:
                seen = Seen.UNKNOWN
        return Verdict(seen=seen, because="; ".join(reasons) or "seen to be there")

    def _any(self, alternatives: AnyOf, role: ev.Role) -> Verdict:
        reasons = []
        for look in alternatives.looks:
            one = self._one(look, role)
            if one.seen is Seen.DONE:
                return one
            reasons.append(one)
        answered = [one for one in reasons if one.seen is Seen.NOT_DONE]
        because = "; ".join(one.because for one in reasons)
        return Verdict(seen=Seen.NOT_DONE if len(answered) == len(reasons) else Seen.UNKNOWN, because=because)

    def _one(self, look: Step, role: ev.Role) -> Verdict:
        final = self.carry_out(look, role)
        outcome = Outcome(final.outcome)
        if outcome is Outcome.OK:
            return Verdict(seen=Seen.DONE, because=final.because)
        reached = outcome is Outcome.FAILED and not final.because.startswith("not proven")
        crashed = self._shell_crashed(look, final)
        seen = Seen.NOT_DONE if reached and not crashed and look.until is None else Seen.UNKNOWN
        return Verdict(seen=seen, because=f"{look.path}: {final.because}")

    def _shell_crashed(self, look: Step, final: ev.StepFinished) -> bool:
        """In a shell look here exit 0 = yes, 1 = no, any other = cannot tell, unless its `expect` names `exit`."""
        named = {use.path[0] for line in look.judgement.expect for use in line.expression.paths()}
        is_shell = isinstance(look.body, Action) and look.body.kind == "shell"
        return is_shell and "exit" not in named and final.outputs.get("exit") not in (0, 1)

    def _next(self, step: Step, place: str, role: ev.Role) -> Attempt:
        state = self._recorder.state.step(step.path)
        number = state.attempts if state.last is not None and state.last.open else state.attempts + 1
        return Attempt(step=step, place=place, role=role, number=number)

    def _once(
        self,
        attempt: Attempt,
        *,
        final: Callable[[Judged], bool],
        limit: Duration | None = None,
        timed: bool = False,
    ) -> Judged:
        step, clock = attempt.step, self.context.clock
        scope = RunScope(context=self.context, place=attempt.place)
        kind: Kind | Unknown | None = None
        lines = criteria(self._kind_of(step), step.judgement.expect)
        began = clock.monotonic()
        if isinstance(step.body, Check):
            self._begin(attempt, None)
            outputs = Outputs(values={})
        else:
            assert isinstance(step.body, Action)  # noqa: S101 - the executor sends nothing else here
            try:
                kind = build(self.context.kinds[step.body.kind], step.body, scope)
            except FieldError as error:
                kind = Unknown(str(error), not_yet=False)
            if isinstance(kind, Unknown):
                judged = Judged(outcome=Outcome.FAILED, because=f"needs {kind}")
                self._finish(attempt, judged, final=final(judged), elapsed=Duration(0))
                return judged
            assert isinstance(kind, LookKind)  # noqa: S101 - the loader checked it
            self._begin(attempt, kind)
            outputs = kind.look(self._looking.probe(attempt.place, self._limit(step, kind, limit)))
        judged = judge(lines, step.judgement.capture, outputs, self.context, attempt.place)
        self._evidence(attempt, outputs)
        over = final(judged)
        if over and timed and judged.outcome is Outcome.FAILED and step.until is not None:
            judged = Judged(
                outcome=Outcome.TIMEOUT, because=f"until gave up: {judged.because}", values=judged.values,
                captures=judged.captures, unknown=judged.unknown,
            )  # fmt: skip
        self._finish(attempt, judged, final=over, elapsed=Duration(clock.monotonic().micros - began.micros))
        return judged

    def _kind_of(self, step: Step) -> type[Kind] | None:
        return self.context.kinds[step.body.kind] if isinstance(step.body, Action) else None

    def _limit(self, step: Step, kind: Kind, left: Duration | None) -> Duration:
        limit = step.timeout or kind.TIMEOUT or LOOK_LIMIT
        return limit if left is None else Duration(max(1_000_000, min(limit.micros, left.micros)))

    def _begin(self, attempt: Attempt, kind: Kind | None) -> None:
        state = self._recorder.state.step(attempt.step.path)
        if state.last is not None and state.last.open and state.last.attempt == attempt.number:
            return
        facts = self._looking.probe(attempt.place, LOOK_LIMIT).facts if kind is not None else None
        self._recorder.write(
            ev.StepStarted(
                path=attempt.step.path, host=attempt.place, attempt=attempt.number, role=attempt.role,
                kind=kind.NAME if kind else "check", title=self.title(attempt.step),
                text=kind.describe(facts) if kind is not None and facts is not None else "",
            )
        )  # fmt: skip

    def title(self, step: Step) -> str:
        """The step's title in the run's language, empty when it has none."""
        if step.title is None:
            return ""
        return step.title.pick(self.context.identity.language).show(RunScope(context=self.context))

    def _evidence(self, attempt: Attempt, outputs: Outputs) -> None:
        """Keep what was printed, under its digest; a sensitive step leaves nothing."""
        if attempt.step.sensitive or not (outputs.streams or outputs.host_key):
            return
        kept = {
            name: self.context.store.put(self._mask(data.decode("utf-8", "backslashreplace")).encode())
            for name, data in outputs.streams.items() if data
        }  # fmt: skip
        self._recorder.write(
            ev.CommandRan(
                path=attempt.step.path, host=attempt.place, attempt=attempt.number, state=outputs.reach.value, out=kept,
                host_key=outputs.host_key,
            )
        )  # fmt: skip

    def _finish(self, attempt: Attempt, judged: Judged, *, final: bool, elapsed: Duration) -> None:
        step = attempt.step
        hide = step.sensitive
        self._recorder.write(
            ev.StepFinished(
                path=step.path, host=attempt.place, attempt=attempt.number, role=attempt.role, final=final,
                outcome=judged.outcome.value, because=judged.because, elapsed_us=elapsed.micros,
                outputs={} if hide else pack(judged.values, self.context.store, self._mask),
                captures={} if hide else pack(judged.captures, self.context.store, self._mask),
                unknown=dict(judged.unknown), observed=step.judgement.observe,
                tolerated=judged.outcome in step.judgement.tolerate,
            )
        )  # fmt: skip

    def _ended(self, step: Step, judged: Judged) -> ev.StepFinished:
        final = self._recorder.state.step(step.path).final
        if final is None:  # the walk was told to stop while it looked again
            return ev.StepFinished(path=step.path, outcome=judged.outcome.value, because=judged.because, final=False)
        return final

    def end_early(
        self, step: Step, outcome: Outcome, because: str, *, role: ev.Role = ev.Role.LOOK, by: str = ""
    ) -> ev.StepFinished:
        """Record the end of a step of which no unit began."""
        return_event = ev.StepFinished(
            path=step.path, outcome=outcome.value, attempt=0, role=role, because=because, by=by,
            tolerated=outcome in step.judgement.tolerate, observed=step.judgement.observe,
        )  # fmt: skip
        self._recorder.write(return_event)
        return return_event
