"""Asking one question on the terminal: the screen, the words that answer it, reasons and typed values.

Enter alone never answers; it shows the question again. What is dangerous wants its target's name. `q` leaves the
question open, and the run pauses.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from drctl.core.diagnostics import Where
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import read_input
from drctl.engine.questions import NEEDS_REASON, Given
from drctl.reporting.questions import question_text
from drctl.reporting.texts import clean, one_line, shown

if TYPE_CHECKING:
    from drctl.adapters.console import Terminal
    from drctl.core import events as ev
    from drctl.core.fold import RunState

SHORT = {
    "approval": {"r": "reject"},
    "caution": {"y": "confirm", "yes": "confirm", "r": "reject", "n": "reject", "no": "reject"},
    "failure": {"r": "retry", "s": "skip"},
    "doubt": {"l": "look"},
    "when": {"s": "skip"},
}
"""Short forms of choices that are harmless, or that are followed by another question."""

BESIDE = {"retry": " [FIELD=VALUE]", "rollback": " [STEP]"}
"""What may be typed behind a choice about a failed step: a changed field, where to go back to."""

Reads = Callable[[str], "str | None"]


class _Left(Exception):  # noqa: N818 - a signal within this module
    """The person left, time is over, or the question was settled elsewhere."""


class Asking:
    """One conversation about one question."""

    def __init__(self, terminal: Terminal, write: Callable[[str], None], state: RunState, *, yes: bool) -> None:
        self._terminal = terminal
        self._write = write
        self._state = state
        self._yes = yes
        self._settled: Callable[[], bool] = lambda: False
        self._end: float | None = None

    def ask(self, asked: ev.Asked, settled: Callable[[], bool], seconds: float | None) -> Given | None:
        """Ask until there is an answer; None when nobody gives one here."""
        opened = self._state.opened
        self._run = opened.id if opened is not None else "-"
        self._settled = settled
        self._end = None if seconds is None else time.monotonic() + seconds
        if self._yes and asked.kind == "caution" and not asked.target and not self._answers(asked):
            self._write(f"{one_line(asked.text)}  confirmed by --yes")
            return self._given(asked, "confirm")
        self._terminal.forget_typed()
        try:
            return self._converse(asked)
        except _Left:
            return None

    def _answers(self, asked: ev.Asked) -> int:
        question = self._state.questions.get(asked.id)
        return len(question.answers) if question is not None else 0

    def _converse(self, asked: ev.Asked) -> Given:
        self._show(asked)
        while True:
            typed = self._line(self._prompt(asked)).strip()
            if typed == "":
                self._show(asked)
                continue
            word, beside = _split(asked, typed)
            choice = self._choice(asked, word)
            if choice is None:
                self._write(f"  {clean(typed)!r} is no answer to this.")
                continue
            return self._complete(asked, choice, typed, beside)

    def _show(self, asked: ev.Asked) -> None:
        self._write("\n" + question_text(self._run, asked, self._state))

    def _prompt(self, asked: ev.Asked) -> str:
        """What can be typed, in one line; the same words are accepted."""
        words = [clean(choice) for choice in asked.choices]
        if asked.target:
            words = [f"{clean(asked.target)} to {word}" if word in {"approve", "confirm"} else word for word in words]
        elif asked.kind == "failure":
            words = [f"{word}{BESIDE.get(word, '')}" for word in words]
        elif asked.kind == "decide":
            words = [f"{number} {word}" for number, word in enumerate(words, 1)]
        return f"type {' · '.join(words)} · q leave (the run pauses): "

    def _choice(self, asked: ev.Asked, typed: str) -> str | None:
        """The choice that was typed; a dangerous one only by its target's name."""
        yes = {"approve", "confirm"} & set(asked.choices)
        if asked.target:
            if typed == asked.target:
                return next(iter(yes), None)
            short = SHORT.get(asked.kind, {}).get(typed, typed)
            return short if short in asked.choices and short not in yes else None
        if typed in asked.choices:
            return typed
        if asked.kind == "decide" and typed.isdigit() and 0 < int(typed) <= len(asked.choices):
            return asked.choices[int(typed) - 1]
        short = SHORT.get(asked.kind, {}).get(typed.lower(), "")
        return short if short in asked.choices else None

    def _complete(self, asked: ev.Asked, choice: str, typed: str, beside: Mapping[str, str]) -> Given:
        """Ask for what belongs to the choice: who, why, which values."""
        by = ""
        if asked.by:
            by = self._needed(f"  who says so ({' or '.join(asked.by)})? name: ")
        values = self._values(asked) if asked.kind == "manual" and choice == "done" else dict(beside)
        reason = ""
        if choice in NEEDS_REASON and asked.kind in {"failure", "doubt", "when"}:
            reason = self._needed(f"  {choice}: why? ")
        elif choice in {"reject", "abort", "not_done"}:
            reason = self._line("  why? (Enter for none): ").strip()
        if asked.kind == "failure" and choice == "done":
            evidence = self._line("  what shows it? (Enter for nothing): ").strip()
            values |= {"evidence": evidence} if evidence else {}
        target = typed if asked.target and typed == asked.target else ""
        return self._given(asked, choice, by=by, reason=reason, target=target, values=values)

    def _values(self, asked: ev.Asked) -> dict[str, str]:
        values: dict[str, str] = {}
        for field in asked.fields:
            name = str(field.get("name"))
            text = self._field(field)
            if text is not None:
                values[name] = text
        return values

    def _field(self, field: Mapping[str, Any]) -> str | None:
        """Ask for one value until it can be read; None to leave it to its default."""
        notes = [str(field.get("type", "text"))]
        notes += [" | ".join(map(str, field.get("of") or ()))] if field.get("of") else []
        notes += [f"Enter for {shown(field.get('default'))}"] if field.get("has_default") else []
        notes += ["Enter if not known"] if field.get("optional") and not field.get("has_default") else []
        asking = one_line(str(field.get("ask") or field.get("name")))
        while True:
            text = self._line(f"  {asking} [{field.get('name')}: {', '.join(notes)}]: ").strip()
            if not text:
                if field.get("has_default"):
                    return None
                if field.get("optional"):
                    return ""
                continue
            problem = _problem(field, text)
            if not problem:
                return text
            self._write(f"  {clean(problem)}")

    def _needed(self, prompt: str) -> str:
        while True:
            text = self._line(prompt).strip()
            if text:
                return text

    def _line(self, prompt: str) -> str:
        """One line from the terminal.

        Raises:
            _Left: `q`, end of file, time over, or settled elsewhere.
        """
        self._terminal.write(clean(prompt))
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        typed = self._terminal.read_line(self._settled, left)
        if typed.text is None:
            settled = not typed.left
            self._write("\n  settled elsewhere" if settled else "\n  left open; the run pauses")
            raise _Left
        if typed.text.strip() == "q":
            self._write(f"  left open; the run pauses.  next: drctl show {self._run}")
            raise _Left
        return typed.text

    def _given(
        self, asked: ev.Asked, choice: str, *, by: str = "", reason: str = "", target: str = "",
        values: Mapping[str, str] | None = None,
    ) -> Given:  # fmt: skip
        login = _login()
        return Given(
            choice=choice, question=asked.id, by=by or login, login=login, reason=reason, target=target,
            values=dict(values or {}), given_at=time.time_ns() // 1000, source="terminal",
        )  # fmt: skip


def _split(asked: ev.Asked, typed: str) -> tuple[str, dict[str, str]]:
    """A choice about a failed step, and what was typed behind it."""
    word, _, rest = typed.partition(" ")
    rest = rest.strip()
    name, is_value, value = rest.partition("=")
    if asked.kind == "failure" and rest and word in {"retry", "r"} and is_value and name.strip():
        return word, {name.strip(): value.strip()}
    if asked.kind == "failure" and rest and word == "rollback":
        return word, {"to": rest}
    return typed, {}


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _problem(field: Mapping[str, Any], text: str) -> str:
    """What is wrong with a typed value; hosts and bounds are left to the engine, which has the inventory."""
    try:
        kind = InputType(str(field.get("type", "text")))
    except ValueError:
        return ""
    if kind is InputType.HOST:
        return ""
    of = tuple(str(word) for word in field.get("of") or ())
    spec = InputSpec(name=str(field.get("name")), type=kind, of=of, where=Where(file="terminal"))
    try:
        read_input(spec, text, {})
    except ValueError as error:
        return str(error)
    return ""
