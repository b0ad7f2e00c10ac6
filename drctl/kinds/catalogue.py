"""The step kinds as a document, written from the kinds themselves: what `docs/step-kinds.md` holds.

Pure text from a registry; writing the file and showing it are left to the command line.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from drctl.core.kind import ActKind, EngineKind, FieldSpec, Kind, LookKind, Place
from drctl.core.values import Duration, json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEAD = """\
# Step kinds

Written by `drctl kinds --markdown` from the kinds themselves; a test compares. A kind is one file in `drctl/kinds`.

A **look** only looks: a plan takes it for real, as a run does. An **act** changes something: a plan previews it, a run
writes its intent to disk first, carries it out once and verifies. *In doubt* is what an act is whose end is not known.
"""

_PLACES = {
    Place.HOST: "a host",
    Place.LOCAL: "the control node",
    Place.EITHER: "a host, or the control node",
    Place.NONE: "no host",
}


def markdown(registry: Mapping[str, type[Kind]]) -> str:
    """Write every kind of a registry."""
    kinds = [registry[name] for name in sorted(registry)]
    rows = [f"| [`{kind.NAME}`](#{_anchor(kind.NAME)}) | {_shape(kind)} | {summary(kind)} |" for kind in kinds]
    table = "\n".join(["| kind | is | does |", "|---|---|---|", *rows])
    return "\n".join([_HEAD, table, "", *(section(kind) for kind in kinds)])


def summary(kind: type[Kind]) -> str:
    """The first line of a kind's documentation."""
    return inspect.cleandoc(kind.__doc__ or "").split("\n", 1)[0]


def requirements(kind: type[Kind]) -> tuple[str, ...]:
    """What a kind cannot do without."""
    fence = ("a proven fence",) if issubclass(kind, ActKind) and kind.REQUIRES_FENCE else ()
    return (*fence, *sorted(kind.REQUIRES))


def section(kind: type[Kind]) -> str:
    """Write one kind: what it is, its fields, its outputs, when it is ok, and an example."""
    parts = [f"## {kind.NAME}", "", inspect.cleandoc(kind.__doc__ or ""), "", *_facts(kind), ""]
    fields = kind.fields()
    if fields:
        parts += ["| field | type | meaning |", "|---|---|---|", *map(_field, fields), ""]
    if kind.OUTPUTS:
        outputs = ", ".join(f"`{name}` ({type_name})" for name, type_name in kind.OUTPUTS.items())
        parts += [f"Outputs: {outputs}.", ""]
    return "\n".join([*parts, "```yaml", kind.EXAMPLE.strip("\n"), "```", ""])


def _facts(kind: type[Kind]) -> Iterable[str]:
    yield f"- Is {_shape(kind)}; runs on {_PLACES[kind.PLACE]}."
    if kind.CRITERIA:
        yield f"- Ok when {' and '.join(f'`{criterion.text}`' for criterion in kind.CRITERIA)}, unless `expect` says."
    if needs := requirements(kind):
        yield f"- Requires {', '.join(needs)}."
    if issubclass(kind, ActKind):
        yield f"- After a crash {_after_a_crash(kind)}."
        yield f"- Way back: {_way_back(kind)}."
    if not issubclass(kind, EngineKind):
        yield f"- Limit of one attempt: {_limit(kind)}, unless `timeout` says."


def _shape(kind: type[Kind]) -> str:
    if issubclass(kind, EngineKind):
        return "part of the language"
    looks, acts = issubclass(kind, LookKind), issubclass(kind, ActKind)
    if looks and acts:
        return "a look or an act: the step states its `effect`"
    if looks:
        return "a look"
    return f"an act, `{kind.EFFECT.value}`" if kind.EFFECT is not None else "an act: the step states its `effect`"


def _after_a_crash(kind: type[ActKind]) -> str:
    if kind.CLAIMED and kind.VERIFIES:
        return "the host says how it ended, and a look says whether its effect is there"
    if kind.CLAIMED:
        return "the host says how it ended; whether its effect is there, only the step's `verify` can tell"
    return "nothing knows how it ended: only the step's `verify` can tell, else it is in doubt"


def _way_back(kind: type[ActKind]) -> str:
    return f"none of its own; {kind.NO_INVERSE}" if kind.NO_INVERSE else "`undo: auto` puts back what was found before"


def _limit(kind: type[Kind]) -> str:
    if kind.TIMEOUT is not None:
        return kind.TIMEOUT.human()
    if issubclass(kind, LookKind) and issubclass(kind, ActKind):
        return "30s for a look, 10m for an act"
    waits = f", or a minute more than `{kind.WAITS}`" if issubclass(kind, ActKind) and kind.WAITS else ""
    return "30s" if issubclass(kind, LookKind) else f"10m{waits}"


def _field(spec: FieldSpec) -> str:
    notes = [spec.doc]
    if spec.choices:
        notes.append("One of " + ", ".join(f"`{choice}`" for choice in spec.choices) + ".")
    if spec.required:
        notes.append("Required.")
    elif spec.default not in (None, "", ()):
        notes.append(f"Default: `{_written(spec.default)}`.")
    return f"| `{spec.name}` | {spec.type} | {' '.join(notes)} |"


def _written(default: object) -> str:
    match default:
        case Duration():
            return default.human()
        case str():
            return default
        case bool() | int() | tuple():
            return json_text(default)
        case _:
            return str(default)


def _anchor(name: str) -> str:
    return name.replace(".", "")
