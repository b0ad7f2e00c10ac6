"""Strict YAML 1.2 core: bytes in, nodes with positions out, every problem reported.

Built on the events of libyaml alone. PyYAML's own constructor is never used: it follows YAML 1.1 (`no` is False,
`22:30` is 1350), lets the last of two equal keys win, and raises ValueError or AttributeError on hostile texts. Limits
keep time and memory bounded: an alias is refused where it stands, nesting at 32 levels, a document at 100,000 nodes.
What keys mean is left to the decoder.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import yaml

from drctl.core.diagnostics import Where
from drctl.core.nouns import dataclass
from drctl.errors import DefectError
from drctl.loading.nodes import Broken, Entry, Mapping, Node, Scalar, Sequence, Source, Style

if TYPE_CHECKING:
    from drctl.loading.codes import Problems

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000

_STYLES: Final = {"": Style.PLAIN, "'": Style.SINGLE, '"': Style.DOUBLE, "|": Style.LITERAL, ">": Style.FOLDED}
_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # CVE-2021-42574: the text shown is not the text run
_UNSEEN: Final = re.compile(
    f"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\u2028\u2029\ufeff\ufffe\uffff{_BIDI}]|\r(?!\n)"
)
_HIDDEN: Final = re.compile(f"[\\x00{_BIDI}\ud800-\udfff]")
_COMMENT: Final = re.compile(r"[ \t]+#")


class Mark(Protocol):
    """A place as libyaml gives it, counted from 0 in characters."""

    @property
    def line(self) -> int: ...  # noqa: D102 - see the class
    @property
    def column(self) -> int: ...  # noqa: D102 - see the class


class _StopError(Exception):
    """The document cannot be read further; the reason was reported."""


def compose(data: bytes, file: str, problems: Problems) -> Node | None:
    """Read one document.

    Returns:
        The root node, None when the text is no YAML at all. Problems that leave the rest readable (a tag, a key that
        stands twice) are reported and reading goes on.
    """
    text = _decode(data, file, problems)
    if text is None:
        return None
    source = Source(file=file, text=text, lines=tuple(line.removesuffix("\r") for line in text.split("\n")))
    try:
        return _Composer(source, problems).document()
    except _StopError:
        return None


def _decode(data: bytes, file: str, problems: Problems) -> str | None:
    whole = Where(file=file)
    if len(data) > MAX_BYTES:
        problems.error("E100", whole, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.error("E100", whole, "the file is UTF-16", "save it as UTF-8 without a byte order mark")
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        byte = f"byte 0x{data[error.start]:02x} is not UTF-8"
        problems.error("E100", _position(before, file), byte, "save the file as UTF-8")
        return None
    unseen = _UNSEEN.search(text)
    if unseen:
        summary, hint = _unseen(unseen[0], unseen.start())
        problems.error("E100", _position(text[: unseen.start()], file), summary, hint)
        return None
    return text


def _unseen(character: str, offset: int) -> tuple[str, str]:
    code = f"U+{ord(character[0]):04X}"
    if code == "U+FEFF" and offset == 0:
        return "the file begins with a byte order mark", "save it as UTF-8 without a byte order mark"
    if re.match(f"[{_BIDI}]", character):
        return f"{code} turns the direction of writing, so that what is read is not what is run", "remove the character"
    if character == "\r":
        return "a carriage return alone is a line end that many editors do not show", "end lines with a line feed"
    return f"the character {code} cannot be seen", "remove it, or write it as an escape in double quotes"


def _position(before: str, file: str) -> Where:
    return Where(file=file, line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1)


@dataclass(slots=True)
class _Composer:
    source: Source
    problems: Problems
    events: yaml.CSafeLoader
    nodes: int

    def __init__(self, source: Source, problems: Problems) -> None:
        if not yaml.__with_libyaml__:  # pragma: no cover - every wheel of PyYAML carries libyaml
            raise DefectError(
                "PyYAML was built without libyaml.", next="reinstall it: pip install --force-reinstall pyyaml"
            )
        self.source = source
        self.problems = problems
        self.events = yaml.CSafeLoader(source.text)
        self.nodes = 0

    def document(self) -> Node | None:
        self.next()  # stream start
        first = self.next()
        if isinstance(first, yaml.StreamEndEvent):
            self.problems.error("E107", Where(file=self.source.file), "the file holds no document")
            return None
        if isinstance(first, yaml.DocumentStartEvent) and (first.version or first.tags):
            where = self.mark(first.start_mark)
            self.problems.error("E102", where, "a YAML directive", "remove the line that begins with %")
        root = self.node(self.next(), 1)
        self.next()  # document end
        after = self.next()
        if not isinstance(after, yaml.StreamEndEvent):
            hint = "keep one document in a file; `---` stands at most once, at the top"
            self.problems.error("E107", self.mark(after.start_mark), "a second document", hint)
        return root

    def next(self) -> yaml.Event:
        """The next event; a syntax error ends the reading."""
        try:
            event = self.events.get_event()
        except yaml.MarkedYAMLError as error:
            self.syntax(error)
            raise _StopError from None
        except yaml.YAMLError as error:  # the reader's errors carry no line; _decode leaves none known
            self.problems.error("E101", Where(file=self.source.file), f"not YAML: {error}".splitlines()[0])
            raise _StopError from None
        if event is None:
            raise _StopError
        return event

    def mark(self, mark: Mark | None) -> Where:
        if mark is None:
            return Where(file=self.source.file)
        return Where(file=self.source.file, line=mark.line + 1, column=mark.column + 1)

    def node(self, event: yaml.Event, depth: int) -> Node:
        where = self.mark(event.start_mark)
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_NODES:,} nodes"
            self.problems.error("E108", where, f"the document has more than {limit}", "split it")
            raise _StopError
        if isinstance(event, yaml.AliasEvent):
            self.problems.error("E103", where, f"an alias (*{event.anchor})", "say it twice, or use `vars`")
            return Broken(where=where)
        self.refuse_properties(event, where)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, where)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := self.next(), yaml.SequenceEndEvent):
                items.append(self.node(inner, depth + 1))
            return Sequence(items=tuple(items), where=where)
        return self.mapping(where, depth)

    def refuse_properties(self, event: yaml.Event, where: Where) -> None:
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.problems.error("E103", where, f"an anchor (&{anchor})", "say it twice, or use `vars`")
        tag = getattr(event, "tag", None)
        if tag is not None:
            hint = "a plain text that begins with ! is a tag in YAML: put the text in quotes"
            self.problems.error("E102", where, f"a YAML tag ({tag[:60]})", hint)

    def scalar(self, event: yaml.ScalarEvent, where: Where) -> Node:
        hidden = _HIDDEN.search(event.value)
        if hidden:
            code = f"U+{ord(hidden[0]):04X}"
            self.problems.error("E100", where, f"the text holds {code} as an escape", "no reply or script may hold it")
            return Broken(where=where)
        style = _STYLES[event.style or ""]
        rest = self.behind(event.end_mark) if style is Style.PLAIN and event.value else ""
        comment = _COMMENT.match(rest)
        return Scalar(
            text=event.value,
            where=where,
            style=style,
            cut=self.cut(event.end_mark, comment.end()) if comment else None,
            comma=rest.lstrip().startswith(","),
            source=self.source,
        )

    def cut(self, end: Mark | None, behind: int) -> Where:
        """Where a comment begins, so many characters behind a node."""
        place = self.mark(end)
        return replace(place, column=place.column + behind - 1)

    def behind(self, end: Mark | None) -> str:
        """The rest of the line behind a node."""
        return self.source.lines[end.line][end.column :] if end and end.line < len(self.source.lines) else ""

    def mapping(self, where: Where, depth: int) -> Mapping:
        entries: list[Entry] = []
        first_at: dict[str, Where] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(self.next(), depth + 1)
            if not isinstance(key, Scalar):
                if not isinstance(key, Broken):
                    self.problems.error("E106", key.where, "a key must be a plain text", self.key_hint(key))
            elif key.text == "<<" and key.style is Style.PLAIN:
                self.problems.error("E104", key.where, "a merge key (<<)", "say it twice, or use `vars`")
            elif not key.text:
                self.problems.error("E106", key.where, "a key is empty")
            elif key.text in first_at:
                first = first_at[key.text]
                summary = f"the key '{key.text[:60]}' stands twice in one map"
                self.problems.error("E105", key.where, summary, f"first at line {first.line}, column {first.column}")
            else:
                first_at[key.text] = key.where
                entries.append(Entry(key=key, value=value))
        return Mapping(entries=tuple(entries), where=where)

    @staticmethod
    def key_hint(key: Node) -> str:
        return 'put a template in quotes: "${{ x }}"' if isinstance(key, Mapping) else ""

    def syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Say what libyaml found; where a quote or bracket began matters more than where the text gave out."""
        context, problem = error.context or "", error.problem or "not YAML"
        at = error.problem_mark or error.context_mark
        where = self.mark(at)
        rest = self.source.lines[where.line - 1][where.column - 1 :] if 0 < where.line <= len(self.source.lines) else ""
        if ("quoted scalar" in context and "end of stream" in problem) or "document indicator" in problem:
            begun = self.mark(error.context_mark) if error.context_mark else where
            self.problems.error(
                "E101", begun, "the quote that begins here is never closed", f"it runs on to line {where.line}"
            )
        elif rest.startswith("\t") or "tab character" in problem:
            self.problems.error("E101", where, "a tab cannot indent YAML", "use spaces")
        elif rest.startswith(("@", "`", "%")):
            hint = "put the text in quotes"
            self.problems.error("E101", where, f"a plain text cannot begin with {rest[0]}", hint)
        elif "mapping values are not allowed" in problem:
            hint = "put a text that holds ': ' in quotes, or correct the indentation"
            self.problems.error("E101", where, "a second ':' where no key can stand", hint)
        elif "flow" in context and error.context_mark:
            begun = self.mark(error.context_mark)
            hint = "in [] and {} put a text that holds ? [ { , or ${{ in quotes; "
            hint += f"the bracket was opened at line {begun.line}, column {begun.column}"
            self.problems.error("E101", where, problem, hint)
        else:
            begun_at = error.context_mark
            hint = f"{context}, line {begun_at.line + 1}, column {begun_at.column + 1}" if begun_at else context
            self.problems.error("E101", where, problem, hint)
