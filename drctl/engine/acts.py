"""Carries out acts by one rule; retry, resume and crash recovery are the same path.

if the unit is in doubt (crash, timeout, lost link): look before acting
DONE -> ok, found; UNKNOWN -> in doubt, a person looks; NOT_DONE -> a new generation, once the old is surely gone
record the intent, on disk, before the first byte leaves
execute; verify; record the outcome
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.kind import ActKind, FieldError, Outputs, Seen, Verdict
from drctl.core.model import Action, Effect, Outcome, Step, WayKind
from drctl.core.ports import Act, Claim, ClaimReply, ClaimShell, ClaimState, Command, Reach, Reply
from drctl.core.values import Duration, Unknown, Value, to_json
from drctl.engine.context import ACT_LIMIT, LOOK_LIMIT, Context
from drctl.engine.fields import build
from drctl.engine.judge import Judged, criteria, judge
from drctl.engine.looks import Looks, Pace
from drctl.engine.outputs import pack
from drctl.engine.scope import RunScope
from drctl.errors import DefectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one attempt ended, before it is recorded.

    `again` = it surely did not happen and a new generation may be tried at once.
    """

    outcome: Outcome
    because: str
    found: bool = False
    again: bool = False
    effect_there: bool = False
    judged: Judged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActUnit:
    """An act to carry out: its step, where, what for, and what its guards found. `kind` is given for inverses."""

    step: Step
    place: str
    role: ev.Role = ev.Role.ACT
    kind: ActKind | None = None

    @property
    def path(self) -> str:
        """The address of its records and claims."""
        return self.step.path


class _Doubt(Exception):  # noqa: N818 - a signal within this module
    """The act's own reply cannot be had. `gone`: nothing of it runs any more. `never`: it surely did not begin."""

    def __init__(
        self, because: str, *, gone: bool = False, never: bool = False, outcome: Outcome = Outcome.FAILED
    ) -> None:
        super().__init__(because)
        self.because = because
        self.gone = gone
        self.never = never
        self.outcome = outcome


class BoundShell:
    """The shell of one unit: bound to its claim, good for one command; attaches instead of running after a crash."""

    def __init__(self, shell: ClaimShell, claim: Claim, *, attach: bool, told: Callable[[ClaimReply], None]) -> None:
        self._shell = shell
        self._claim = claim
        self._attach = attach
        self._told = told
        self._used = False

    def read(self, command: Command) -> Reply:
        """Look; free of the claim."""
        return self._shell.read(command)

    def stage(self, chunks: Iterable[bytes]) -> str:
        """Upload beside the claim; when attaching nothing is sent, since the outcome is already on the host."""
        return "" if self._attach else self._shell.stage(self._claim, chunks)

    def run(self, command: Command) -> Reply:
        """Run under the claim, or get its outcome back."""
        if self._used:
            raise DefectError("A step kind ran two commands in one execution", meaning="A unit has one claim.")
        self._used = True
        answer = self._shell.attach(self._claim, command) if self._attach else self._shell.run(self._claim, command)
        self._told(answer)
        because = answer.because or answer.state.value
        match answer.state:
            case ClaimState.RAN | ClaimState.REATTACHED if answer.reply is not None:
                return answer.reply
            case ClaimState.NOT_STARTED:
                raise _Doubt(because, gone=True, never=True, outcome=Outcome.NOT_RUN)
            case ClaimState.REFUSED:
                raise _Doubt(because, gone=True, never=not self._attach)
            case ClaimState.UNREACHABLE:
                raise _Doubt(because, never=not self._attach, outcome=Outcome.UNREACHABLE)
            case ClaimState.KILLED:
                raise _Doubt(because, gone=True, outcome=Outcome.TIMEOUT)
            case ClaimState.STILL_RUNNING:
                raise _Doubt(f"still running: {because}")
            case _:
                raise _Doubt(because, gone=answer.gone)


class Acts:
    """Acts of one run."""

    def __init__(
        self, looks: Looks, recorder: Recorder, world: World, control: Control, mask: Callable[[str], str]
    ) -> None:
        self._looks = looks
        self._recorder = recorder
        self._world = world
        self._control = control
        self._mask = mask
        self.running: dict[str, tuple[Claim, ClaimShell, Effect]] = {}
        """Claims under way, for a person who wants them ended."""

    @property
    def _context(self) -> Context:
        return self._looks.context

    def carry_out(self, unit: ActUnit) -> ev.StepFinished:
        """Carry the act out, from wherever the journal says it stands, and record its end."""
        clock = self._context.clock
        retry = unit.step.retry
        pace = Pace(retry, clock.monotonic()) if retry is not None else None
        state = self._recorder.state.step(unit.path)
        doubtful = state.last is not None and (state.last.open or state.outcome is Outcome.IN_DOUBT)
        while True:
            began = clock.monotonic()
            if pace is not None:
                pace.tries += 1
            end = self._settle(unit) if doubtful else self._attempt(unit)
            elapsed = Duration(clock.monotonic().micros - began.micros)
            doubtful = False
            if end.again:
                self._finish(unit, end, final=False, elapsed=elapsed)
                continue
            pause = pace.next_pause(clock.monotonic()) if pace is not None and _retryable(end) else None
            final = pause is None or bool(self._control.level)
            finished = self._finish(unit, end, final=final, elapsed=elapsed)
            if final or pause is None:
                return finished
            clock.sleep(pause, lambda: bool(self._control.level))

    def describe(self, unit: ActUnit) -> tuple[ActKind, str, str] | Unknown:
        """What would be sent now: the kind, its text, its digest; what people approve."""
        kind = self._build(unit)
        if isinstance(kind, Unknown):
            return kind
        facts = self._world.probe(unit.place, LOOK_LIMIT).facts
        return kind, kind.describe(facts), kind.digest(facts)

    # -- one attempt ------------------------------------------------------------------------------------------------

    def _attempt(self, unit: ActUnit) -> End:
        kind = self._build(unit)
        if isinstance(kind, Unknown):
            return End(outcome=Outcome.FAILED, because=f"needs {kind}")
        refusal = self._refused(unit, kind)
        if refusal:
            return End(outcome=Outcome.FAILED, because=refusal)
        probe = self._world.probe(unit.place, LOOK_LIMIT)
        prior = kind.preview(probe).prior
        started = self._intent(unit, kind, prior)
        if unit.step.effect is Effect.IRREVERSIBLE:
            self._recorder.sign()
        self._recorder.write(started, durable=True)
        return self._execute(unit, kind, started, attach=False)

    def _build(self, unit: ActUnit) -> ActKind | Unknown:
        if unit.kind is not None:
            return unit.kind
        body = unit.step.body
        assert isinstance(body, Action)  # noqa: S101 - the executor sends nothing else here
        try:
            kind = build(self._context.kinds[body.kind], body, RunScope(context=self._context, place=unit.place))
        except FieldError as error:
            return Unknown(str(error), not_yet=False)
        if isinstance(kind, Unknown):
            return kind
        if not isinstance(kind, ActKind):
            raise DefectError(f"Kind {kind.NAME} cannot act", where=str(unit.step.where))
        return kind

    def _refused(self, unit: ActUnit, kind: ActKind) -> str:
        """Guards that no document can switch off; empty when they hold."""
        fenced = self._recorder.state.fenced
        if unit.place in fenced and unit.role in {ev.Role.ACT, ev.Role.UNDO, ev.Role.RESTORE}:
            return f"{unit.place} is fenced ({fenced[unit.place]}): nothing may change it until the fence is lifted"
        if kind.REQUIRES_FENCE and unit.role is ev.Role.ACT and not fenced:
            return f"{kind.NAME} needs a proven fence of the old primary in this run, and there is none"
        return ""

    def _intent(self, unit: ActUnit, kind: ActKind, prior: Mapping[str, Value]) -> ev.StepStarted:
        state = self._recorder.state.step(unit.path)
        generation = state.generation + 1
        step, facts = unit.step, self._world.probe(unit.place, LOOK_LIMIT).facts
        return ev.StepStarted(
            path=unit.path, host=unit.place, attempt=state.attempts + 1, generation=generation, role=unit.role,
            kind=kind.NAME, effect=step.effect.value, title=self._looks.title(step), text=kind.describe(facts),
            digest=kind.digest(facts), key=self.key(unit, generation), prior={k: to_json(v) for k, v in prior.items()},
            undo=_way(step, "undo", kind, prior), restore=_way(step, "restore", kind, prior),
            no_return=step.ways.no_return,
        )  # fmt: skip

    def key(self, unit: ActUnit, generation: int) -> str:
        """SHA-256 of run uid, step path, iteration (none yet), host and generation: the claim's name on the host."""
        parts = (self._context.identity.uid, unit.path, "", unit.place, str(generation))
        return hashlib.sha256("\n".join(("drctl/claim/v1", *parts)).encode()).hexdigest()

    def _claim(self, key: str) -> Claim:
        who = self._context.identity
        return Claim(key=key, run=who.uid, run_id=who.id, operator=who.operator, epoch=who.epoch, holder=who.holder)

    def _execute(self, unit: ActUnit, kind: ActKind, started: ev.StepStarted, *, attach: bool) -> End:
        """Execute, or with `attach` get the recorded outcome of an earlier execution; then verify and judge."""
        claim = self._claim(started.key)
        shell = self._world.shell(unit.place)
        probe = self._world.probe(unit.place, unit.step.timeout or kind.TIMEOUT or ACT_LIMIT)
        bound = BoundShell(shell, claim, attach=attach, told=lambda answer: self._evidence(unit, started, answer))
        act = Act(
            probe=probe, shell=bound, http=self._world.http(unit.place), notifier=self._world.notifier, key=started.key
        )
        self.running[started.key] = (claim, shell, unit.step.effect)
        try:
            if not kind.CLAIMED and attach:
                raise _Doubt("the request left no trace that drctl could ask for", gone=True)
            outputs = kind.execute(act)
        except _Doubt as doubt:
            return self._unknown_end(unit, kind, doubt)
        finally:
            self.running.pop(started.key, None)
        if outputs.reach is not Reach.COMPLETE:
            never = outputs.reach is Reach.UNREACHABLE
            outcome = Outcome.UNREACHABLE if never else Outcome.TIMEOUT
            return self._unknown_end(unit, kind, _Doubt(outputs.because, gone=True, never=never, outcome=outcome))
        return self._known_end(unit, kind, outputs)

    def _known_end(self, unit: ActUnit, kind: ActKind, outputs: Outputs) -> End:
        step = unit.step
        judged = judge(
            criteria(type(kind), step.judgement.expect), step.judgement.capture, outputs, self._context, unit.place
        )
        verdict = self._verify(unit, kind)
        there = verdict is not None and verdict.seen is Seen.DONE
        if judged.outcome is not Outcome.OK:
            return End(outcome=judged.outcome, because=judged.because, effect_there=there, judged=judged)
        if verdict is None or there:
            return End(outcome=Outcome.OK, because=judged.because, effect_there=True, judged=judged)
        if verdict.seen is Seen.UNKNOWN:
            return End(
                outcome=Outcome.IN_DOUBT,
                because=f"ended well, but cannot be verified: {verdict.because}",
                judged=judged,
            )
        return End(
            outcome=Outcome.FAILED, because=f"ended well, but the effect is not there: {verdict.because}", judged=judged
        )

    def _unknown_end(self, unit: ActUnit, kind: ActKind, doubt: _Doubt) -> End:
        """Decide about an act whose own reply cannot be had: only a look decides."""
        if doubt.never:
            if doubt.outcome is Outcome.NOT_RUN:
                return End(outcome=Outcome.NOT_RUN, because=f"proven not started ({doubt.because})", again=True)
            return End(outcome=doubt.outcome, because=doubt.because)
        verdict = self._verify(unit, kind)
        if verdict is not None and verdict.seen is Seen.DONE:
            return End(
                outcome=Outcome.OK, found=True, effect_there=True,
                because=f"found done ({doubt.because}; {verdict.because})",
            )  # fmt: skip
        if (
            doubt.outcome is Outcome.TIMEOUT
            and doubt.gone
            and (verdict.seen is Seen.NOT_DONE if verdict is not None else unit.step.effect is Effect.IDEMPOTENT)
        ):
            return End(outcome=Outcome.TIMEOUT, because=doubt.because)
        if doubt.gone and self._may_repeat(unit, verdict):
            return End(outcome=Outcome.NOT_RUN, because=f"not done, and nothing runs ({doubt.because})", again=True)
        looked = verdict.because if verdict is not None else "there is no look that could tell"
        return End(outcome=Outcome.IN_DOUBT, because=f"{doubt.because}; {looked}")

    def _may_repeat(self, unit: ActUnit, verdict: Verdict | None) -> bool:
        """Whether doing it again is safe once nothing of the old attempt runs any more."""
        if verdict is not None and verdict.seen is Seen.NOT_DONE:
            return True
        return verdict is None and unit.step.effect is Effect.IDEMPOTENT

    def _verify(self, unit: ActUnit, kind: ActKind) -> Verdict | None:
        """Look whether the effect is there; None when nothing can tell."""
        if unit.kind is None and unit.step.verify:
            return self._looks.verdict(unit.step.verify)
        if kind.VERIFIES:
            return kind.verify(self._world.probe(unit.place, LOOK_LIMIT))
        return None

    # -- after a crash, or in doubt ---------------------------------------------------------------------------------

    def _settle(self, unit: ActUnit) -> End:
        """Find out what became of the newest intent; nothing is started."""
        state = self._recorder.state.step(unit.path)
        started = next(u.started for u in reversed(state.units) if u.started is not None)
        kind = self._build(unit)
        if isinstance(kind, Unknown):
            return End(outcome=Outcome.IN_DOUBT, because=f"the step cannot be resolved any more: {kind}")
        if state.last is not None and not state.last.open:
            again = replace(started, attempt=state.attempts + 1, text="look again at what became of the attempt before")
            self._recorder.write(again, durable=True)
        facts = self._world.probe(unit.place, LOOK_LIMIT).facts
        if kind.digest(facts) != started.digest:
            return End(
                outcome=Outcome.IN_DOUBT, because="the step resolves to another command than the one that was started"
            )
        return self._execute(unit, kind, started, attach=True)

    # -- records ----------------------------------------------------------------------------------------------------

    def _evidence(self, unit: ActUnit, started: ev.StepStarted, answer: ClaimReply) -> None:
        reply = answer.reply
        out: dict[str, str] = {}
        if reply is not None and not unit.step.sensitive:
            streams = {"stdout": reply.stdout, "stderr": reply.stderr}
            out = {
                name: self._context.store.put(self._mask(data.decode("utf-8", "backslashreplace")).encode())
                for name, data in streams.items() if data
            }  # fmt: skip
        attempt = self._recorder.state.step(unit.path).attempts
        self._recorder.write(
            ev.CommandRan(
                path=unit.path, host=unit.place, attempt=attempt, state=answer.state.value, out=out,
                exit=reply.exit if reply else None, elapsed_us=reply.elapsed.micros if reply else 0,
                cut=reply.cut if reply else False, host_key=reply.host_key if reply else "", boot=answer.boot,
            )
        )  # fmt: skip

    def _finish(self, unit: ActUnit, end: End, *, final: bool, elapsed: Duration) -> ev.StepFinished:
        step, state = unit.step, self._recorder.state.step(unit.path)
        attempt = state.attempts if state.last is not None and state.last.open else 0
        store, judged = self._context.store, end.judged or Judged(outcome=end.outcome, because=end.because)
        event = ev.StepFinished(
            path=unit.path, host=unit.place, attempt=attempt, role=unit.role, final=final, found=end.found,
            outcome=end.outcome.value, because=end.because, effect_there=end.effect_there, elapsed_us=elapsed.micros,
            outputs={} if step.sensitive else pack(judged.values, store, self._mask),
            captures={} if step.sensitive else pack(judged.captures, store, self._mask),
            unknown=dict(judged.unknown), tolerated=end.outcome in step.judgement.tolerate,
        )  # fmt: skip
        self._recorder.write(event, durable=True)
        return event


def _retryable(end: End) -> bool:
    """Only a known failure is tried again; doubt never."""
    return end.outcome.bad


def _way(step: Step, name: str, kind: ActKind, prior: Mapping[str, Value]) -> dict[str, Any] | None:
    """What the intent says about a way back: steps, the kind's inverse with what stood there before, or why none."""
    way = step.ways.undo if name == "undo" else step.ways.restore
    if way is None and name == "restore":
        return None
    if way is not None and way.kind is WayKind.STEPS:
        return {"steps": [inner.path for inner in way.steps]}
    if way is not None and way.kind is WayKind.NONE:
        return {"none": way.why}
    if kind.NO_INVERSE:
        return {"none": kind.NO_INVERSE}
    return {"auto": {key: to_json(value) for key, value in prior.items()}}
