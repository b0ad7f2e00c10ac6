"""Carries out acts by one rule; retry, resume and crash recovery are the same path.

if the unit is in doubt (crash, timeout, lost link, or a second attempt): look before acting
DONE -> ok, found; UNKNOWN -> in doubt, a person looks; NOT_DONE -> a new generation, once the old is surely gone
record the intent, on disk, before the first byte leaves
execute; verify; record the outcome
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from drctl.core import events as ev
from drctl.core.kind import ActKind, Seen, Verdict
from drctl.core.model import Action
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Effect, Outcome
from drctl.core.ports import Act
from drctl.core.values import Duration, Unknown
from drctl.engine.changes import as_changed
from drctl.engine.context import Context
from drctl.engine.faults import telling
from drctl.engine.fields import build
from drctl.engine.judge import Judged, criteria, judge
from drctl.engine.outputs import pack, unpack
from drctl.engine.owners import Owners, claim_of, locked, replaced
from drctl.engine.pace import Ladder, Pace
from drctl.engine.scope import RunScope
from drctl.engine.shells import Bond, BoundShell, Doubt, Running, Watch, as_digest, user_of
from drctl.engine.units import HARD, ActUnit, End, Resolved, executed, is_marker, limit_of
from drctl.engine.ways import INLINE, recorded_way
from drctl.errors import DefectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from drctl.core.kind import Outputs
    from drctl.core.ports import ClaimReply
    from drctl.core.values import Value
    from drctl.engine.context import Context
    from drctl.engine.looks import Looks
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.world import World

_GLANCE: Final = 0.1
"""Seconds in which the word to end running acts is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What a pause between two attempts heeds: the ladder of the wait, and whether no further attempt begins."""

    ladder: Ladder = field(default_factory=Ladder)
    halted: Callable[[], bool] = lambda: False


class Acts:
    """Acts of one run."""

    def __init__(
        self, looks: Looks, recorder: Recorder, world: World, control: Control, waits: Waits | None = None
    ) -> None:
        self._looks = looks
        self._recorder = recorder
        self._world = world
        self._control = control
        self._waits = waits or Waits()
        self._owners = Owners(looks.context.identity, recorder, world, looks.context.bounds.fan_out)
        self._running: dict[str, Running] = {}

    @property
    def _context(self) -> Context:
        return self._looks.context

    def carry_out(self, unit: ActUnit, guard: Callable[[], ev.StepFinished | str] = lambda: "") -> ev.StepFinished:
        """Carry the act out, from wherever the journal says it stands, and record its end.

        `guard` stands before every intent: the end it gives is the step's end, the digest it gives is the one thing
        that may be sent. The end is not final when a person stopped the run in between.
        """
        clock = self._context.clock
        retry = unit.step.retry
        pace = Pace(retry, clock.monotonic()) if retry is not None else None
        settling = self._recorder.state.step(unit.path).unsettled
        while True:
            agreed = "" if settling else guard()
            if isinstance(agreed, ev.StepFinished):
                return agreed
            began = clock.monotonic()
            if pace is not None:
                pace.tries += not settling
            end = self._settle(unit) if settling else self._attempt(unit, pace, agreed)
            again, settling = settling and end.again, False
            elapsed = Duration(clock.monotonic().micros - began.micros)
            self._ours(unit, end, elapsed)
            pause = self._pause(unit, end, pace)
            if pause is not None and pace is not None and not pace.climb(self._waits.ladder, clock.monotonic()):
                pause, end = None, replace(end, because=f"{pace.refused}; {end.because}")
            stops = self._control.stopping and (again or pause is not None)
            final = not (again or end.ended or pause is not None)
            finished = self._finish(unit, end, final=final, elapsed=elapsed)
            if final or stops or end.ended:
                return finished
            if pause is not None and not again:
                clock.sleep(pause, self._waits.halted)
                if self._waits.halted():
                    return finished

    def _ours(self, unit: ActUnit, end: End, elapsed: Duration) -> None:
        """Stop when the host belongs to somebody else: an act that surely did not begin there may be made later.

        A method of a fence and a way back end badly instead, and others go on: unless this run goes on elsewhere.

        Raises:
            Stop: it does.
        """
        by = end.held_by
        if by is None or not (by.replaces or unit.role is ev.Role.ACT):
            return
        if end.outcome is not Outcome.IN_DOUBT:  # else its end is not this writer's to tell: the unit stays open
            self._finish(unit, replace(end, outcome=Outcome.NOT_RUN), final=False, elapsed=elapsed)
        raise (replaced if by.replaces else locked)(unit.path, end.because)

    def _pause(self, unit: ActUnit, end: End, pace: Pace | None) -> Duration | None:
        """The pause before the act is done again; None when it is not. Only a known failure is; doubt never."""
        done_and_bad = end.effect_there and unit.step.effect in HARD
        if pace is None or end.again or end.ended or done_and_bad or not end.outcome.bad:
            return None
        return pace.next_pause(self._context.clock.monotonic())

    def resolve(self, unit: ActUnit) -> Resolved | str:
        """What would be sent now, or why nothing can be."""
        with telling() as told:
            names = self._names(unit)
            kind = unit.kind or self._built(unit, names)
            if isinstance(kind, Unknown):
                return f"needs {kind}"
            user = user_of(unit.step, names)
            if isinstance(user, Unknown):
                return f"needs {user}"
            facts = self._looks.facts
            return Resolved(kind=kind, user=user, text=kind.describe(facts), digest=as_digest(kind.digest(facts), user))
        return told.because

    @contextlib.contextmanager
    def ending_on_word(self) -> Iterator[None]:
        """While the run goes on, end running acts on their hosts when the operator says so.

        A thread of its own: the one that carries the act out waits for it. A signal only raises the level, since it may
        come at any moment.
        """
        over, told = threading.Event(), set[str]()

        def watch() -> None:
            while not over.wait(_GLANCE):
                if self._control.ending:
                    self.end_running(told)

        watcher = threading.Thread(target=watch, name="end-running", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def end_running(self, told: set[str]) -> list[str]:
        """End what runs on the hosts now, never an irreversible act; the paths that were left alone.

        `told` holds the claims that were dealt with before; it grows.
        """
        left = []
        for key, running in list(self._running.items()):
            if key in told:
                continue
            told.add(key)
            if running.bond.effect is Effect.IRREVERSIBLE:
                left.append(running.bond.path)
            else:
                running.shell.kill(running.claim, running.command)
        return left

    def verify(self, unit: ActUnit) -> Verdict | None:
        """Look whether the effect is there; None when nothing can tell."""
        resolved = self.resolve(unit)
        if isinstance(resolved, str):
            if unit.kind is None and unit.step.verify:
                return self._looks.verdict(unit.step.verify, scope=self._names(unit))
            return Verdict(seen=Seen.UNKNOWN, because=resolved)
        return self._verify(unit, resolved)

    # -- one attempt ------------------------------------------------------------------------------------------------

    def _names(self, unit: ActUnit) -> RunScope:
        return RunScope(context=self._context, place=unit.place, pinned=unit.pinned).at(unit.step)

    def _built(self, unit: ActUnit, names: RunScope) -> ActKind | Unknown:
        body = unit.step.body
        assert isinstance(body, Action)  # noqa: S101 - the executor sends nothing else here
        body = as_changed(body, self._recorder.state.changes.get(unit.path, ()))
        kind = build(self._context.kinds[body.kind], body, names)
        if isinstance(kind, ActKind | Unknown):
            return kind
        raise DefectError(f"Kind {kind.NAME} cannot act", where=str(unit.step.where))

    def _attempt(self, unit: ActUnit, pace: Pace | None, agreed: str) -> End:
        resolved = self.resolve(unit)
        if isinstance(resolved, str):
            return End(outcome=Outcome.FAILED, because=resolved)
        refusal = self._refused(unit, resolved.kind)
        if agreed and resolved.digest != agreed:
            refusal = "what would be sent changed after people had agreed to it"
        if refusal:
            return End(outcome=Outcome.FAILED, because=refusal)
        looked = self._look_first(unit, resolved)
        if looked is not None:
            return looked
        with telling() as told:
            prior = resolved.kind.preview(self._looks.probe(unit.place, resolved.user)).prior
        if told.because:
            return End(outcome=Outcome.FAILED, because=f"cannot see what stands there now: {told.because}")
        started = self._intent(unit, resolved, prior)
        self._recorder.write(started, durable=True)
        if unit.step.effect is Effect.IRREVERSIBLE:
            self._recorder.sign()
        limit = self._limit(unit, resolved.kind)
        if pace is not None:
            limit = pace.limit(limit, self._context.clock.monotonic())
        return self._execute(unit, resolved, started, limit=limit)

    def _limit(self, unit: ActUnit, kind: ActKind) -> Duration:
        return limit_of(unit.step, kind)

    def _refused(self, unit: ActUnit, kind: ActKind) -> str:
        """Guards that no document can switch off; empty when they hold."""
        fenced = self._recorder.state.fenced
        if unit.place in fenced and unit.role in {ev.Role.ACT, ev.Role.UNDO, ev.Role.RESTORE}:
            return f"{unit.place} is fenced ({fenced[unit.place]}): nothing may change it until the fence is lifted"
        if kind.REQUIRES_FENCE and unit.role is ev.Role.ACT and not fenced:
            return f"{kind.NAME} needs a proven fence of the old primary in this run, and there is none"
        return ""

    def _look_first(self, unit: ActUnit, resolved: Resolved) -> End | None:
        """A second attempt of what must not happen twice: look whether the first one's effect is there after all."""
        units = self._recorder.state.step(unit.path).units
        newest = next((u for u in reversed(units) if u.finished is not None and not is_marker(u)), None)
        if unit.step.effect not in HARD or not self._recorder.state.step(unit.path).effects:
            return None
        if newest is not None and newest.outcome is Outcome.IN_DOUBT:
            return None  # a person has looked, and said that it did not happen
        verdict = self._verify(unit, resolved)
        if verdict is None or verdict.seen is Seen.NOT_DONE:
            return None
        if verdict.seen is Seen.DONE:
            because = f"an earlier attempt did it ({verdict.because})"
            return End(outcome=Outcome.OK, found=True, effect_there=True, because=because)
        because = f"cannot tell whether an earlier attempt did it: {verdict.because}"
        return End(outcome=Outcome.IN_DOUBT, because=because)

    def _intent(self, unit: ActUnit, resolved: Resolved, prior: Mapping[str, Value]) -> ev.StepStarted:
        state, step, kind = self._recorder.state.step(unit.path), unit.step, resolved.kind
        generation = state.generation + 1
        store, mask = self._context.store, self._looks.pen.mask
        names = self._names(unit)
        undo, restore = (
            recorded_way(step, kind, restore=restore, store=store, mask=mask, place=names) for restore in (False, True)
        )
        return ev.StepStarted(
            path=unit.path, host=unit.place, attempt=state.attempts + 1, generation=generation, role=unit.role,
            kind=kind.NAME, effect=step.effect.value, title=self._looks.title(step), text=resolved.text,
            digest=resolved.digest, key=self._key(unit, kind, generation),
            prior=pack(prior, store, mask, inline=INLINE).tagged, undo=undo, restore=restore,
            no_return=step.ways.no_return, claims=self._world.claims(unit.place),
        )  # fmt: skip

    def _key(self, unit: ActUnit, kind: ActKind, generation: int) -> str:
        """SHA-256 of run uid, step path, iteration (none yet), host and generation: the claim's name on the host.

        A request without a claim has one key for all its attempts, so that the receiver can drop a second copy.
        """
        number = str(generation) if kind.CLAIMED else "any"
        parts = (self._context.identity.uid, unit.path, "", unit.place, number)
        return hashlib.sha256("\n".join(("drctl/claim/v1", *parts)).encode()).hexdigest()

    def _execute(
        self, unit: ActUnit, resolved: Resolved, started: ev.StepStarted, *, limit: Duration, attach: bool = False
    ) -> End:
        """Execute, or with `attach` get the recorded outcome of an earlier execution; then verify and judge."""
        kind, step = resolved.kind, unit.step
        bond = Bond(
            path=unit.path, effect=step.effect, user=resolved.user, sensitive=step.sensitive, attach=attach, left=limit
        )
        watch = Watch(
            goes=lambda running: self._running.__setitem__(started.key, running),
            told=lambda answer: self._evidence(unit, answer),
            clock=self._context.clock,
            control=self._control,
        )
        if attach and started.claims != self._world.claims(unit.place):
            because = "the claims of `local` lie on another machine or in another state folder"
            return self._unknown_end(unit, resolved, Doubt(because), attach=attach)
        bound = BoundShell(self._world.shell(unit.place), claim_of(self._context.identity, started.key), bond, watch)
        act = Act(
            probe=self._looks.probe(unit.place, resolved.user, limit), shell=bound, http=self._world.http(unit.place),
            notifier=self._world.notifier, key=started.key,
        )  # fmt: skip
        try:
            outputs = executed(kind, act, bound)
            if attach and step.sensitive:  # its output did not stay on the host
                outputs = replace(outputs, values={n: v for n, v in outputs.values.items() if n == "exit"})
            return self._known_end(unit, resolved, outputs)
        except Doubt as doubt:
            return self._unknown_end(unit, resolved, doubt, attach=attach)
        finally:
            self._running.pop(started.key, None)

    def _known_end(self, unit: ActUnit, resolved: Resolved, outputs: Outputs) -> End:
        judgement = unit.step.judgement
        lines = criteria(type(resolved.kind), judgement.expect)
        judged = judge(lines, judgement.capture, outputs, self._names(unit))
        verdict = self._verify(unit, resolved)
        there = verdict is not None and verdict.seen is Seen.DONE
        if judged.outcome is not Outcome.OK:
            return End(outcome=judged.outcome, because=judged.because, effect_there=there, judged=judged)
        if verdict is None or there:
            return End(outcome=Outcome.OK, because=judged.because, effect_there=True, judged=judged)
        if verdict.seen is Seen.UNKNOWN:
            because = f"ended well, but cannot be verified: {verdict.because}"
            return End(outcome=Outcome.IN_DOUBT, because=because, judged=judged)
        because = f"ended well, but the effect is not there: {verdict.because}"
        return End(outcome=Outcome.FAILED, because=because, judged=judged)

    def _unknown_end(self, unit: ActUnit, resolved: Resolved, doubt: Doubt, *, attach: bool) -> End:
        """Decide about an act whose own reply cannot be had: only a look decides."""
        by_person = self._control.ending
        if doubt.held_by is not None:
            outcome = doubt.outcome if doubt.never else Outcome.IN_DOUBT
            return End(outcome=outcome, because=doubt.because, held_by=doubt.held_by)
        if doubt.never:
            if doubt.outcome is not Outcome.NOT_RUN:
                return End(outcome=doubt.outcome, because=doubt.because)
            because = f"proven not started ({doubt.because})"
            return End(outcome=Outcome.NOT_RUN, because=because, again=attach, ended=by_person)
        verdict = self._verify(unit, resolved)
        if verdict is not None and verdict.seen is Seen.DONE:
            because = f"found done ({doubt.because}; {verdict.because})"
            return End(outcome=Outcome.OK, found=True, effect_there=True, because=because)
        is_undone = unit.step.effect is Effect.IDEMPOTENT if verdict is None else verdict.seen is Seen.NOT_DONE
        if doubt.gone and is_undone:
            timeout = doubt.outcome is Outcome.TIMEOUT
            because = doubt.because if timeout else f"not done, and nothing of it runs ({doubt.because})"
            outcome = Outcome.TIMEOUT if timeout else Outcome.FAILED
            return End(outcome=outcome, because=because, again=attach and not timeout, ended=by_person)
        looked = verdict.because if verdict is not None else "there is no look that could tell"
        return End(outcome=Outcome.IN_DOUBT, because=f"{doubt.because}; {looked}")

    def _verify(self, unit: ActUnit, resolved: Resolved) -> Verdict | None:
        """Look whether the effect is there; None when nothing can tell."""
        if unit.kind is None and unit.step.verify:
            return self._looks.verdict(unit.step.verify, scope=self._names(unit))
        if not resolved.kind.VERIFIES:
            return None
        with telling() as told:
            return resolved.kind.verify_since(self._looks.probe(unit.place, resolved.user), self._prior(unit))
        return Verdict(seen=Seen.UNKNOWN, because=told.because)

    def _prior(self, unit: ActUnit) -> dict[str, Value]:
        """What stood there before the newest intent, as far as the record has it."""
        newest = self._recorder.state.step(unit.path).intent
        found = newest.started.prior if newest is not None and newest.started is not None else {}
        values = {name: unpack(value, self._context.store) for name, value in found.items()}
        return {name: value for name, value in values.items() if not isinstance(value, Unknown)}

    # -- after a crash, or in doubt ---------------------------------------------------------------------------------

    def _settle(self, unit: ActUnit) -> End:
        """Find out what became of the newest intent; nothing is started."""
        state = self._recorder.state.step(unit.path)
        newest = state.intent
        assert newest is not None and newest.started is not None  # noqa: S101, PT018 - it is unsettled, so it began
        started = newest.started
        if state.last is not None and not state.last.open:
            again = replace(started, attempt=state.attempts + 1, text="look again at what became of the attempt before")
            self._recorder.write(again, durable=True)
        resolved = self.resolve(unit)
        if isinstance(resolved, str) or resolved.digest != started.digest:
            why = resolved if isinstance(resolved, str) else "it resolves to another command than was started"
            verdict = self.verify(unit)
            if verdict is not None and verdict.seen is Seen.DONE:
                because = f"found done ({verdict.because})"
                return End(outcome=Outcome.OK, found=True, effect_there=True, because=because)
            return End(outcome=Outcome.IN_DOUBT, because=f"drctl cannot ask the host what became of it: {why}")
        began = next(u.started_at for u in state.units if u.started is not None and u.started.key == started.key)
        limit = self._limit(unit, resolved.kind).micros
        spent = self._context.clock.now().micros - began.micros if began is not None else 0
        left = Duration(limit if spent < 0 else max(0, limit - spent))
        return self._execute(unit, resolved, started, limit=left, attach=True)

    # -- records ----------------------------------------------------------------------------------------------------

    def _evidence(self, unit: ActUnit, answer: ClaimReply) -> None:
        reply = answer.reply
        kept: dict[str, Any] = {"cut": reply.cut if reply is not None else False}
        if reply is not None and not unit.step.sensitive:
            said = {"stdout": reply.stdout, "stderr": reply.stderr}
            kept |= self._looks.keep(said, reply.whole, ended=reply.exit is not None) | kept
        self._recorder.write(
            ev.CommandRan(
                path=unit.path, host=unit.place, attempt=self._recorder.state.step(unit.path).attempts,
                state=answer.state.value, boot=answer.boot, host_key=reply.host_key if reply else "",
                exit=reply.exit if reply else None, elapsed_us=reply.elapsed.micros if reply else 0,
                **kept,
            )
        )  # fmt: skip
        self._owners.heard(unit.place, answer)

    def _finish(self, unit: ActUnit, end: End, *, final: bool, elapsed: Duration) -> ev.StepFinished:
        step, state = unit.step, self._recorder.state.step(unit.path)
        judged = end.judged or Judged(outcome=end.outcome, because=end.because)
        if step.sensitive and end.judged is not None:
            self._looks.hold(step, judged)
        said = self._looks.said(step, judged)
        if end.judged is None or end.because != end.judged.because:
            said["because"] = end.because
        attempt = state.attempts if state.last is not None and state.last.open else 0
        event = ev.StepFinished(
            path=unit.path, host=unit.place, attempt=attempt, role=unit.role, final=final, found=end.found,
            outcome=end.outcome.value, effect_there=end.effect_there, elapsed_us=elapsed.micros,
            tolerated=end.outcome in step.judgement.tolerate, **said,
        )  # fmt: skip
        self._recorder.write(event, durable=True)
        return event
