"""Judges what a step gave back: default criteria, `expect`, captures.

The first line that is not true gives the reason. A line without a value proves nothing, so it fails too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from drctl.core.expressions import Expression, evaluate, parse
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.ports import Reach
from drctl.core.values import Unknown, Value, text_of

if TYPE_CHECKING:
    from drctl.core.kind import Kind, Outputs
    from drctl.core.written import Formula
    from drctl.engine.scope import RunScope

_REACHED: Final = "reply == 'complete'"
_ENDS: Final = {Reach.UNREACHABLE: Outcome.UNREACHABLE, Reach.TIMEOUT: Outcome.TIMEOUT, Reach.COMPLETE: Outcome.FAILED}
_SHOWN: Final = 60
SENSITIVE: Final = "sensitive, so it was not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The outcome, its reason, and the step's own names.

    `told` is False when the outcome proves nothing about the world: the look did not come back, or a line had no value.
    """

    outcome: Outcome
    because: str
    values: Mapping[str, Value] = field(default_factory=dict)
    captures: Mapping[str, Value] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    told: bool = True

    @property
    def hushed(self) -> Judged:
        """The same for the record of a sensitive step: how it ended, and nothing of what it said."""
        reached = self.outcome in {Outcome.OK, Outcome.FAILED}
        names = (*self.values, *self.captures, *self.unknown)
        because = "" if self.outcome is Outcome.OK else f"not as expected; what it said is {SENSITIVE}"
        because = because if reached else self.because
        return Judged(outcome=self.outcome, because=because, unknown=dict.fromkeys(names, SENSITIVE), told=self.told)


@cache
def _parsed(text: str) -> Expression:
    return parse(text)


def criteria(kind: type[Kind] | None, expect: Sequence[Formula]) -> tuple[Expression, ...]:
    """All lines a step is judged by: defaults that no line of `expect` replaces, then the lines themselves."""
    named = {use.path[0] for line in expect for use in line.expression.paths()}
    defaults = [] if "reply" in named or kind is None else [_parsed(_REACHED)]
    defaults += [_parsed(c.text) for c in (kind.CRITERIA if kind else ()) if not (c.fields & named)]
    return (*defaults, *(line.expression for line in expect))


def judge(lines: Sequence[Expression], capture: Mapping[str, Formula], outputs: Outputs, names: RunScope) -> Judged:
    """Evaluate captures, then every line; the first line that is not true gives the reason."""
    own: dict[str, Value | Unknown] = dict(outputs.values)
    own["reply"] = outputs.reach.value
    scope = replace(names, own=own)
    captured = {name: evaluate(formula.expression, scope) for name, formula in capture.items()}
    scope = replace(names, own=own | captured)
    unknown = {n: str(v) for n, v in {**outputs.values, **captured}.items() if isinstance(v, Unknown)}
    known = {n: v for n, v in outputs.values.items() if not isinstance(v, Unknown)}
    kept = {n: v for n, v in captured.items() if not isinstance(v, Unknown)}
    for line in lines:
        seen = evaluate(line, scope)
        if seen is True:
            continue
        unreached = line.text == _REACHED
        outcome = _ENDS[outputs.reach] if unreached else Outcome.FAILED
        because = outputs.because if unreached and outputs.because else _why(line, seen, scope)
        told = not (unreached or isinstance(seen, Unknown))
        return Judged(outcome=outcome, because=because, values=known, captures=kept, unknown=unknown, told=told)
    return Judged(outcome=Outcome.OK, because=outputs.because, values=known, captures=kept, unknown=unknown)


def _why(line: Expression, seen: Value | Unknown, scope: RunScope) -> str:
    """Say which line was not true and what its names were."""
    if isinstance(seen, Unknown):
        return f"not proven: {line.text} ({seen})"
    facts = []
    for use in line.paths():
        dotted = ".".join(use.path)
        is_plain = all(part.replace("_", "").replace("-", "").isalnum() for part in use.path)
        value = evaluate(_parsed(dotted), scope) if is_plain else None
        if value is not None and not isinstance(value, Unknown | tuple | Mapping):
            text = text_of(value)
            facts.append(f"{dotted} is {text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}")
    return f"not true: {line.text}" + (f" ({', '.join(dict.fromkeys(facts))})" if facts else "")
