"""What of the world moved since a plan was saved, as far as the runbook goes by it.

A *named fact* is a value `steps.X.FIELD` of a look that counted, which something of the runbook uses:

- where it is sent or set (fields, scripts, `on`, `as`, `foreach`, captures of others), any other value is drift;
- where only conditions use it (`when`, `expect`, rules of `decide`), it is drift when one of these comes out
  differently, or when it cannot be evaluated on both sides and the value is another one;
- the outcome of every look that counted is named, since its own `expect` uses it: as long as that holds, what it saw
  may move. Only a look under `observe` whose end nobody uses is left out;
- a mark that was set to a value of its own is a value like these, by its name.

Rounds are compared one by one, by their addresses; what decides inside of one is worked out in that round.

Times of the look itself (`elapsed`, `started_at`, `finished_at`) and its reason are never compared.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from drctl.core.expressions import ANY_MEMBER, evaluate, parse, written_path
from drctl.core.model import Action
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Effect, Outcome
from drctl.core.rounds import seen_in
from drctl.core.saved_plan import Fact, Moved
from drctl.core.values import Unknown, from_json, parse_json, text_of, to_json
from drctl.engine.outputs import unpack
from drctl.engine.parts import everything
from drctl.engine.scope import RunScope
from drctl.engine.uses import TIMES, uses_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from drctl.core.model import Step
    from drctl.core.outline import Outline
    from drctl.core.values import Value
    from drctl.engine.context import Context
    from drctl.engine.outputs import Store
    from drctl.engine.uses import Use

INLINE: Final = 64 * 1024
"""Characters of JSON of the longest value that is kept; of a longer one there is the digest."""
SHOWN: Final = 60
_NEVER: Final = TIMES | {"started", "because"}
_FORMS: Final = frozenset({"hosts", "each", "here", "steps"})
_ENDS: Final = frozenset({"ok", "failed", "outcome", "found", "tolerated"})
_TEXTS: Final = ("stdout", "body", "text")
_GONE: Final = "not looked at"


def facts_of(context: Context, mask: Callable[[str], str]) -> tuple[Fact, ...]:
    """Every look that counted, from the state that a plan has filled. A value in which a secret stands is left out."""
    found = []
    known = {step.path: step for step in everything(context)}
    for path, state in context.state.steps.items():
        step, final = known.get(path), state.final
        if step is None or final is None or final.attempt == 0 or not isinstance(step.body, Action):
            continue
        if step.effect is Effect.READ:
            values, unknown = _values_of({**final.outputs, **final.captures}, context.store, mask)
            unknown = {name: mask(why) for name, why in final.unknown.items()} | unknown
            found.append(
                Fact(
                    path=path, origin=step.origin or path, host=final.host, outcome=final.outcome, values=values,
                    unknown=unknown,
                )
            )  # fmt: skip
    return (*found, *_marks_of(context, known, mask))


def _marks_of(context: Context, known: Mapping[str, Step], mask: Callable[[str], str]) -> Iterator[Fact]:
    """Marks with a value of their own; the time at which a step became ok is that of the look, and moves."""
    for name in context.state.marks:
        counted = context.state.mark(name)
        step = known.get(counted.path) if counted is not None else None
        own = next((mark for mark in step.marks if mark.name == name), None) if step is not None else None
        if counted is None or step is None or own is None or own.value is None:
            continue
        values, unknown = _values_of({"value": counted.value}, context.store, mask)
        yield Fact(
            path=step.path, origin=step.origin or step.path, host="", outcome="", mark=name, values=values,
            unknown=unknown,
        )  # fmt: skip


def _values_of(
    packed: Mapping[str, Any], store: Store, mask: Callable[[str], str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values as they are kept, and the names of those that are not, with the reason."""
    values: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for name, one in packed.items():
        value = unpack(one, store)
        if isinstance(value, Unknown):
            unknown[name] = str(value)
            continue
        encoded = to_json(value)
        text = json.dumps(encoded, sort_keys=True)
        if mask(text) != text:
            unknown[name] = "a secret stands in it"
        else:
            values[name] = encoded if len(text) <= INLINE else {"$sha256": _digest(text)}
    return values, unknown


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def drift(context: Context, old: Sequence[Fact], new: Sequence[Fact]) -> tuple[Moved, ...]:
    """The named facts that moved from the saved plan to one made now, in the order of the runbook."""
    return tuple(_Drift(context, old, new).moved())


class _Drift:
    def __init__(self, context: Context, old: Sequence[Fact], new: Sequence[Fact]) -> None:
        self._context = replace(context, planning=True)
        self._old, self._new = _Side.of(old), _Side.of(new)
        self._units = {**self._old.looks, **self._new.looks}
        self._uses = [use for use in uses_of(context.runbook, context.outline.steps.values()) if not use.for_people]
        self._rounds: dict[str, list[Step]] = {}
        for step in everything(context):
            self._rounds.setdefault(step.origin or step.path, []).append(step)
        named = [one for use in self._uses for one in self._named(use)]
        self._ends = [one for one in named if not one.rest or one.rest[0] in _ENDS]

    def moved(self) -> Iterator[Moved]:
        """Ends of looks first, then values."""
        yield from self._outcomes()
        seen = set()
        for use in self._uses:
            if use.decides and self._same_verdict(use):
                continue
            for moved in (*self._values(use), *self._marks(use)):
                if moved.name not in seen:
                    seen.add(moved.name)
                    yield moved

    def _outcomes(self) -> Iterator[Moved]:
        for path, fact in self._units.items():
            old, new = self._old.looks.get(path), self._new.looks.get(path)
            before, now = (one.outcome if one is not None else _GONE for one in (old, new))
            step = self._context.outline.steps.get(fact.origin)
            asked = any(named.covers(fact) for named in self._ends)
            idle = step is None or (step.judgement.observe and not asked)
            if before != now and not idle:
                yield Moved(name=path, old=before, new=now, used_by="how the look ended")

    # -- conditions ---------------------------------------------------------------------------------------------------

    def _same_verdict(self, use: Use) -> bool:
        """Whether a condition comes out as it did, in every round; False when that cannot be told, as of tables."""
        looked = [named for named in self._named(use) if any(map(named.covers, self._units.values()))]
        if any(named.several for named in looked):
            return False
        return all(self._same_in(use, looked, step) for step in self._rounds.get(use.path, [None]))

    def _same_in(self, use: Use, looked: Sequence[_Named], step: Step | None) -> bool:
        scope = RunScope(context=self._context, home=use.home)
        scope = scope if step is None else scope.at(step)
        verdicts = []
        for side in (self._old, self._new):
            pinned: dict[str, Value | Unknown] = {f"marks.{name}": _mark(fact) for name, fact in side.marks.items()}
            for named in looked:
                fact = side.looks.get(seen_in(self._context.outline.steps[named.path], scope.frames).path)
                if fact is None:
                    return False
                pinned |= {f"steps.{named.id}.{name}": value for name, value in _known(fact).items()}
            verdicts.append(evaluate(use.expression, replace(scope, pinned=pinned)))
        return isinstance(verdicts[0], bool) and verdicts[0] is verdicts[1]

    # -- values -------------------------------------------------------------------------------------------------------

    def _named(self, use: Use) -> Iterator[_Named]:
        for written in use.steps:
            named = _named(self._context.outline, use.home, written)
            if named is not None and named.path != use.path:
                yield named

    def _values(self, use: Use) -> Iterator[Moved]:
        for named in self._named(use):
            if named.rest and named.rest[0] in _NEVER | _ENDS:
                continue
            for unit in (path for path, fact in self._units.items() if named.covers(fact)):
                old, new = self._old.looks.get(unit), self._new.looks.get(unit)
                if old is None or new is None or old.outcome != new.outcome:
                    continue  # told as an end
                names = [named.rest] if named.rest else [(name,) for name in sorted({*old.values, *new.values})]
                for name in names:
                    before, now = (_at(name, _known(fact), self._context) for fact in (old, new))
                    if not _same(before, now):
                        text = ".".join((*named.shown, *name))
                        yield Moved(name=f"{unit}: {text}", old=_text(before), new=_text(now), used_by=use.place)

    def _marks(self, use: Use) -> Iterator[Moved]:
        for name in dict.fromkeys(path.path[1] for path in use.expression.paths() if path.path[:1] == ("marks",)):
            facts = self._old.marks.get(name), self._new.marks.get(name)
            before, now = (_mark(fact) if fact is not None else Unknown("not set", not_yet=False) for fact in facts)
            if not _same(before, now):
                yield Moved(name=f"marks.{name}", old=_text(before), new=_text(now), used_by=use.place)


@dataclass(frozen=True, slots=True)
class _Side:
    """The facts of one plan: looks by the address of their unit, marks by name."""

    looks: Mapping[str, Fact]
    marks: Mapping[str, Fact]

    @classmethod
    def of(cls, facts: Sequence[Fact]) -> _Side:
        looks = {fact.path: fact for fact in facts if not fact.mark}
        return cls(looks, {fact.mark: fact for fact in facts if fact.mark})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A value of a step that a use names.

    Attributes:
        path: the step's address in the document.
        rest: the field and what is taken of it; empty for all fields.
        shown: what stands before the field, for people.
        several: read from a table or a loop, so that there may be several units.
    """

    id: str
    path: str
    rest: tuple[str, ...]
    shown: tuple[str, ...]
    several: bool

    def covers(self, fact: Fact) -> bool:
        """Whether a fact belongs to it."""
        return fact.origin == self.path or (not self.rest and fact.origin.startswith(f"{self.path}/"))


def _named(outline: Outline, home: str, written: tuple[str, ...]) -> _Named | None:
    """The step whose value a path is about: that of the inner step, in `each[0].steps.inner.stdout`."""
    step, several = outline.find(written[1], home), False
    rest = written[2:]
    while step is not None and rest and rest[0] in _FORMS:
        if rest[0] == "steps":
            inner = outline.find(rest[1], home) if len(rest) > 1 else None
            if inner is None:
                rest = ()
                break
            step, rest = inner, rest[2:]
        else:
            several, rest = True, rest[1 if rest[0] == "here" else 2 :]
    if step is None:
        return None
    shown = () if several else ("steps", step.id)
    return _Named(id=step.id, path=step.path, rest=_static(rest), shown=shown, several=several)


def _static(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path up to its first member that only a run knows."""
    return path[: path.index(ANY_MEMBER)] if ANY_MEMBER in path else path


def _known(fact: Fact) -> dict[str, Value | Unknown]:
    """The fields of a look as expressions see them."""
    found: dict[str, Value | Unknown] = {name: Unknown(why, not_yet=False) for name, why in fact.unknown.items()}
    found |= {name: _value(kept) for name, kept in fact.values.items()}
    text = next((found[name] for name in _TEXTS if name in found), None)
    if "json" not in found and text is not None:
        found["json"] = text if isinstance(text, Unknown) else parse_json(text_of(text))
    outcome = Outcome(fact.outcome)
    ends: dict[str, Value | Unknown] = {"ok": outcome is Outcome.OK, "failed": outcome.bad, "outcome": fact.outcome}
    return ends | found


def _mark(fact: Fact) -> Value | Unknown:
    return _value(fact.values["value"]) if "value" in fact.values else Unknown(fact.unknown["value"], not_yet=False)


def _value(kept: object) -> Value | Unknown:
    """A value as it was kept; of a long one its digest, as the reason why it is not there."""
    if isinstance(kept, dict) and set(kept) == {"$sha256"}:
        return Unknown(f"sha256:{kept['$sha256']}", not_yet=False)
    return from_json(kept)


def _at(name: tuple[str, ...], values: Mapping[str, Value | Unknown], context: Context) -> Value | Unknown:
    """What a path gives among the fields of one unit."""
    return evaluate(parse(written_path(name)), RunScope(context=context, own=values))


def _same(old: Value | Unknown, new: Value | Unknown) -> bool:
    """Equal values, or the same reason for having none."""
    if isinstance(old, Unknown) or isinstance(new, Unknown):
        return isinstance(old, Unknown) and isinstance(new, Unknown) and str(old) == str(new)
    return to_json(old) == to_json(new)


def _text(value: Value | Unknown) -> str:
    text = str(value) if isinstance(value, Unknown) else "null" if value is None else text_of(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... (sha256:{_digest(text)[:16]})"
