"""What of the world moved since a plan was saved, as far as the runbook goes by it.

A *named fact* is a value `steps.X.FIELD` of a look that counted, which something of the runbook uses:

- where it is sent or set (fields, scripts, `on`, `as`, `foreach`, captures of others), any other value is drift;
- where only conditions use it (`when`, `expect`, rules of `decide`), it is drift when one of these comes out
  differently, or when it cannot be evaluated on both sides and the value is another one;
- the outcome of every look that counted is named, since its own `expect` uses it: as long as that holds, what it saw
  may move. Only a look under `observe` whose end nobody uses is left out.

Times of the look itself (`elapsed`, `started_at`, `finished_at`) and its reason are never compared.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from drctl.core.expressions import ANY_MEMBER, evaluate, parse, written_path
from drctl.core.model import Action
from drctl.core.nouns import replace
from drctl.core.outcomes import Effect, Outcome
from drctl.core.saved_plan import Fact, Moved
from drctl.core.values import Unknown, from_json, parse_json, text_of, to_json
from drctl.engine.annotate import step_of
from drctl.engine.outputs import unpack
from drctl.engine.scope import RunScope
from drctl.engine.uses import uses_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from drctl.core.events import StepFinished
    from drctl.core.values import Value
    from drctl.engine.context import Context
    from drctl.engine.uses import Use

INLINE: Final = 64 * 1024
"""Characters of JSON of the longest value that is kept; of a longer one there is the digest."""
SHOWN: Final = 60
_NEVER: Final = frozenset({"elapsed", "started_at", "finished_at", "started", "because"})
_ENDS: Final = frozenset({"ok", "failed", "outcome", "found", "tolerated"})
_TEXTS: Final = ("stdout", "body", "text")
_GONE: Final = "not looked at"


def facts_of(context: Context, mask: Callable[[str], str]) -> tuple[Fact, ...]:
    """Every look that counted, from the state that a plan has filled. A value in which a secret stands is left out."""
    found = []
    for path, state in context.state.steps.items():
        step, final = step_of(context, path), state.final
        if step is None or final is None or final.attempt == 0 or not isinstance(step.body, Action):
            continue
        if step.effect is Effect.READ:
            found.append(_fact(context, path, final, mask))
    return tuple(found)


def _fact(context: Context, path: str, final: StepFinished, mask: Callable[[str], str]) -> Fact:
    values: dict[str, Any] = {}
    unknown = {name: mask(why) for name, why in final.unknown.items()}
    for name, packed in {**final.outputs, **final.captures}.items():
        value = unpack(packed, context.store)
        if isinstance(value, Unknown):
            unknown[name] = str(value)
            continue
        encoded = to_json(value)
        text = json.dumps(encoded, sort_keys=True)
        if mask(text) != text:
            unknown[name] = "a secret stands in it"
        else:
            values[name] = encoded if len(text) <= INLINE else {"$sha256": _digest(text)}
    return Fact(path=path, host=final.host, outcome=final.outcome, values=values, unknown=unknown)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def drift(context: Context, old: Sequence[Fact], new: Sequence[Fact]) -> tuple[Moved, ...]:
    """The named facts that moved from the saved plan to one made now, in the order of the runbook."""
    return tuple(_Drift(context, old, new).moved())


class _Drift:
    def __init__(self, context: Context, old: Sequence[Fact], new: Sequence[Fact]) -> None:
        self._context = replace(context, planning=True)
        self._old = {fact.path: fact for fact in old}
        self._new = {fact.path: fact for fact in new}
        uses = uses_of(context.runbook, context.outline.steps.values())
        self._uses = [use for use in uses if not use.for_people]
        self._ends = {
            path.path for use in self._uses for path in self._named(use) if path.member in _ENDS | {""}
        }  # fmt: skip

    def moved(self) -> Iterator[Moved]:
        """Ends of looks first, then values."""
        yield from self._outcomes()
        seen = set()
        for use in self._uses:
            if not use.steps or (use.decides and self._same_verdict(use)):
                continue
            for moved in self._values(use):
                if moved.name not in seen:
                    seen.add(moved.name)
                    yield moved

    def _outcomes(self) -> Iterator[Moved]:
        for path in {**self._old, **self._new}:
            old, new = self._old.get(path), self._new.get(path)
            before, now = (fact.outcome if fact is not None else _GONE for fact in (old, new))
            step = step_of(self._context, path)
            idle = step is None or (step.judgement.observe and step.path not in self._ends)
            if before != now and not idle:
                yield Moved(name=path, old=before, new=now, used_by="how the look ended")

    # -- conditions ---------------------------------------------------------------------------------------------------

    def _same_verdict(self, use: Use) -> bool:
        """Whether a condition comes out as it did; False when that cannot be told, as of tables and loops."""
        if any(named.several or named.path not in {**self._old, **self._new} for named in self._looked(use)):
            return False
        scope = RunScope(context=self._context, home=use.home)
        before = evaluate(use.expression, replace(scope, pinned=self._pinned(self._old, use.home)))
        now = evaluate(use.expression, replace(scope, pinned=self._pinned(self._new, use.home)))
        return isinstance(before, bool) and before is now

    def _pinned(self, facts: Mapping[str, Fact], home: str) -> dict[str, Value | Unknown]:
        pinned: dict[str, Value | Unknown] = {}
        for path, fact in facts.items():
            step = self._context.outline.steps.get(path)
            if step is None or step.home != home:
                continue
            at, values = f"steps.{step.id}", _values(fact)
            outcome = Outcome(fact.outcome)
            ends: dict[str, Value | Unknown] = {
                "ok": outcome is Outcome.OK,
                "failed": outcome.bad,
                "outcome": fact.outcome,
            }
            pinned |= {f"{at}.{name}": value for name, value in {**ends, **values}.items()}
        return pinned

    def _looked(self, use: Use) -> Iterator[_Named]:
        """What it names of looks, by whatever round."""
        for named in self._named(use):
            if any(named.covers(unit, self._context) for unit in {**self._old, **self._new}):
                yield named

    # -- values -------------------------------------------------------------------------------------------------------

    def _named(self, use: Use) -> Iterator[_Named]:
        for path in use.steps:
            step = self._context.outline.find(path[1], use.home)
            if step is not None and step.path != use.path:
                yield _Named(step.path, path)

    def _values(self, use: Use) -> Iterator[Moved]:
        for named in self._named(use):
            if named.member in _NEVER | _ENDS:
                continue
            units = [unit for unit in {**self._old, **self._new} if named.covers(unit, self._context)]
            for unit in units:
                old, new = self._old.get(unit), self._new.get(unit)
                if old is None or new is None or old.outcome != new.outcome:
                    continue  # told as an end
                yield from self._fields(named, unit, (old, new), use)

    def _fields(self, named: _Named, unit: str, facts: tuple[Fact, Fact], use: Use) -> Iterator[Moved]:
        old, new = facts
        if unit == named.path and named.member and not named.several:
            scope = RunScope(context=self._context, home=use.home)
            expression = parse(written_path(_static(named.written)))
            before = evaluate(expression, replace(scope, pinned=self._pinned(self._old, use.home)))
            now = evaluate(expression, replace(scope, pinned=self._pinned(self._new, use.home)))
            if not _same(before, now):
                name = f"{unit}: {'.'.join(_static(named.written))}"
                yield Moved(name=name, old=_text(before), new=_text(now), used_by=use.place)
            return
        for name in [named.member] if named.member else sorted({*old.values, *new.values}):
            before_, now_ = old.values.get(name), new.values.get(name)
            if before_ != now_:
                yield Moved(name=f"{unit}: {name}", old=_shown(before_), new=_shown(now_), used_by=use.place)


class _Named:
    """A value of a look that a use names.

    Attributes:
        member: the field, empty for all of them.
        several: read from a table or a loop, so that there may be several units.
    """

    def __init__(self, path: str, written: tuple[str, ...]) -> None:
        form = written[2] if len(written) > 2 else ""  # noqa: PLR2004 - steps, id, field
        rest = written[{"hosts": 4, "each": 4, "here": 3}.get(form, 2) :]
        self.path, self.written = path, written
        self.several = form in {"hosts", "each", "here"}
        self.member = "" if not rest or rest[0] in {ANY_MEMBER, "steps", "hosts"} else rest[0]

    def covers(self, unit: str, context: Context) -> bool:
        """Whether a unit belongs to it."""
        step = step_of(context, unit)
        return step is not None and step.path == self.path


def _static(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path up to its first member that only a run knows."""
    return path[: path.index(ANY_MEMBER)] if ANY_MEMBER in path else path


def _values(fact: Fact) -> dict[str, Value | Unknown]:
    found: dict[str, Value | Unknown] = {name: Unknown(why, not_yet=False) for name, why in fact.unknown.items()}
    for name, kept in fact.values.items():
        long = isinstance(kept, dict) and set(kept) == {"$sha256"}
        found[name] = Unknown(f"sha256:{kept['$sha256']}", not_yet=False) if long else from_json(kept)
    text = next((found[name] for name in _TEXTS if name in found), None)
    if "json" not in found and text is not None:
        found["json"] = text if isinstance(text, Unknown) else parse_json(text_of(text))
    return found


def _same(old: Value | Unknown, new: Value | Unknown) -> bool:
    """Equal values, or the same reason for having none."""
    if isinstance(old, Unknown) or isinstance(new, Unknown):
        return isinstance(old, Unknown) and isinstance(new, Unknown) and str(old) == str(new)
    return to_json(old) == to_json(new)


def _text(value: Value | Unknown) -> str:
    text = str(value) if isinstance(value, Unknown) else "null" if value is None else text_of(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... (sha256:{_digest(text)[:16]})"


def _shown(kept: object) -> str:
    if kept is None:
        return "no value"
    if isinstance(kept, dict) and set(kept) == {"$sha256"}:
        return f"sha256:{kept['$sha256'][:16]}"
    return _text(from_json(kept))
