"""The words and simple commands of a script, as the scanner finds them and the rules judge them."""

from __future__ import annotations

from dataclasses import field

from drctl.core.nouns import dataclass


@dataclass(slots=True)
class Word:
    """One word of a simple command, while it is read.

    Attributes:
        start: where it begins in the script.
        raw: its text as written, up to the first template, expansion or quote.
        literal: its text after quote removal; None once an expansion, pattern or template makes it unknown.
        templates: offsets of the templates in it.
        leading: those of them that nothing but templates comes before: the value itself may begin with `-`.
        is_bare: True while nothing but templates was read.
        tail: the literal text behind its last template or expansion.
        is_expansion: whether it is one expansion and nothing else, such as `$SUDO`.
        is_raw: True while nothing quoted or expanded was read.
        is_pattern: whether an unquoted `* ? [ {` can make it another word, or several.
    """

    start: int
    raw: str = ""
    literal: str | None = ""
    templates: list[int] = field(default_factory=list)
    leading: list[int] = field(default_factory=list)
    is_bare: bool = True
    is_raw: bool = True
    tail: str = ""
    is_expansion: bool = False
    is_pattern: bool = False

    def add(self, text: str, *, quoted: bool = False) -> None:
        """Literal text follows; an empty quoted text counts as none."""
        if quoted:
            self.is_raw = False
        if text:
            self.is_bare = self.is_expansion = False
            self.tail += text
            self.raw += text if self.is_raw else ""
            self.literal = None if self.literal is None else self.literal + text
            self.is_pattern |= not quoted and text in "*?[{"

    def end(self) -> None:
        """The word is over: a pattern has no text that is known, except for the commands `[`, `[[` and `{`."""
        if self.is_pattern and self.literal in {"[", "[[", "{"}:
            self.is_pattern = False
        if self.is_pattern:
            self.literal = None

    def add_expansion(self) -> None:
        """Something follows whose text is known only when the script runs."""
        self.is_expansion = self.literal == ""
        self.is_bare = self.is_raw = False
        self.literal = None
        self.tail = ""

    def add_template(self, offset: int) -> None:
        """A template follows."""
        self.templates.append(offset)
        if self.is_bare:
            self.leading.append(offset)
        self.is_raw = self.is_expansion = False
        self.literal = None
        self.tail = ""
