"""What a fold says, worked out once for all views: steps, verdict, objectives with their method, waits for people.

Pure functions over `RunState`. Nothing is decided here that the engine has not recorded.
"""

from __future__ import annotations

from drctl.core import events as ev
from drctl.core.fold import QuestionState, RunState, StepState, attained
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.values import Duration, Time
from drctl.reporting.texts import last_name, moment, one_line

OWN_ROLES = frozenset({ev.Role.ACT, ev.Role.LOOK, ev.Role.METHOD})
BY_WALL = "; part of it by the wall clock: the machine was started anew in between, or the run moved"
KNOWN_MARKS = (
    "fault", "detected", "declared", "outage_start", "fenced", "promoted", "traffic_switched", "service_restored",
    "outage_end", "recovery_point", "data_loss",
)  # fmt: skip
"""Marks with a meaning of their own (language specification, section 12); all others are figures of the runbook."""

SIGNS = {
    "ok": "✔", "failed": "✖", "unreachable": "✖", "timeout": "✖", "empty": "✖", "in_doubt": "?", "skipped": "·",
    "not_run": "·", "partial": "!", "running": "▶",
}  # fmt: skip
WORDS = {
    "ok": "ok", "failed": "FAILED", "unreachable": "UNREACHABLE", "timeout": "TIMEOUT", "empty": "EMPTY",
    "in_doubt": "IN DOUBT", "skipped": "skipped", "not_run": "not run", "partial": "PARTIAL", "running": "running",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One step as people see it: its newest end, over all its attempts.

    Attributes:
        outcome: a word of `Outcome`, or `running`.
        accepted: a bad end that the runbook foresees (`tolerate`, `observe`; of a fence only the proof counts).
        retried: a person or `retry` had it tried again; `until` is no retry.
        elapsed: from its first start to its end; None while it runs or when it never began.
        by: the person whose word stands instead of an outcome.
    """

    path: str
    title: str
    host: str
    kind: str
    effect: str
    role: ev.Role
    outcome: str
    because: str
    accepted: bool
    found: bool
    retried: bool
    attempts: int
    started_at: Time | None
    finished_at: Time | None
    elapsed: Duration | None
    by: str
    stretch: tuple[int, int] | None = None
    """The same as its beginning and its end in the run's own time."""

    @property
    def sign(self) -> str:
        """One character; never the only way to tell."""
        return "·" if self.accepted and self.outcome != "ok" else SIGNS[self.outcome]

    @property
    def word(self) -> str:
        """The outcome for people."""
        return f"{self.outcome}, foreseen" if self.accepted and self.outcome != "ok" else WORDS[self.outcome]


def step_facts(step: StepState) -> StepFacts:
    """Read one step."""
    started = [unit.started for unit in step.units if unit.started is not None]
    last = step.last
    finished = last.finished if last is not None else None
    begun = started[-1] if started else None
    outcome = finished.outcome if finished is not None and finished.final else "running"
    if finished is not None and not finished.final and finished.attempt == 0:
        outcome = "not_run"
    first_at, end_at, stretch = step.first_started_at, step.final_at, step.elapsed
    acts = sum(s.effect != "read" for s in started)
    again = any(u.attempt == 0 and u.finished is not None and not u.finished.final for u in step.units)
    role = begun.role if begun else finished.role if finished else ev.Role.LOOK
    return StepFacts(
        path=step.path, title=begun.title if begun else "",
        host=(begun.host if begun else "") or (last.host if last else ""),
        kind=begun.kind if begun else "", effect=begun.effect if begun else "read", role=role, outcome=outcome,
        because=finished.because if finished else "", attempts=len(started), retried=again or acts > 1,
        accepted=role is ev.Role.METHOD or bool(finished and (finished.tolerated or finished.observed)),
        found=bool(finished and finished.found),
        started_at=first_at, finished_at=end_at, by=finished.by if finished else "",
        elapsed=Duration(stretch[1] - stretch[0]) if stretch is not None else None, stretch=stretch,
    )  # fmt: skip


def own_steps(state: RunState) -> list[StepFacts]:
    """Steps of the runbook's flow, in the order met; looks of `verify`, undo and restore are left out."""
    steps = list(state.steps.values())  # copied at once: the engine may add steps while a view is drawn
    return [facts for facts in map(step_facts, steps) if facts.role in OWN_ROLES]


def phase_of(path: str) -> str:
    """The phase a path lies in."""
    return path.split("/", 1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the run stands: one sign, loud words, one sentence."""

    sign: str
    word: str
    because: str
    exit: int | None


_CLOSED = {
    "done": ("✔", "DONE"), "exceptions": ("!", "DONE WITH EXCEPTIONS"), "aborted": ("✖", "ABORTED"),
    "failed": ("✖", "FAILED"),
    "rolled_back": ("↩", "ROLLED BACK"), "rollback_failed": ("✖", "ROLLBACK FAILED: HALF UNDONE"),
    "nothing_changed": ("✖", "STOPPED BEFORE ANYTHING WAS CHANGED"),
}  # fmt: skip
_PAUSED = {
    "failure": ("✖", "FAILED"), "doubt": ("?", "IN DOUBT"), "operator": ("⏸", "STOPPED BY THE OPERATOR"),
    "preflight": ("✖", "A HOST CANNOT BE REACHED"), "rolled_back": ("↩", "ROLLED BACK TO A STEP, AND PAUSED"),
    "locked": ("✖", "A HOST IS HELD BY ANOTHER RUN"),
    "replaced": ("✖", "GOES ON ELSEWHERE"), "taken_over": ("⏸", "TAKEN OVER"),
    "restored": ("⏸", "PUT BACK, AND PAUSED"),
}  # fmt: skip
_QUESTIONS = {
    "approval": "APPROVAL NEEDED", "caution": "CONFIRMATION NEEDED", "manual": "WORK OF A PERSON NEEDED",
    "decide": "DECISION NEEDED", "when": "DECISION NEEDED", "doubt": "IN DOUBT", "failure": "FAILED",
}  # fmt: skip


def verdict(state: RunState, *, writing: bool = False) -> Verdict:
    """The run's verdict; `writing` says whether a process carries it out right now."""
    if state.closed is not None:
        sign, word = _CLOSED.get(state.closed.state, ("?", one_line(state.closed.state).upper()))
        if word.startswith("DONE") and state.mark("service_restored") is not None:
            word = word.replace("DONE", "RECOVERED", 1)
        return Verdict(sign=sign, word=word, because=state.closed.because, exit=state.closed.exit)
    waiting = state.open_questions
    if writing:
        if waiting:
            asked = waiting[0].asked
            return Verdict(sign="⏸", word=_QUESTIONS.get(asked.kind, "WAITS"), because=asked.path, exit=None)
        return Verdict(sign="▶", word="RUNNING", because=state.phase, exit=None)
    if state.paused is not None:
        asked_kind = next((q.asked.kind for q in waiting if q.asked.path == state.paused.path), "")
        sign, word = _PAUSED.get(
            state.paused.reason, ("⏸", f"PAUSED: {_QUESTIONS.get(asked_kind, 'A PERSON IS NEEDED')}")
        )
        return Verdict(sign=sign, word=word, because=state.paused.because, exit=state.paused.exit)
    return Verdict(
        sign="✖", word="CRASHED", because="its process ended without a last word; nobody carries it out", exit=None
    )


def question_word(kind: str) -> str:
    """The loud word of a question."""
    return _QUESTIONS.get(kind, "A PERSON IS NEEDED")


def simulated(state: RunState) -> bool:
    """Whether any answer that counted came from a simulated person."""
    return any(answer.simulated for question in state.questions.values() for answer in question.accepted)


def answered_us(question: QuestionState) -> int | None:
    """When a question was settled, in the run's own time: at the answer's own moment, not when it was taken up."""
    decided = question.decided
    if decided is None or question.over_at is None:
        return None
    kept = max(0, question.over_at.micros - decided.given_at) if decided.given_at else 0
    return max(question.asked_us, question.over_us - kept)


def waited(question: QuestionState) -> Duration | None:
    """How long a question waited for the answer that settled it."""
    end = answered_us(question)
    return None if end is None else Duration(end - question.asked_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One promise against what was reached. `reached` None means not measured, never met."""

    name: str
    promised: Duration | None
    reached: Duration | None
    met: bool | None
    method: str

    @property
    def percent(self) -> int | None:
        """How much of the promise was used."""
        if self.promised is None or self.reached is None or self.promised.micros <= 0:
            return None
        return self.reached.micros * 100 // self.promised.micros

    @property
    def word(self) -> str:
        """met, MISSED, not measured, or no promise."""
        if self.promised is None:
            return "nothing promised"
        return "not measured" if self.met is None else "met" if self.met else "MISSED"

    @property
    def sign(self) -> str:
        """One character for the word."""
        return {None: "?", True: "✔", False: "✖"}[self.met] if self.promised is not None else "·"


def objectives(state: RunState) -> tuple[Objective, Objective]:
    """RTO and RPO with the figures attained and how they came about."""
    figures = attained(state)
    return (
        Objective(
            name="RTO",
            promised=figures.rto,
            reached=figures.rta,
            met=figures.rto_met,
            method=_rta_method(state, figures.rta) + (BY_WALL if figures.by_wall else ""),
        ),
        Objective(
            name="RPO",
            promised=figures.rpo,
            reached=figures.rpa,
            met=figures.rpo_met,
            method=_rpa_method(state, figures.rpa),
        ),
    )


def _rta_method(state: RunState, rta: Duration | None) -> str:
    if rta is None:
        return "no step set the mark service_restored"
    since = f"declared ({_source(state, 'declared')})" if state.mark("declared") is not None else "the start of the run"
    return f"from {since} to service_restored ({_source(state, 'service_restored')})"


def _rpa_method(state: RunState, rpa: Duration | None) -> str:
    if rpa is None:
        missing = [name for name in ("fault", "recovery_point") if state.mark(name) is None]
        return f"neither data_loss nor {' and '.join(missing) or 'a usable pair of times'} is known"
    loss = state.mark("data_loss")
    if loss is not None and isinstance(loss.value, dict) and "$us" in loss.value:
        return f"data_loss ({_source(state, 'data_loss')})"
    return f"from recovery_point ({_source(state, 'recovery_point')}) to fault ({_source(state, 'fault')})"


_BY_PEOPLE = frozenset({"manual", "decide"})
_BY_VALUES = frozenset({"set", "check"})


def _source(state: RunState, mark: str) -> str:
    """Where a mark came from: measured by a step, worked out from values, or a person's word."""
    found = state.mark(mark)
    if found is None or not found.path:
        return "the run itself"
    kind = step_facts(state.step(found.path)).kind
    how = "attested by a person in" if kind in _BY_PEOPLE else "worked out in" if kind in _BY_VALUES else "measured by"
    return f"{how} {last_name(found.path)}"


def free_marks(state: RunState) -> list[str]:
    """Marks that are figures of this runbook, such as records lost, in the order first set."""
    return [name for name in state.marks if name not in KNOWN_MARKS]


def exceptions(state: RunState) -> tuple[str, ...]:
    """What an auditor must look at: as the last record lists it, or as noted so far."""
    if state.closed is not None:
        return state.closed.exceptions
    return tuple(deviation.text for _, deviation in state.deviations)


def taken_back(state: RunState, path: str) -> bool:
    """Whether what a step did was undone since: by its own undo, or by that of a block around it."""
    names = path.split("/")
    undos = [state.blocks.get(f"{'/'.join(names[:length])}/undo") for length in range(1, len(names) + 1)]
    since = max((unit.started_seq for unit in state.step(path).effects), default=-1)
    return any(undo is not None and undo.outcome is Outcome.OK and undo.finished_seq > since for undo in undos)


def changed(state: RunState) -> list[StepFacts]:
    """Steps that changed something or may have: acts that began, their inverses left out."""
    return [facts for facts in own_steps(state) if facts.effect != "read" and facts.started_at is not None]


_BAD = frozenset({o.value for o in Outcome if o.bad} | {"in_doubt"})


def is_bad(outcome: str) -> bool:
    """Whether the word is a bad end."""
    return outcome in _BAD


def bounds_text(opened: ev.RunOpened) -> str:
    """On which hosts the run might act, and on how many of them at a time."""
    hosts = f"{', '.join(opened.limit)} and no other host" if opened.limit else "every host"
    return f"{hosts}, at most {opened.fan_out} at a time"


def held_text(opened: ev.RunOpened, *, short: bool = False) -> str:
    """Whether the run was held to a saved plan, and to which."""
    if not opened.held_to:
        return "without a saved plan"
    digest = f"{opened.held_to[:16]}…" if short else opened.held_to
    return f"held to plan sha256:{digest} made at {moment(Time(opened.held_made_at))}"
