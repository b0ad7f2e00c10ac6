"""Takes documents apart: fenced blocks, commands, inline code, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"\s+# .*$")
_EXIT = re.compile(r"# exit (\d+)")


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a block: what is typed, and the exit code that its comment promises."""

    typed: str
    exit: int


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For the names of tests."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[Command]:
        """The lines that are typed."""
        found = []
        for line in self.text.splitlines():
            typed = _COMMENT.sub("", line.removeprefix("$ ")).strip()
            if typed and not typed.startswith("#"):
                said = _EXIT.search(line)
                found.append(Command(typed, int(said[1]) if said else 0))
        return found


def blocks(document: Path) -> Iterator[Block]:
    """Every fenced block of a document."""
    text = document.read_text("utf-8")
    for found in _FENCE.finditer(text):
        yield Block(document, text.count("\n", 0, found.start()) + 1, found[2], found[3])


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", document.read_text("utf-8"))
