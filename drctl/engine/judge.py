"""Judges what a step gave back: default criteria, `expect`, captures.

Pure: values in, verdict with its reason out. A missing value is never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from drctl.core.expressions import Expression, evaluate, parse
from drctl.core.model import Formula, Outcome
from drctl.core.ports import Reach
from drctl.core.values import Unknown, Value, text_of
from drctl.engine.scope import RunScope

if TYPE_CHECKING:
    from drctl.core.kind import Kind, Outputs
    from drctl.engine.context import Context

_REACHED = "reply == 'complete'"
_ENDS = {Reach.UNREACHABLE: Outcome.UNREACHABLE, Reach.TIMEOUT: Outcome.TIMEOUT, Reach.COMPLETE: Outcome.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The outcome, its reason, and the step's own names."""

    outcome: Outcome
    because: str
    values: Mapping[str, Value] = field(default_factory=dict)
    captures: Mapping[str, Value] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


@cache
def _parsed(text: str) -> Expression:
    return parse(text)


def criteria(kind: type[Kind] | None, expect: Sequence[Formula]) -> tuple[Expression, ...]:
    """All lines a step is judged by: defaults that no line of `expect` replaces, then the lines themselves."""
    named = {use.path[0] for line in expect for use in line.expression.paths()}
    defaults = [] if "reply" in named or kind is None else [_parsed(_REACHED)]
    defaults += [_parsed(c.text) for c in (kind.CRITERIA if kind else ()) if not (c.fields & named)]
    return (*defaults, *(line.expression for line in expect))


def judge(
    lines: Sequence[Expression],
    capture: Mapping[str, Formula],
    outputs: Outputs,
    context: Context,
    place: str,
) -> Judged:
    """Evaluate captures, then every line; the first line that is not true gives the reason."""
    own: dict[str, Value | Unknown] = dict(outputs.values)
    own["reply"] = outputs.reach.value
    scope = RunScope(context=context, place=place, own=own)
    captured = {name: evaluate(formula.expression, scope) for name, formula in capture.items()}
    scope = RunScope(context=context, place=place, own=own | captured)
    unknown = {n: str(v) for n, v in {**outputs.values, **captured}.items() if isinstance(v, Unknown)}
    known = {n: v for n, v in outputs.values.items() if not isinstance(v, Unknown)}
    kept = {n: v for n, v in captured.items() if not isinstance(v, Unknown)}
    for line in lines:
        seen = evaluate(line, scope)
        if seen is True:
            continue
        outcome = _ENDS[outputs.reach] if line.text == _REACHED else Outcome.FAILED
        because = outputs.because if line.text == _REACHED and outputs.because else _why(line, seen, scope)
        return Judged(outcome=outcome, because=because, values=known, captures=kept, unknown=unknown)
    return Judged(outcome=Outcome.OK, because=outputs.because, values=known, captures=kept, unknown=unknown)


def _why(line: Expression, seen: Value | Unknown, scope: RunScope) -> str:
    """Say which line was not true and what its names were."""
    if isinstance(seen, Unknown):
        return f"not proven: {line.text} ({seen})"
    facts = []
    for use in line.paths():
        dotted = ".".join(use.path)
        value = (
            evaluate(_parsed(dotted), scope)
            if all(p.replace("_", "").replace("-", "").isalnum() for p in use.path)
            else None
        )
        if isinstance(value, str | int | bool) or (
            value is not None and not isinstance(value, Unknown | tuple | Mapping)
        ):
            text = text_of(value)
            facts.append(f"{dotted} is {text if len(text) <= 60 else text[:57] + '...'}")
    return f"not true: {line.text}" + (f" ({', '.join(dict.fromkeys(facts))})" if facts else "")
