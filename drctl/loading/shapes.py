"""Shapes of single values: each reads one node, and says the same to an editor as JSON Schema.

A shape reports what is wrong and gives `BAD`; whoever asked goes on with the next value, so that every problem is found
at once. Maps, lists and records of values are in `drctl.loading.records`.
"""

from __future__ import annotations

import re
from dataclasses import field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

from drctl.core.expressions.signatures import RESERVED
from drctl.core.nouns import dataclass
from drctl.core.values import Duration, Size, Time, number
from drctl.loading.nodes import Broken, CoreType, Node, Scalar, describe
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable

    from drctl.core.diagnostics import Where
    from drctl.loading.codes import Problems

Schema: TypeAlias = dict[str, object]
T = TypeVar("T")

NAME: Final = r"[a-z][a-z0-9_]*(?:-+[a-z0-9_]+)*"
_LONGEST_NAME: Final = 60
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?")
WRITTEN: Final[Schema] = {"type": ["string", "number", "boolean"]}


class Bad:
    """The value could not be read, and the reason was reported."""


BAD: Final = Bad()


@dataclass(slots=True)
class Texts:
    """Where every parsed text stands, so that what is found wrong with it later is shown at its character."""

    scalars: dict[int, tuple[object, Scalar]] = field(default_factory=dict)

    def remember(self, parsed_text: object, scalar: Scalar) -> None:
        """Note the scalar that an expression, template or script was read from."""
        self.scalars[id(parsed_text)] = parsed_text, scalar

    def place(self, parsed_text: object, offset: int, otherwise: Where) -> Where:
        """Say where character `offset` of it stands."""
        found = self.scalars.get(id(parsed_text))
        return found[1].place(offset) if found else otherwise


@dataclass(frozen=True, slots=True)
class Reading:
    """What a shape needs to read: where problems go, and what the value belongs to ('step promote').

    `beside` gives the bytes of a file that a field names, and keeps its text with the document; raises OSError.
    """

    problems: Problems
    texts: Texts
    within: str = ""
    beside: Callable[[str], bytes] | None = None

    def inside(self, within: str) -> Reading:
        """The same for a value of something else."""
        return Reading(self.problems, self.texts, within, self.beside)

    @property
    def of(self) -> str:
        """What the value belongs to, as the end of a sentence."""
        return f" in {self.within}" if self.within else ""


class Shape(Protocol):
    """How one value is written."""

    def read(self, node: Node, reading: Reading) -> object:
        """Read the value; BAD when it was refused."""

    def schema(self) -> Schema:
        """The same in the words of JSON Schema."""


def refuse(node: Node, reading: Reading, expected: str, hint: str = "") -> Bad:
    """Report that something else was expected here."""
    if not isinstance(node, Broken):
        reading.problems.error("E203", node.where, f"{expected} is expected{reading.of}, not {describe(node)}", hint)
    return BAD


def empty(node: Node, reading: Reading, needed: str) -> Bad:
    """Report a list or map with nothing in it."""
    reading.problems.error("E203", node.where, f"{needed} is needed{reading.of}, and there is none")
    return BAD


def written(node: Node, reading: Reading, expected: str) -> Scalar | Bad:
    """The scalar with something written in it."""
    if not isinstance(node, Scalar):
        return refuse(node, reading, expected)
    if node.core_type is CoreType.NULL:
        return refuse(node, reading, expected, 'for an empty text write "", for the word null write "null"')
    return node


@dataclass(frozen=True, slots=True)
class Word:
    """A text as written; `pattern` and `meaning` say which are taken."""

    meaning: str = "a text"
    pattern: str | None = None
    hint: str = ""
    code: str = "E204"

    def read(self, node: Node, reading: Reading) -> str | Bad:
        """Read it."""
        scalar = written(node, reading, self.meaning)
        if isinstance(scalar, Bad):
            return BAD
        if self.pattern and not re.fullmatch(self.pattern, scalar.text):
            shown = scalar.text if len(scalar.text) <= _LONGEST_NAME else scalar.text[:_LONGEST_NAME] + "..."
            reading.problems.error(self.code, node.where, f"'{shown}' is not {self.meaning}{reading.of}", self.hint)
            return BAD
        return scalar.text

    def schema(self) -> Schema:
        """Text; numbers and booleans are taken as written."""
        return WRITTEN | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the language: an id, input, variable, capture."""

    meaning: str = "a name"

    def read(self, node: Node, reading: Reading) -> str | Bad:
        """Read it, and refuse reserved words."""
        scalar = written(node, reading, self.meaning)
        return BAD if isinstance(scalar, Bad) else check_name(scalar, reading, self.meaning)

    def schema(self) -> Schema:
        """The naming rule."""
        return {"type": "string", "pattern": f"^(?!(?:{'|'.join(sorted(RESERVED))})$){NAME}$", "maxLength": 60}


def check_name(scalar: Scalar, reading: Reading, meaning: str) -> str | Bad:
    """Apply the naming rule to a text."""
    name = scalar.text
    if name in RESERVED:
        reading.problems.error("E206", scalar.where, f"'{name}' is a reserved word and cannot be {meaning}{reading.of}")
        return BAD
    if len(name) > _LONGEST_NAME or not re.fullmatch(NAME, name):
        rule = f"a-z, 0-9, _ and -; begins with a letter, does not end with -, at most {_LONGEST_NAME} characters"
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:_LONGEST_NAME]
        hint = f"{rule}; for example '{near}'" if re.fullmatch(NAME, near) and near not in RESERVED else rule
        shown = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
        reading.problems.error("E206", scalar.where, f"'{shown}' cannot be {meaning}{reading.of}", hint)
        return BAD
    return name


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> str | Bad:
        """Read it."""
        scalar = written(node, reading, f"one of {', '.join(self.words)}")
        if isinstance(scalar, Bad):
            return BAD
        if scalar.text in self.words:
            return scalar.text
        hint = did_you_mean(scalar.text, self.words)
        reading.problems.error("E204", node.where, f"'{scalar.text[:_LONGEST_NAME]}' is not a choice{reading.of}", hint)
        return BAD

    def schema(self) -> Schema:
        """The words."""
        return {"enum": list(self.words)}


def words_of(kind: type[enum.Enum]) -> Choice:
    """The choice between the members of an enumeration."""
    return Choice(tuple(str(member.value) for member in kind))


@dataclass(frozen=True, slots=True)
class Bool:
    """True or false, never yes or 1."""

    def read(self, node: Node, reading: Reading) -> bool | Bad:
        """Read it."""
        if not isinstance(node, Scalar) or node.core_type is not CoreType.BOOL:
            return refuse(node, reading, "true or false", _quote_hint(node, "true"))
        return node.text.lower() == "true"

    def schema(self) -> Schema:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number within limits."""

    least: int | None = None
    most: int | None = None

    def read(self, node: Node, reading: Reading) -> int | Bad:
        """Read it."""
        figure = read_number(node, reading, "a whole number")
        if isinstance(figure, Bad):
            return BAD
        if isinstance(figure, Decimal):
            return refuse(node, reading, "a whole number")
        return figure if in_range(figure, (self.least, self.most), node, reading) else BAD

    def schema(self) -> Schema:
        """An integer within limits."""
        limits = {"minimum": self.least, "maximum": self.most}
        return {"type": "integer"} | {word: limit for word, limit in limits.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole or exact decimal number within limits."""

    least: int | None = None
    most: int | None = None

    def read(self, node: Node, reading: Reading) -> int | Decimal | Bad:
        """Read it."""
        figure = read_number(node, reading, "a number")
        return (
            BAD if isinstance(figure, Bad) or not in_range(figure, (self.least, self.most), node, reading) else figure
        )

    def schema(self) -> Schema:
        """A number within limits."""
        limits = {"minimum": self.least, "maximum": self.most}
        return {"type": "number"} | {word: limit for word, limit in limits.items() if limit is not None}


def read_number(node: Node, reading: Reading, expected: str) -> int | Decimal | Bad:
    """Read a number in the one form that everyone reads alike; `0777`, `0x1f`, `1e3` are refused."""
    if not isinstance(node, Scalar) or node.core_type not in {CoreType.INT, CoreType.FLOAT}:
        return refuse(node, reading, expected, _quote_hint(node, "3"))
    if not _NUMBER.fullmatch(node.text):
        hint = "write a plain decimal number such as 1500 or 0.25, or a text in quotes"
        reading.problems.error(
            "E204", node.where, f"{node.text[:_LONGEST_NAME]} is read differently by different readers", hint
        )
        return BAD
    try:
        return number(Decimal(node.text) if "." in node.text else int(node.text))
    except ValueError as error:
        reading.problems.error("E204", node.where, str(error).rstrip("."))
        return BAD


def in_range(figure: int | Decimal, limits: tuple[int | None, int | None], node: Node, reading: Reading) -> bool:
    """Report a number outside its limits."""
    least, most = limits
    if (least is None or figure >= least) and (most is None or figure <= most):
        return True
    bounds = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
    reading.problems.error("E204", node.where, f"{figure} is out of range{reading.of}", " and ".join(bounds))
    return False


def _quote_hint(node: Node, example: str) -> str:
    quoted = isinstance(node, Scalar) and node.core_type is CoreType.TEXT
    return f"write it without quotes: {example}" if quoted else ""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A duration, size or time in its text form."""

    kind: type[Duration | Size | Time] = Duration
    least: Duration | None = None

    def read(self, node: Node, reading: Reading) -> Duration | Size | Time | Bad:
        """Read it."""
        meaning, example, _ = _QUANTITIES[self.kind]
        scalar = written(node, reading, meaning)
        if isinstance(scalar, Bad):
            return BAD
        if scalar.core_type is CoreType.INT and self.kind is not Time:
            return refuse(node, reading, f"{meaning} with its unit", f"write {scalar.text}{example}")
        try:
            value = self.kind.parse(scalar.text)
        except ValueError as error:
            reading.problems.error("E204", node.where, str(error).rstrip(".") + reading.of)
            return BAD
        if isinstance(value, Duration) and self.least is not None and value < self.least:
            reading.problems.error(
                "E204", node.where, f"{scalar.text} is too short{reading.of}", f"at least {self.least.exact()}"
            )
            return BAD
        return value

    def schema(self) -> Schema:
        """The text form."""
        return {"type": "string", "pattern": _QUANTITIES[self.kind][2]}


_FIGURE: Final = r"[0-9]+(\.[0-9]+)?"
_QUANTITIES: Final[dict[type, tuple[str, str, str]]] = {
    Duration: ("a duration such as 30s or 1h30m", "s", rf"^-?({_FIGURE}(ms|[smhd]))+$"),
    Size: ("a size such as 512MiB", "B", rf"^{_FIGURE}(B|[kMGT]B|[KMGT]iB)$"),
    Time: ("a time such as 2026-01-31T23:59:59Z", "", r"^[0-9]{4}-?[0-9]{2}-?[0-9]{2}[Tt ].*$"),
}
