"""Finds how each template of a script is quoted, and refuses the places where a value could become code.

Only what dash, bash and busybox read alike is followed. Where they differ, or where the end of a construct cannot be
told for sure, the script is refused with another way to write it: a false refusal costs a minute when the runbook is
written, a false acceptance runs a stranger's text on a production host.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from drctl.core.expressions import ExpressionError
from drctl.core.nouns import dataclass
from drctl.core.shell.commands import check_command
from drctl.core.shell.words import Word

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[@*#?$!0-9-]")
_HERE_ODD: Final = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})|\$\(|`|\\$")
_BREAKS: Final = " \t\n;&|()"
_DEPTH: Final = {"(": 1, ")": -1}
_REDIRECTIONS: Final = ("<<<", "<<-", "<<", ">>", "<&", ">&", "<>", ">|", "<(", ">(", "<", ">")
_BY_ENV: Final = 'give it a name: `with: {env: {X: "${{ ... }}"}}`, and write "$X" in the script'


@dataclass(frozen=True, slots=True)
class _HereDocument:
    delimiter: str
    strips_tabs: bool
    is_quoted: bool
    start: int


def scan(text: str, templates: dict[int, int]) -> tuple[dict[int, bool], frozenset[int]]:
    """How the templates of a script stand in it.

    Args:
        text: the script as written.
        templates: for each template the offset of its `${{` and the offset behind its `}}`.

    Returns:
        For each template whether it stands inside double quotes; and those that begin a word.

    Raises:
        ExpressionError: for a template in a place where it could become code, and for a script that cannot be followed
            surely.
    """
    scanner = _Scanner(text, templates)
    scanner.commands(closing=None)
    return scanner.quoted, frozenset(scanner.leading)


class _Scanner:
    def __init__(self, text: str, templates: dict[int, int]) -> None:
        self.text = text
        self.templates = templates
        self.at = 0
        self.quoted: dict[int, bool] = {}
        self.leading: set[int] = set()
        self.here: list[_HereDocument] = []
        self.word: Word | None = None
        self.words: list[Word] = []
        self.redirect: str | None = None

    # refusals

    def refuse(self, offset: int, place: str, hint: str = _BY_ENV) -> NoReturn:
        raise ExpressionError(offset, f"a template cannot stand {place}", hint)

    def unsure(self, offset: int, what: str, hint: str = _BY_ENV) -> NoReturn:
        raise ExpressionError(offset, f"{what}: where the templates of this script stand cannot be told surely", hint)

    def no_template(self, start: int, end: int, place: str, hint: str = _BY_ENV) -> None:
        inside = [offset for offset in self.templates if start <= offset < end]
        if inside:
            self.refuse(min(inside), place, hint)

    # commands

    def peek(self, ahead: int = 0) -> str:
        return self.text[self.at + ahead : self.at + ahead + 1]

    def commands(self, closing: int | None) -> None:
        """Commands up to the end of the script, or up to the `)` of the `$(` that began at `closing`."""
        depth = 0
        while self.at < len(self.text):
            character = self.peek()
            if character == "#" and self.word is None:
                self.comment()
            elif character in "<>":
                self.redirection(closing)
            elif character not in _BREAKS:
                self.part_of_word()
            else:
                if self.text.startswith("((", self.at):
                    self.unsure(self.at, "(( is read differently by different shells", "write ( ( with a blank between")
                self.at += 1
                self.broken(character, closing)
                if character == ")" and closing is not None and depth == 0:
                    return
                depth = max(0, depth + _DEPTH.get(character, 0))
        self.end_command(closing)
        if closing is not None:
            self.unsure(closing, "the $( that begins here is not closed")
        if self.here:
            self.unsure(len(self.text), f"the here-document that ends with {self.here[0].delimiter} has no body")

    def broken(self, character: str, closing: int | None) -> None:
        """A blank ends a word; all other characters that end a word end the command too."""
        if character in " \t":
            self.end_word(closing)
            return
        self.end_command(closing)
        if character == "\n":
            self.here_documents()

    def end_word(self, closing: int | None) -> None:
        word, self.word = self.word, None
        if word is None:
            return
        word.end()
        self.leading.update(word.leading)
        if self.redirect is not None:
            if word.templates and "&" in self.redirect:
                self.refuse(word.templates[0], f"behind {self.redirect}, where a file descriptor is named")
            self.redirect = None
            return
        if word.literal == "case" and closing is not None and word.raw == "case":
            self.unsure(word.start, "a `case` inside $( )", "put the case into a function or before the $( )")
        self.words.append(word)

    def end_command(self, closing: int | None) -> None:
        self.end_word(closing)
        words, self.words = self.words, []
        check_command(words)

    def comment(self) -> None:
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        self.no_template(self.at, end, "in a comment", "take it out of the comment")
        self.at = end

    # words

    def part_of_word(self) -> None:
        start = self.at
        if self.text.startswith("\\\n", self.at):
            self.at += 2
            return
        if self.word is None:
            self.word = Word(start)
        word = self.word
        match self.peek():
            case "\\":
                self.escaped(word, start)
            case "'":
                self.single_quotes(word)
            case '"':
                self.at += 1
                self.double_quotes(word, start)
            case "`":
                self.backquotes(word)
            case _ if start in self.templates:
                self.template(word, quoted=False)
            case "$":
                self.dollar(word, quoted=False)
            case character:
                word.add(character)
                self.at += 1
        if self.here and "\n" in self.text[start : self.at]:
            self.unsure(start, "a new line inside a word on the line of a here-document")

    def template(self, word: Word, *, quoted: bool) -> None:
        self.quoted[self.at] = quoted
        word.add_template(self.at)
        self.at = self.templates[self.at]

    def escaped(self, word: Word, start: int) -> None:
        if start + 1 in self.templates:
            self.refuse(start + 1, "right behind a backslash", "leave the backslash out")
        word.add(self.peek(1), quoted=True)
        self.at += 2

    def single_quotes(self, word: Word) -> None:
        start = self.at
        end = self.text.find("'", start + 1)
        self.no_template(
            start, end if end >= 0 else len(self.text), "inside single quotes", 'write it outside of them, or in "..."'
        )
        if end < 0:
            self.unsure(start, "the single quote that begins here is not closed")
        word.add(self.text[start + 1 : end], quoted=True)
        self.at = end + 1

    def double_quotes(self, word: Word, start: int) -> None:
        word.add("", quoted=True)
        while self.at < len(self.text):
            match self.peek():
                case '"':
                    self.at += 1
                    return
                case "\\":
                    self.escaped(word, self.at)
                case "`":
                    self.backquotes(word)
                case _ if self.at in self.templates:
                    self.template(word, quoted=True)
                case "$":
                    self.dollar(word, quoted=True)
                case character:
                    word.add(character, quoted=True)
                    self.at += 1
        self.unsure(start, "the double quote that begins here is not closed")

    def backquotes(self, word: Word) -> None:
        start = self.at
        end = self.text.find("`", start + 1)
        content = self.text[start + 1 : end if end >= 0 else None]
        self.no_template(start, start + 1 + len(content), "inside backquotes", "write $( ... )")
        if end < 0 or any(odd in content for odd in ("\\", "'", '"', "#", "<<", "$(")):
            self.unsure(start, "backquotes with quotes inside, or without an end", "write $( ... )")
        word.add_expansion()
        self.at = end + 1

    # expansions

    def dollar(self, word: Word, *, quoted: bool) -> None:
        start = self.at
        following = self.peek(1)
        if start + 1 in self.templates:
            self.refuse(start + 1, "right behind a $", "leave the $ out")
        if following == "\\" and self.peek(2) == "\n":
            self.unsure(start, "a $ at the end of a continued line", "put both on one line")
        if following in {"'", '"'} and following and not quoted:
            self.unsure(start, f"${following} is read differently by different shells", "leave the $ out")
        if following == "[":
            self.unsure(start, "$[ is read differently by different shells", "write $(( ))")
        if self.text.startswith("$((", start):
            self.arithmetic()
        elif following == "(":
            self.substitution()
        elif following == "{":
            self.parameter()
        elif name := _NAME.match(self.text, start + 1):
            self.at = name.end()
        else:
            word.add("$", quoted=True)
            self.at += 1
            return
        word.add_expansion()

    def substitution(self) -> None:
        """`$( ... )`: quoting begins anew inside, whatever stands around it."""
        start = self.at
        outer = self.word, self.words, self.redirect, self.here
        self.word, self.words, self.redirect, self.here = None, [], None, []
        self.at += 2
        self.commands(closing=start)
        if self.here:
            self.unsure(start, "a here-document inside $( ) without its body")
        self.word, self.words, self.redirect, self.here = outer

    def parameter(self) -> None:
        """`${ ... }` with plain text inside: shells read quotes in there differently."""
        start = self.at
        self.at += 2
        if self.peek() in {" ", "\t", "\n", "|", ""}:
            self.unsure(start, "the ${ that begins here is no parameter")
        while self.at < len(self.text):
            character = self.peek()
            if self.at in self.templates:
                self.refuse(self.at, "inside ${ }")
            if character == "}":
                self.at += 1
                return
            if character in "'\"\\`" or self.text.startswith(("$(", "$'"), self.at):
                self.unsure(start, "a ${ } with quotes or $( ) inside", "give the part a name of its own first")
            if self.text.startswith("${", self.at):
                self.parameter()
            else:
                self.at += 1
        self.unsure(start, "the ${ that begins here is not closed")

    def arithmetic(self) -> None:
        """`$(( ... ))` with plain text inside."""
        start = self.at
        self.at += 3
        depth = 2
        while self.at < len(self.text):
            character = self.peek()
            if self.at in self.templates:
                self.refuse(self.at, "inside $(( )), where sh takes a text for a formula")
            if character in "'\"\\`#;" or self.text.startswith("$(", self.at):
                self.unsure(start, "a $(( )) with quotes or $( ) inside", "give the part a name of its own first")
            if self.text.startswith("${", self.at):
                self.parameter()
                continue
            depth += {"(": 1, ")": -1}.get(character, 0)
            self.at += 1
            if depth == 1 and character == ")":
                if self.peek() != ")":
                    self.unsure(start, "$(( without ))", "for a command in brackets write $( ( with a blank between")
                self.at += 1
                return
        self.unsure(start, "the $(( that begins here is not closed")

    # redirections

    def redirection(self, closing: int | None) -> None:
        start = self.at
        if self.word is not None and self.word.literal == self.word.raw and self.word.raw.isdigit():
            self.word = None  # the 2 of 2>&1
        self.end_word(closing)
        if self.redirect is not None:
            self.unsure(start, "two redirections without a file between them")
        operator = next(each for each in _REDIRECTIONS if self.text.startswith(each, start))
        self.at += len(operator)
        if operator in {"<<<", "<(", ">("}:
            self.unsure(start, f"{operator} is not POSIX sh", "use a pipe: printf '%s\\n' ... | command")
        if self.text.startswith("\\\n", self.at):
            self.unsure(start, "a redirection at the end of a continued line", "put both on one line")
        if operator in {"<<", "<<-"}:
            self.here.append(self.here_document(start, strips_tabs=operator == "<<-"))
        else:
            self.redirect = operator

    # here-documents

    def here_document(self, start: int, *, strips_tabs: bool) -> _HereDocument:
        """The delimiter after `<<`; the body follows the end of the line."""
        delimiter = ""
        is_quoted = False
        while self.peek() in {" ", "\t"}:
            self.at += 1
        while (character := self.peek()) and character not in " \t\n;&|<>()":
            if self.at in self.templates:
                self.refuse(self.at, "as the end mark of a here-document")
            if character in "$`":
                self.unsure(start, "a here-document whose end mark is not plain text")
            if character in "'\"\\":
                is_quoted = True
                end = self.at + 1 if character == "\\" else self.text.find(character, self.at + 1)
                part = self.text[self.at + 1 : end + 1 if character == "\\" else end]
                if end < 0 or any(odd in part for odd in "\n\\$`"):
                    self.unsure(start, "a here-document whose end mark is not plain text")
                delimiter += part
                self.at = end + 1
            else:
                delimiter += character
                self.at += 1
        if not delimiter:
            self.unsure(start, "a here-document without an end mark")
        return _HereDocument(delimiter, strips_tabs, is_quoted, start)

    def here_documents(self) -> None:
        """The bodies of the here-documents that the line before announced."""
        documents, self.here = self.here, []
        for document in documents:
            while True:
                if self.at >= len(self.text):
                    self.unsure(document.start, f"the here-document that ends with {document.delimiter} has no end")
                start = self.at
                end = self.text.find("\n", start)
                end = len(self.text) if end < 0 else end
                self.at = end + 1
                line = self.text[start:end]
                if (line.lstrip("\t") if document.strips_tabs else line) == document.delimiter:
                    break
                self.no_template(start, end, "in a here-document", f"pass it by `stdin`, or {_BY_ENV}")
                if not document.is_quoted and _HERE_ODD.search(line):
                    hint = f"quote the end mark: <<'{document.delimiter}'"
                    self.unsure(start, "a here-document with $( ), backquotes or a continued line", hint)
