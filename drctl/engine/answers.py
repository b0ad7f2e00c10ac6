"""Judges answers: whether one counts, as which role it was given, and its typed values.

Who answered is claimed by a login name until signatures come; the record says so. A person with several logins is one
person. Everything that comes in is cut to what a record can hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from drctl.core.approvals import agreement
from drctl.core.diagnostics import Where
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import read_input
from drctl.core.inventory import Environment, Person
from drctl.core.model import Manual
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Outcome
from drctl.core.values import to_json
from drctl.engine.changes import read_changes
from drctl.engine.failures import good
from drctl.engine.parts import everything

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core import events as ev
    from drctl.core.fold import QuestionState
    from drctl.core.model import Step
    from drctl.engine.context import Context
    from drctl.engine.verbs import Verbs

MOST_NOTE: Final = 4000
MOST_NAME: Final = 100
SKEW: Final = 60_000_000
"""Microseconds by which the clocks of two machines may differ before a time is not believed."""
MOST_VALUES: Final = 100
MOST_TOGETHER: Final = 24_000
NEEDS_REASON: Final = frozenset({"skip", "done", "not_done", "run", "override", "rollback"})
YES: Final = frozenset({"approve", "confirm"})
EVIDENCE: Final = "evidence"
BESIDE: Final = {"rollback": "to", "done": EVIDENCE}
"""What may be said with an answer to a failed step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer as it came in, before it is judged.

    Attributes:
        question: id of the question; empty when `step` names it.
        by: who says so; a claim, not a proof.
        given_at: when it was given, microseconds UTC.
    """

    choice: str
    question: str = ""
    step: str = ""
    by: str = ""
    login: str = ""
    reason: str = ""
    target: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    given_at: int = 0
    source: str = "inbox"

    @property
    def cut(self) -> Given:
        """The same, with every text cut to what a record can hold."""
        return replace(
            self, choice=self.choice[: MOST_NAME * 4], question=self.question[:MOST_NAME],
            step=self.step[: MOST_NAME * 4], by=self.by[:MOST_NAME], login=self.login[:MOST_NAME],
            reason=self.reason[:MOST_NOTE], target=self.target[: MOST_NAME * 4], source=self.source[:MOST_NAME],
            values={k[:MOST_NAME]: v for k, v in list(self.values.items())[:MOST_VALUES]},
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What an answer is worth: why it does not count (empty when it does), who gave it, as what, and its values."""

    refusal: str = ""
    who: str = ""
    role: str = ""
    simulated: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)


def given_of(word: Mapping[str, Any]) -> Given:
    """The answer that a word of the inbox holds."""
    values = word.get("values")
    return Given(
        choice=str(word.get("choice", "")), question=str(word.get("question", "")), step=str(word.get("step", "")),
        by=str(word.get("by", "")), login=str(word.get("login", "")), reason=str(word.get("reason", "")),
        target=str(word.get("target", "")), given_at=whole(word.get("given_at")),
        values={str(k): str(v) for k, v in values.items()} if isinstance(values, Mapping) else {},
    )  # fmt: skip


def whole(value: object) -> int:
    """A time from outside; 0 when it is none that a record can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def wanted_values(manual: Manual) -> tuple[InputSpec, ...]:
    """The typed answers that a `manual` step asks for, its evidence among them."""
    if not manual.evidence_required or any(spec.name == EVIDENCE for spec in manual.ask):
        return manual.ask
    return (*manual.ask, InputSpec(name=EVIDENCE, type=InputType.TEXT, where=Where(file="the answer")))


class Judge:
    """Judges answers to the questions of one run."""

    def __init__(self, context: Context, verbs: Verbs, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._context = context
        self._verbs = verbs

    def judge(self, state: QuestionState, given: Given, now: int) -> Judgement:
        """Say what the answer is worth. `now` is the time for one that says no time of its own."""
        return self.weigh(state, given, self._stale(state, given, now))

    def weigh(self, state: QuestionState, given: Given, refusal: str = "") -> Judgement:
        """Say what it is worth whenever it was given; `refusal` says why it does not count already."""
        person = self._person(given.by or given.login)
        who = person.name if person is not None else given.by or given.login
        simulated = person is not None and person.simulated
        role, unfit = self._role(state.asked, who, person)
        refusal = refusal or unfit or self._unfit(state, given, who)
        if not refusal:
            try:
                return Judgement(who=who, role=role, simulated=simulated, values=self._values(state.asked, given))
            except ValueError as error:
                refusal = str(error)
        return Judgement(refusal=refusal, who=who, role=role, simulated=simulated)

    def _stale(self, state: QuestionState, given: Given, now: int) -> str:
        asked, at = state.asked, given.given_at or now
        if not state.open:
            return "the question is already settled"
        if asked.until_at and at > asked.until_at:
            return "too late: the request had expired"
        if at < self._asked_at(state, now) - (SKEW if given.question else 0):
            return "it says that it was given before the question was asked"
        if at > now + SKEW:
            return "it says that it was given in the future"
        return ""

    def _asked_at(self, state: QuestionState, now: int) -> int:
        """When it was asked, as the clock of now would say it: if that was moved back since, nobody could answer."""
        context = self._context
        ago = context.state.timeline.since(context.clock.monotonic().micros) - state.asked_us
        return min(state.asked_at.micros, now - ago)

    def _unfit(self, state: QuestionState, given: Given, who: str) -> str:
        asked = state.asked
        if given.choice not in asked.choices:
            return f"{given.choice!r} is not one of: {', '.join(asked.choices)}"
        if any(answer.by == who for answer in state.accepted):
            return f"{who} has answered already"
        if asked.target and given.choice in YES and given.target != asked.target:
            return f"the target must be named: {asked.target}, not {given.target or 'nothing'}"
        if given.choice in NEEDS_REASON and asked.kind in {"failure", "doubt", "when"} and not given.reason.strip():
            return f"{given.choice} needs a reason"
        return ""

    def _role(self, asked: ev.Asked, who: str, person: Person | None) -> tuple[str, str]:
        """The role the answer is given in, and why it does not count."""
        inventory = self._context.inventory
        if person is not None and person.simulated and inventory.environment is not Environment.LAB:
            return "", f"{person.name} is simulated, and this inventory is no lab"
        if not asked.by:
            return "operator", ""
        if person is None:
            return "", f"{who or 'nobody'} is not among the people of the inventory"
        roles = [role for role in asked.by if person.name in inventory.roles.get(role, ())]
        if not roles:
            return "", f"{person.name} is not {agreement(asked.by)}"
        if asked.kind == "approval" and person.name == self._context.identity.operator_person:
            return roles[0], f"{person.name} runs this and cannot approve it: another pair of eyes is needed"
        return roles[0], ""

    def _person(self, name: str) -> Person | None:
        people = self._context.inventory.people
        return people.get(name) or next((p for p in people.values() if name in p.logins), None)

    def _values(self, asked: ev.Asked, given: Given) -> dict[str, Any]:
        if asked.kind == "failure":
            return self._beside(asked, given)
        if asked.kind != "manual" or given.choice != "done":
            return {}
        values: dict[str, Any] = {}
        specs = self._specs(asked.path)
        for spec in specs:
            text = given.values.get(spec.name)
            if text is None and spec.has_default:
                values[spec.name] = to_json(spec.default)
            elif text is None and not spec.optional:
                raise ValueError(f"{spec.name} is missing")
            else:
                values[spec.name] = to_json(read_input(spec, text or "", self._context.inventory.hosts))
        unknown = set(given.values) - {spec.name for spec in specs}
        if unknown:
            raise ValueError(f"nothing named {', '.join(sorted(unknown))} is asked for")
        if len(json.dumps(values)) > MOST_TOGETHER:
            raise ValueError("the answers together are too long for one record")
        return values

    def _beside(self, asked: ev.Asked, given: Given) -> dict[str, Any]:
        """What comes with an answer to a failure: where a rollback goes back to, what shows that it was done.

        Raises:
            ValueError: it cannot be so.
        """
        if given.choice == "retry":
            return self._changes(asked, given)
        known = BESIDE.get(given.choice, "")
        unknown = set(given.values) - {known}
        if unknown:
            raise ValueError(f"{given.choice} takes no {', '.join(sorted(unknown))}")
        text = given.values.get(known, "")[:MOST_NOTE]
        if given.choice == "rollback":
            path = self._verbs.check("rollback", text)
            return {known: path} if path else {}
        return {known: text} if text else {}

    def _changes(self, asked: ev.Asked, given: Given) -> dict[str, Any]:
        """Changed fields, by step and name, with what stood there before."""
        step = next((one for one in everything(self._context) if one.path == asked.path), None)
        if not given.values:
            return {}
        if step is None:
            raise ValueError("nothing here has fields that could be changed")
        found: dict[str, Any] = {}
        for one in read_changes(self._context, step, given.values, self._again, self._mask):
            found.setdefault(one.path, {})[one.name] = {"old": one.old, "new": to_json(one.value)}
        return found

    def _again(self, step: Step) -> bool:
        """Whether a retry would carry it out: it has not ended, or not well."""
        final = self._context.state.step(step.path).own_final
        outcome = Outcome(final.outcome) if final is not None else None
        is_method = "/methods/" in step.path  # one that was ok did not help: all of a fence are done again
        return outcome is None or (outcome is not Outcome.IN_DOUBT and (is_method or not good(step, outcome)))

    def _specs(self, path: str) -> tuple[InputSpec, ...]:
        step = next((step for step in everything(self._context) if step.path == path), None)
        return wanted_values(step.body) if step is not None and isinstance(step.body, Manual) else ()
