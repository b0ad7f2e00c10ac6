"""How two versions of a runbook differ, step by step: what a person is shown before a changed one is gone on with.

Compared is what a step means, not where it stands in its file: positions and comments are left out. The looks around a
step and its ways back are part of it; the steps inside a block are compared by themselves. Which differences a run can
take is `core.accepting`.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from drctl.core.expressions import Expression
from drctl.core.model import Action, Block, Fence, Include, Phase, Runbook, Step, rungs
from drctl.core.nouns import dataclass
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.written import Formula

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES: Final = frozenset({"where", "field_where", "input_where", "source", "origin", "home", "frames", "path"})
"""Fields that say where something stands, not what it means."""
_FROZEN: Final = ("name", "objectives", "inputs", "vars", "locks")
"""What the first record froze for the whole run."""
LONGEST: Final = 400
WAYS: Final = ("ways", "on", "as_user")
"""Fields that say where and how a step is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One phase, block or step of a runbook: its address, and its fields as canonical texts."""

    path: str
    fields: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over all that it means, its address included."""
        text = json.dumps([self.path, dict(self.fields)], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(b"drctl/step/v1\n" + text.encode()).hexdigest()


class What(enum.Enum):
    """What became of a step."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One difference. `fields` are (name, old, new), empty texts where there is none."""

    path: str
    what: What
    fields: tuple[tuple[str, str, str], ...] = ()

    def lines(self) -> list[str]:
        """It in words, old and new beneath each other."""
        lines = [f"{self.path}: {self.what.value}"]
        for name, old, new in self.fields:
            lines += [f"    {name}", f"      old: {_cut(old) or 'nothing'}", f"      new: {_cut(new) or 'nothing'}"]
        return lines


def edits(old: Runbook, new: Runbook) -> list[Edit]:
    """Every difference between two versions, in the order of the newer one; removed ones come first."""
    before, after = ({piece.path: piece for piece in pieces(book)} for book in (old, new))
    moved = _moved([p for p in before if p in after], [p for p in after if p in before])
    found = [Edit(path=path, what=What.REMOVED) for path in before if path not in after]
    for path, piece in after.items():
        if path not in before:
            found.append(Edit(path=path, what=What.ADDED))
        elif piece.digest != before[path].digest:
            found.append(Edit(path=path, what=What.CHANGED, fields=_differing(before[path].fields, piece.fields)))
        elif path in moved:
            found.append(Edit(path=path, what=What.MOVED))
    return found


def frozen_edits(old: Runbook, new: Runbook) -> list[Edit]:
    """Differences in what holds for the whole run and is frozen in its first record."""
    found = []
    for name in _FROZEN:
        before, after = (_text(getattr(book, name)) for book in (old, new))
        if before != after:
            found.append(Edit(path=name, what=What.CHANGED, fields=((name, before, after),)))
    return found


def pieces(runbook: Runbook, under: str = "") -> Iterator[Piece]:
    """Every phase, block and step in the order written; ways back and looks around a step are part of it."""
    for phase in runbook.phases:
        path = f"{under}/{phase.id}" if under else phase.id
        yield Piece(path=path, fields=_fields(phase, {"steps", "id"}))
        for step in phase.steps:
            yield from _pieces(step)


def _pieces(step: Step) -> Iterator[Piece]:
    fields = _fields(step, {"body", "id"})
    body = step.body
    fields["kind"] = body.kind if isinstance(body, Action) else type(body).__name__.lower()
    inner: Iterable[Step] = ()
    match body:
        case Block():
            fields |= _fields(body, {"steps"})
            inner = body.steps
        case Fence():
            fields |= _fields(body, {"methods"})
            inner = body.methods
        case Include():
            fields |= _fields(body, {"runbook"}) | _fields(body.runbook, {"phases", "drill", "scenario", "description"})
        case Action():
            fields |= {name: _text(value) for name, value in body.fields.items()}
        case _:
            fields |= _fields(body, set())
    yield Piece(path=step.path, fields=fields)
    for one in (*rungs(step), *inner):
        yield from _pieces(one)
    if isinstance(body, Include):
        yield from pieces(body.runbook, step.path)


def _fields(noun: Phase | Step | Any, without: set[str]) -> dict[str, str]:  # noqa: ANN401 - any noun of the model
    names = [f.name for f in dataclasses.fields(noun) if f.name not in _PLACES | without]
    texts = {name: _text(getattr(noun, name)) for name in names}
    return {name: text for name, text in texts.items() if text}


def _text(value: object) -> str:
    """A value as text that is the same for the same meaning; empty for nothing."""
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return "" if plain in (None, False, [], {}) else json.dumps(plain, sort_keys=True, ensure_ascii=False)


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON holds
    plain = value
    match value:
        case Formula() | Expression() | Template():
            plain = value.text
        case Script():
            plain = value.source
        case enum.Enum():
            plain = value.value
        case Mapping():
            plain = {str(name): _plain(item) for name, item in value.items()}
        case frozenset():
            plain = sorted(map(str, map(_plain, value)))
        case tuple() | list():
            plain = [_plain(item) for item in value]
        case None | bool() | int() | str():
            pass
        case _:
            plain = _plain_noun(value)
    return plain


def _plain_noun(value: object) -> Any:  # noqa: ANN401 - whatever JSON holds
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name not in _PLACES}
        return {name: item for name, item in fields.items() if item not in (None, False, "", [], {})}
    return str(value)


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    names = [*old, *(name for name in new if name not in old)]
    return tuple((n, old.get(n, ""), new.get(n, "")) for n in names if old.get(n, "") != new.get(n, ""))


def _moved(old: list[str], new: list[str]) -> set[str]:
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    kept = {path for block in blocks for path in old[block.a : block.a + block.size]}
    return set(old) - kept


def _cut(text: str) -> str:
    line = text.replace("\n", "\\n")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}… ({len(text)} characters)"
