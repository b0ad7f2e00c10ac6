"""Finds and loads documents for the commands: the runbook, the inventory, the inputs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.core.diagnostics import Diagnostic, Severity
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import read_input, read_members
from drctl.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.values import Value

SOURCES: dict[str, bytes] = {}


def read_bytes(path: str) -> bytes:
    """Read a file for the loader, and keep it for the snippets of its diagnostics."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(
            f"It cannot be read: {getattr(error, 'strerror', error)}.",
            where=path or "''",
            meaning="Nothing was changed.",
            next="check the name",
        ) from error
    SOURCES[path] = data
    return data


def reader_of(path: str) -> Callable[[str], bytes]:
    """How the loader reads a runbook: the file itself as `read_bytes` does; one that it includes raises OSError.

    The loader reports the latter at the place that names the file.
    """

    def read(name: str) -> bytes:
        if name == path:
            return read_bytes(name)
        SOURCES[name] = Path(name).read_bytes()
        return SOURCES[name]

    return read


def find_inventory(flag: str | None) -> str | None:
    """Where the inventory is: `--inventory`, DRCTL_INVENTORY, or inventory.yaml here; None when there is none."""
    if flag:
        return flag
    named = os.environ.get("DRCTL_INVENTORY")
    if named:
        return named
    return "inventory.yaml" if Path("inventory.yaml").is_file() else None


def load_documents(runbook_path: str, inventory_path: str) -> tuple[Runbook, Inventory]:
    """Load both, with every problem of both at once; warnings are printed.

    Raises:
        DocumentError: something is wrong.
    """
    from drctl.kinds import registry
    from drctl.loading import load_inventory, load_runbook

    inventory = load_inventory(inventory_path, read_bytes)
    runbook = load_runbook(runbook_path, reader_of(runbook_path), registry(), inventory.value)
    problems = (*inventory.diagnostics, *runbook.diagnostics)
    if inventory.value is None or runbook.value is None:
        wrong = [
            p
            for p in (runbook_path if runbook.value is None else "", inventory_path if inventory.value is None else "")
            if p
        ]
        raise DocumentError(
            "The document is wrong.",
            problems,
            where=", ".join(wrong),
            next=f"mend it, then: drctl check {runbook_path} --inventory {inventory_path}",
        )
    show_diagnostics(problems)
    return runbook.value, inventory.value


def show_diagnostics(problems: Sequence[Diagnostic]) -> None:
    """Print diagnostics with their line of the document, in order."""
    from drctl.loading import render

    for problem in problems:
        click.echo(render(problem, _source(problem)), err=True)


def diagnostic_rows(problems: Sequence[Diagnostic]) -> list[dict[str, object]]:
    """Diagnostics for machines; `snippet` is what people see of the line, with the caret on a line of its own."""
    from drctl.loading import snippet

    return [
        {
            "file": p.where.file, "line": p.where.line, "column": p.where.column, "code": p.code,
            "severity": p.severity.value, "summary": p.summary, "hint": p.hint,
            "snippet": "\n".join(snippet(p, _source(p))),
        }
        for p in problems
    ]  # fmt: skip


def _source(problem: Diagnostic) -> str:
    return SOURCES.get(problem.where.file, b"").decode("utf-8", "replace")


def has_errors(problems: Sequence[Diagnostic]) -> bool:
    """Whether any of them refuses the document."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def read_inputs_file(path: str) -> dict[str, str | tuple[str, ...]]:
    """Read `--inputs FILE`: a YAML map of names to values, lists for list inputs, under the rules of runbooks.

    Raises:
        UsageError: it cannot be read.
        DocumentError: it is not such a map.
    """
    from drctl.loading import load_answers

    loaded = load_answers(path, read_bytes)
    if loaded.value is None:
        raise DocumentError("The file of inputs is wrong.", loaded.diagnostics, where=path, next="mend it, then again")
    return loaded.value


def gather_inputs(
    runbook: Runbook, inventory: Inventory, given: Sequence[str], *, ask: bool, file: str | None = None
) -> Mapping[str, Value]:
    """Take inputs from `--inputs FILE` and `--input NAME=VALUE`, which wins; ask for the missing ones on a terminal.

    Raises:
        UsageError: an unknown name, a wrong value, or a missing one without a terminal.
    """
    texts = {**(read_inputs_file(file) if file is not None else {}), **dict(pair(text, "--input") for text in given)}
    specs = {spec.name: spec for spec in runbook.inputs}
    for name in texts:
        if name not in specs:
            raise UsageError(
                f"The runbook has no input {name!r}; it has: {', '.join(specs) or 'none'}.", where="--input"
            )
        if specs[name].type is InputType.SECRET:
            raise UsageError(
                f"{name} is a secret: it is taken from {specs[name].source}, never from a flag.", where="--input"
            )
    values: dict[str, Value] = {}
    for spec in runbook.inputs:
        if spec.name in texts:
            values[spec.name] = _read(spec, texts[spec.name], inventory)
        elif spec.required and not (ask and sys.stdin.isatty()):
            raise UsageError(
                f"Input {spec.name} ({spec.type.value}) is missing, and there is no terminal to ask on.",
                where="--input", meaning="Nothing was changed.", next=f"--input {spec.name}=VALUE",
            )  # fmt: skip
        elif ask and sys.stdin.isatty() and spec.source is None:
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


def _read(spec: InputSpec, text: str | tuple[str, ...], inventory: Inventory) -> Value:
    try:
        if not isinstance(text, str):
            if spec.type is not InputType.LIST:
                raise UsageError(f"{spec.name} is no list, and is given one.", where=f"--inputs {spec.name}")
            return read_members(spec, text, inventory.hosts)
        return read_input(spec, text, inventory.hosts)
    except ValueError as error:
        raise UsageError(f"{error}.", where=f"--input {spec.name}", meaning="Nothing was changed.") from error


def _prompt(spec: InputSpec, inventory: Inventory) -> Value:
    question = spec.ask.pick("").show(None) if spec.ask else spec.name  # type: ignore[arg-type]  # plain text: no template in ask
    hint = f" [{'/'.join(spec.of)}]" if spec.of else ""
    while True:
        default = str(spec.default) if spec.has_default else "" if spec.optional else None
        text = click.prompt(f"{question}{hint}", default=default, show_default=bool(default), err=True)
        try:
            return read_input(spec, text, inventory.hosts)
        except ValueError as error:
            click.echo(f"  {error}", err=True)
