"""Inputs of a run: from flags, from a file, or asked for on a terminal; all checked before anything begins."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from drctl.cli.documents import read_bytes
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import as_typed, read_input, read_members
from drctl.core.nouns import dataclass
from drctl.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.values import Value

_SHORT_TIME: Final = re.compile(r"(?:(yesterday)[ ]+)?([01]?[0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a command line says of inputs: `--input NAME=VALUE` (`flags`), which wins, and `--inputs FILE`."""

    flags: tuple[str, ...] = ()
    file: str | None = None

    def texts(self) -> dict[str, tuple[str, str | tuple[str, ...]]]:
        """Each name with where it was given and its text, a list's members apart.

        Raises:
            UsageError: a flag is not NAME=VALUE, or the file cannot be read.
            DocumentError: the file is no map of names to values.
        """
        found: dict[str, tuple[str, str | tuple[str, ...]]] = {}
        if self.file is not None:
            found |= {name: (self.file, text) for name, text in _from_file(self.file).items()}
        for flag in self.flags:
            name, text = pair(flag, "--input")
            found[name] = (f"--input {name}", text)
        return found


def gather_inputs(runbook: Runbook, inventory: Inventory, given: Given, *, ask: bool) -> Mapping[str, Value]:
    """Take what was given, ask for the rest on a terminal when `ask` says so, and check it all.

    Raises:
        UsageError: an unknown name, a wrong value, or a missing one without a terminal.
    """
    texts = given.texts()
    specs = {spec.name: spec for spec in runbook.inputs}
    for name, (where, _) in texts.items():
        if name not in specs:
            known = ", ".join(specs) or "none"
            raise UsageError(
                f"The runbook has no input {name!r}; it has: {known}.", where=where, meaning="Nothing was changed.",
                next="--input NAME=VALUE with one of these",
            )  # fmt: skip
        if specs[name].type is InputType.SECRET:
            source = specs[name].source
            raise UsageError(
                f"{name} is a secret: it is taken from {source}, never from a flag or a file of inputs.", where=where
            )
    values: dict[str, Value] = {}
    asks = ask and sys.stdin is not None and sys.stdin.isatty()  # none: closed before drctl began
    for spec in runbook.inputs:
        if spec.name in texts:
            values[spec.name] = _read(spec, *texts[spec.name], inventory)
        elif spec.required and not asks:
            raise UsageError(
                f"Input {spec.name} ({spec.type.value}) is missing, and there is no terminal to ask on.",
                where="--input", meaning="Nothing was changed.", next=f"--input {spec.name}=VALUE",
            )  # fmt: skip
        elif asks and spec.source is None:
            value = _prompt(spec, inventory)
            if value is not None:
                values[spec.name] = value
    return values


def pair(text: str, option: str) -> tuple[str, str]:
    """Take NAME=VALUE apart.

    Raises:
        UsageError: it is not of that form.
    """
    name, found, value = text.partition("=")
    if not found or not name.strip():
        raise UsageError(
            f"{text!r} is not NAME=VALUE.", where=option, meaning="Nothing was changed.", next=f"{option} NAME=VALUE"
        )
    return name.strip(), value


def full_time(text: str, now: datetime) -> datetime | None:
    """What `14:02` or `yesterday 14:02` is in full, in the zone of the terminal; None for any other text."""
    found = _SHORT_TIME.fullmatch(text.strip())
    if found is None:
        return None
    day = now - timedelta(days=1) if found[1] else now
    # The zone's offset is that of the day itself: it may differ from today's where clocks are put back.
    return day.replace(tzinfo=None, hour=int(found[2]), minute=int(found[3]), second=0, microsecond=0).astimezone()


def _from_file(path: str) -> Mapping[str, str | tuple[str, ...]]:
    from drctl.loading import load_answers

    loaded = load_answers(path, read_bytes)
    if loaded.value is None:
        raise DocumentError("The file of inputs is wrong.", loaded.diagnostics, where=path, next="mend it, then again")
    return loaded.value


def _read(spec: InputSpec, where: str, text: str | tuple[str, ...], inventory: Inventory) -> Value:
    try:
        if isinstance(text, str):
            return read_input(spec, text, inventory.hosts)
        if spec.type is not InputType.LIST:
            raise ValueError(f"{spec.name} is no list, and is given one")  # noqa: TRY301 - told like any other wrong value
        return read_members(spec, text, inventory.hosts)
    except ValueError as error:
        raise UsageError(f"{error}.", where=where, meaning="Nothing was changed.") from error


def _prompt(spec: InputSpec, inventory: Inventory) -> Value:
    question = spec.ask.pick("").show(None) if spec.ask else spec.name  # type: ignore[arg-type]  # plain text: no template in ask
    hint = {InputType.LIST: " [one, two, ..]", InputType.TIME: " [14:02, yesterday 14:02, or in full with a zone]"}
    words = f" [{'/'.join(spec.of)}]" if spec.type is InputType.CHOICE else hint.get(spec.type, "")
    while True:
        default = as_typed(spec.default) if spec.has_default else "" if spec.optional else None
        text = click.prompt(f"{question}{words}", default=default, show_default=bool(default), err=True)
        full = full_time(text, datetime.now().astimezone()) if spec.type is InputType.TIME else None
        if full is not None:
            said = f"{full.isoformat()}, {full.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
            if not click.confirm(f"  That is {said}?", default=True, err=True):
                continue
            text = full.isoformat()
        try:
            return read_input(spec, text, inventory.hosts)
        except ValueError as error:
            click.echo(f"  {error}", err=True)
