"""The kind `shell`: a script of the author on a host, as a look or as an act."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import (
    Change,
    CommandAct,
    Criterion,
    Either,
    FieldError,
    LookKind,
    Outputs,
    Preview,
    Seen,
    Verdict,
    arg,
)
from drctl.core.nouns import dataclass
from drctl.core.ports import MEBIBYTE, Command, Facts, Probe, Reach, Reply
from drctl.core.values import Secret, Value, text_of
from drctl.kinds.commands import ACT_LIMIT, command_values, complaint, has_secret, shown, streams, unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.outcomes import Effect
    from drctl.core.scripts import ResolvedScript

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(LookKind, CommandAct):
    """Runs a script (`sh -eu`) or one program on a host, or on the control node with `on: local`.

    The step must state its `effect`: drctl cannot know what a script does. With `read` it is a look; plans show that
    this is the author's word only. A `once` or `irreversible` script needs a `verify:` that can tell whether its effect
    is there, and an `undo:`, or `undo: {none: WHY}`.

    Templates in `run` reach the script as environment variables, never as text of the script. Give `argv` instead of
    `run` to start one program without a shell reading its arguments. `stdout` has no value when it is longer than
    1 MiB or no UTF-8; the raw bytes are kept beside the journal.
    """

    NAME: ClassVar[str] = "shell"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "stdout": "text", "stderr": "text", "json": "any"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EITHER: ClassVar[tuple[Either, ...]] = (
        Either(
            names=("run", "argv"),
            hint="a script goes into run, a program with its arguments into with: {argv: [..]}",
        ),
    )
    EFFECT: ClassVar[Effect | None] = None
    VERIFIES: ClassVar[bool] = False
    NO_INVERSE: ClassVar[str] = "only its author knows what takes a script back"
    EXAMPLE: ClassVar[str] = """
- {id: space, on: db-standby, run: "df -Pk /var/lib", effect: read}
- id: hold
  on: db-standby
  run: touch "$HOME/hold" && echo "${{ run.id }}" >"$HOME/hold"
  effect: idempotent
  undo: {run: rm -f "$HOME/hold"}
- {id: sizes, on: db-standby, do: shell, with: {argv: [du, -sk, /var/lib]}, effect: read}
"""

    run: ResolvedScript | None = arg(type="script", doc="The script, for `sh -eu`.", default=None)
    argv: tuple[str, ...] = arg(type="argv", doc="A program and its arguments, one word an item.", default=())
    env: Mapping[str, Value | Secret] = arg(
        type="map", doc="Environment variables; a value may be a secret.", default={}, secret=True
    )
    cwd: str | None = arg(type="text", doc="Folder to start in; the home folder if not given.", default=None)
    stdin: str | Secret = arg(type="text", doc="What it reads; may be a secret.", default="", secret=True)
    allow_dash: bool = arg(
        type="bool", doc="Accept a word of `run` that is a template alone and begins with `-`.", default=False
    )

    def __post_init__(self) -> None:
        self.choose_given()
        for name, value in self.env.items():
            if not _NAME.fullmatch(name) or name.startswith("DRCTL_"):
                raise FieldError("env", f"{name!r} cannot be set", "letters, digits and _; names of drctl are taken")
            if not isinstance(value, Secret) and "\0" in _text(name, value):
                raise FieldError("env", f"{name} holds a NUL character, which no environment can")
        if any("\0" in word for word in self.argv):
            raise FieldError("argv", "a word holds a NUL character, which no program can be given")

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """The command: variables of the step, variables of the script's templates, and the script."""
        env: dict[str, str | Secret] = {
            name: value if isinstance(value, Secret) else _text(name, value) for name, value in self.env.items()
        }
        if self.run is not None:
            env.update(self.run.env)
            script = self.run.text
        else:
            names = [f"DRCTL_WORD_{index}" for index in range(len(self.argv))]
            env.update(zip(names, self.argv, strict=True))
            words = " ".join(f'"${{{name}}}"' for name in names)
            script = f'set -- {words}\nunset {" ".join(names)}\nexec "$@"\n'
        stdin = self.stdin if isinstance(self.stdin, Secret) else self.stdin.encode()
        return Command(
            script=script,
            env=env,
            stdin=stdin,
            cwd=self.cwd,
            timeout=ACT_LIMIT,
            sensitive=has_secret(env, stdin),
        )

    def look(self, probe: Probe) -> Outputs:
        """Run the script as a look; a reply that did not come has no values."""
        reply = probe.shell.read(dataclasses.replace(self.command(probe.facts), timeout=probe.timeout))
        return unanswered(Shell, reply) if reply.reach is not Reach.COMPLETE else self.outputs(reply)

    def outputs(self, reply: Reply) -> Outputs:
        """Exit code, streams, and stdout as JSON where it is JSON."""
        return Outputs(
            values=command_values(reply, MEBIBYTE),
            because="" if reply.exit == 0 else complaint(reply),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """The script with its variables, or the program with its arguments."""
        if self.run is not None:
            return shown(self.command(facts))
        with_words = self.command(facts)
        names = {name for name in with_words.env if name.startswith("DRCTL_WORD_")}
        env = {name: value for name, value in with_words.env.items() if name not in names}
        return shown(dataclasses.replace(with_words, script=shlex.join(self.argv), env=env))

    def preview(self, probe: Probe) -> Preview:  # noqa: ARG002 - the contract's parameter
        """A script does not say what it would do."""
        return Preview(change=Change.CANNOT_TELL, because="a script does not say beforehand what it changes")

    def verify(self, probe: Probe) -> Verdict:  # noqa: ARG002 - the contract's parameter
        """Only the step's own `verify:` can tell."""
        return Verdict(seen=Seen.UNKNOWN, because="a script cannot be asked; the step's `verify:` can")


def _text(name: str, value: Value) -> str:
    try:
        return text_of(value)
    except ValueError as error:
        raise FieldError("env", f"{name}: {error}") from None
