"""The reference of the language as a document, written from the tables that read a runbook: `docs/language.md`.

Pure text; writing the file is left to the command line, the sentences are in `drctl.loading.language_texts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from drctl.core import frozen, scripts, value_types
from drctl.core.expressions.evaluate import BUDGET
from drctl.core.expressions.parser import MAX_DEPTH
from drctl.core.expressions.signatures import (
    EACH_SIGNATURES,
    RESERVED,
    SIGNATURES,
    EachSignature,
    Signature,
    Type,
    usage,
)
from drctl.core.expressions.tokens import MAX_LENGTH
from drctl.core.input_specs import InputType
from drctl.core.outcomes import Effect, OnFailure, Outcome
from drctl.core.quantities import DURATION_UNITS, SIZE_UNITS
from drctl.loading import includes, tables, yaml_nodes
from drctl.loading import language_texts as said
from drctl.loading.codes import CODES
from drctl.loading.language_examples import EXAMPLES, INCLUDED
from drctl.loading.names import KNOWN_MARKS, RUN
from drctl.loading.records import ByForm, ListOf, MapOf, Raw, Record
from drctl.loading.shapes import Bool, Choice, Int, Name, Number, Quantity, Shape, Word
from drctl.loading.texts import FormulaText, PeopleText, ScriptText, TemplateText

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RAW: Final = {
    "": "the fields of the kind",
    "literal": "a value",
    "default": "a value, for a list its members",
    "input_of": "a list, a map or a type",
    "secret": "a source",
    "vars": "a map",
    "phases": "a list of phases",
    "steps": "a list of steps",
    "on": "a place",
    "inputs": "a map",
    "foreach": "a map of names to lists",
    "looks": "a look, or a list",
    "way": "a way back",
    "methods": "a list of steps",
    "proofs": "a list of looks",
}
_PLAIN: Final[dict[type, str]] = {
    Bool: "true or false",
    Number: "a number",
    FormulaText: "an expression",
    PeopleText: "text for people",
    ScriptText: "a script",
    TemplateText: "a text",
    Record: "a map, below",
}
_STEPS: Final[Mapping[str, Record]] = {
    "`do` and `run`": tables.ACTION,
    "`steps`": tables.BLOCK,
    "`parallel`": tables.PARALLEL,
    "`include`": tables.INCLUDE,
    "a look in `verify`, `unless`, `proof`": tables.LOOK,
    "a step of `undo`, `restore`": tables.WAY_STEP,
    "a method of a fence": tables.METHOD,
}


def language_page() -> str:
    """Write the whole reference, its table of contents first."""
    sections = dict(_sections())
    contents = [f"- [{title}](#{title.lower().replace(' ', '-')})" for title in sections]
    body = [line for title, lines in sections.items() for line in ("", f"## {title}", "", *lines)]
    return "\n".join([said.HEAD, *contents, *body]).rstrip("\n") + "\n"


def _sections() -> Iterable[tuple[str, list[str]]]:
    yield (
        "YAML",
        [said.YAML, *(f"- {CODES[code]} ({code})" for code in CODES if code.startswith("E1")), *_example("yaml")],
    )
    yield "The document", [
        *_keys(
            tables.RUNBOOK, tables.OBJECTIVES, tables.DRILL, tables.SCENARIO, tables.PHASE,
            names=("", "`objectives`:", "`drill`:", "`scenario`:", "A phase:"),
        ),
        *_example("document"),
    ]  # fmt: skip
    yield "Inputs", [
        *_keys(tables.INPUT), "", f"Types: {_words(one.value for one in InputType)}.", *_example("inputs"),
    ]  # fmt: skip
    yield "Types and units", [*_types(), *_example("types")]
    yield "Names", [said.NAMES, *_names(), *_example("names")]
    yield "A step", [said.STEP, *_step_keys(), *_example("step")]
    yield "Effects", [*_glossary("effect", Effect, said.EFFECTS), *_example("effects")]
    yield "How a step ends", [
        *_glossary("outcome", Outcome, said.OUTCOMES), "", *_glossary("on_failure", OnFailure, said.FAILURES),
        "", said.JUDGED.rstrip("\n"), *_example("ends"),
    ]  # fmt: skip
    yield "Where it runs", [said.PLACES, *_keys(tables.SELECTION), *_example("places")]
    yield (
        "Blocks and includes",
        [said.BLOCKS.rstrip("\n"), *_example("blocks"), "", f"and `{INCLUDED}`:", *_example("included")],
    )
    again = tables.repeat(look=True)
    loops = Record(tables.LOOPED)
    yield "Loops and waiting", [
        said.LOOPS, *_keys(loops, again, tables.RUNG, names=("", "`until` and `retry`:", "A rung of `escalate`:")),
        *_example("loops"),
    ]  # fmt: skip
    yield "People", [
        *_keys(
            tables.APPROVE, tables.DECIDE, tables.RULE, tables.MANUAL,
            names=("`approve`:", "`decide`:", "A rule of `decide`:", "`manual`:"),
        ),
        *_example("people"),
    ]  # fmt: skip
    yield "Ways back", [said.WAYS.rstrip("\n"), *_example("ways")]
    yield "Fences and other kinds of the language", [
        *_keys(
            tables.FENCE, tables.LIFT, tables.WAIT, tables.RESTORE,
            names=("`fence.host`:", "`fence.lift`:", "`wait`:", "`restore`:"),
        ),
        *_example("fences"),
    ]  # fmt: skip
    yield "Clocks", [
        f"Known marks: {_words(sorted(KNOWN_MARKS))}. Others are free, and reported as they are.", *_example("clocks"),
    ]  # fmt: skip
    yield "Expressions", [said.EXPRESSIONS.rstrip("\n"), *_example("expressions")]
    yield "Functions", [*_functions(), *_example("functions")]
    yield "No value", [said.UNKNOWN.rstrip("\n"), *_example("unknown")]
    yield "Limits", _limits()


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _keys(*records: Record, names: tuple[str, ...] = ("",)) -> list[str]:
    lines: list[str] = []
    for record, name in zip(records, names, strict=True):
        lines += [*([""] if lines else []), *([name, ""] if name else []), "| key | value | meaning |", "|---|---|---|"]
        for key, one in record.keys.items():
            needed = " Required." if one.required else ""
            lines.append(f"| `{key}` | {_cell(shape_text(one.shape))} | {_cell(one.doc)}{needed} |")
    return lines


def shape_text(shape: Shape) -> str:  # noqa: PLR0911 - one line for each shape
    """How a value is written, in a few words."""
    match shape:
        case Raw():
            return _RAW[shape.reference]
        case Choice():
            return _words(shape.words)
        case Int():
            return f"a whole number, {shape.least} to {shape.most:,}"
        case Quantity():
            return f"a {shape.kind.__name__.lower()}"
        case Word() | Name():
            return shape.meaning
        case ListOf():
            item = shape_text(shape.item)
            return f"{item}, or a list" if shape.or_one else f"a list: {item}"
        case MapOf():
            return f"a map of names: {shape_text(shape.item)}"
        case ByForm():
            return shape.expected
        case _:
            return _PLAIN[type(shape)]


def _step_keys() -> list[str]:
    """Every key a step may have, and which forms of a step have it."""
    found: dict[str, tuple[str, str]] = {}
    for record in _STEPS.values():
        for key, one in record.keys.items():
            found.setdefault(key, (shape_text(one.shape), one.doc))
    letters = dict(zip("ABCDEFG", _STEPS.items(), strict=True))
    where = "; ".join(f"**{letter}** {name}" for letter, (name, _) in letters.items())
    lines = [f"Where a key may stand: {where}. A capital marked `*` needs it.", ""]
    lines += ["| key | value | meaning | stands in |", "|---|---|---|---|"]
    for key, (value, doc) in found.items():
        stands = " ".join(
            letter + ("\\*" if record.keys[key].required else "")
            for letter, (_, record) in letters.items()
            if key in record.keys
        )
        lines.append(f"| `{key}` | {_cell(value)} | {_cell(doc)} | {stands} |")
    lines += [
        "",
        "Kinds of the language have fewer:",
        "",
        "| kind | keys besides `id title hint takes do` |",
        "|---|---|",
    ]
    for kind, record in tables.FORMS.items():
        keys = (key for key in record.keys if key not in {*tables.SAID, "do"})
        lines.append(f"| [`{kind}`]({_kind_link(kind)}) | {_words(keys)} |")
    return lines


def _kind_link(kind: str) -> str:
    """Where the kind is described; a fence is no file of `drctl/kinds`, and stands in this document."""
    return "#fences-and-other-kinds-of-the-language" if kind.startswith("fence.") else f"step-kinds.md#{kind}"


def _types() -> list[str]:
    return [
        f"Types: {_words(name for name in get_args(Type) if name != 'any')}.",
        "",
        f"- A duration is figures with units, large to small: {_words(DURATION_UNITS)}, as in `1h30m`.",
        f"- A size is one figure with a unit: {_words(SIZE_UNITS)}; KiB is 1024 bytes, kB is 1000.",
        "- A time has its zone: `2026-01-31T23:59:59Z`. Numbers are whole or exact decimals, never floats.",
        "- A host in a text is its name. A secret stands only in fields a kind marks secret, in `env` and in `stdin`.",
    ]


def _names() -> list[str]:
    runs = ", ".join(f"`run.{name}` ({kind})" for name, kind in RUN.items())
    return [
        f"Reserved words: {_words(sorted(RESERVED))}.",
        "",
        f"Of the run: {runs}.",
    ]


def _glossary(head: str, kind: type[Effect | Outcome | OnFailure], meanings: Mapping[str, str]) -> list[str]:
    return [f"| {head} | meaning |", "|---|---|", *(f"| `{one.value}` | {meanings[one.value]} |" for one in kind)]


def _functions() -> list[str]:
    lines = ["| function | takes | gives |", "|---|---|---|"]
    for name, one in SIGNATURES.items():
        lines.append(f"| `{_cell(usage(name))}` | {_takes(one)} | {_gives(one)} |")
    lines += ["", "Over the members of a list, each under a name of its own; they nest:", ""]
    lines += ["| function | the body is | gives |", "|---|---|---|"]
    lines += [f"| `{usage(name)}` | {_BODY[one.body]} | {_each(one)} |" for name, one in EACH_SIGNATURES.items()]
    return lines


_BODY: Final = {"bool": "a condition", "ordered": "a value with an order", "any": "any value"}
_FOLLOWS: Final = {"element": "what the members are", "argument": "such a list", "either": "x, or y if x has no value"}


def _takes(one: Signature) -> str:
    shown = [" or ".join(sorted(kinds)) for kinds in one.takes]
    return ", ".join(f"{kind} (may be left out)" if at >= one.least else kind for at, kind in enumerate(shown)) or "-"


def _gives(one: Signature) -> str:
    return _FOLLOWS.get(one.gives, f"list of {one.of}" if one.gives == "list" else one.gives)


def _each(one: EachSignature) -> str:
    return _FOLLOWS.get(one.gives, "a list of the bodies" if one.gives == "body" else one.gives)


def _limits() -> list[str]:
    limits = {
        "bytes of a file": yaml_nodes.MAX_BYTES,
        "levels of YAML": yaml_nodes.MAX_DEPTH,
        "nodes of a document": yaml_nodes.MAX_NODES,
        "includes inside one another": includes.DEEPEST,
        "includes of a run": includes.MOST_CALLS,
        "bytes of all included text": includes.MOST_TEXT,
        "characters of an expression": MAX_LENGTH,
        "levels of an expression": MAX_DEPTH,
        "steps of one evaluation": BUDGET,
        "characters of a text": value_types.MAX_TEXT,
        "members of a list or map": value_types.MAX_MEMBERS,
        "bytes of a script": scripts.LARGEST,
        "bytes of a part of the frozen plan in the journal": frozen.PART,
    }
    return ["| limit | at most |", "|---|---|", *(f"| {name} | {most:,} |" for name, most in limits.items())]


def _example(name: str) -> list[str]:
    return ["", "```yaml", EXAMPLES[name].rstrip("\n"), "```"]
