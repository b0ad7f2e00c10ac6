"""Keeps plans in files, and holds runs to them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drctl import __version__
from drctl.cli.freezing import freeze
from drctl.cli.inputs import Given, gather_inputs
from drctl.cli.runs import now, open_state
from drctl.cli.wiring import plan_parts
from drctl.core.bounds import FAN_OUT, Bounds
from drctl.core.nouns import dataclass, replace
from drctl.core.plan import BLOCKS
from drctl.core.saved_plan import (
    LARGEST,
    Fact,
    Moved,
    NotAPlanError,
    SavedPlan,
    TamperedError,
    compared,
    inventory_digests,
    read_plan,
    rows_compared,
    text_digest,
)
from drctl.core.transports import FABRIC
from drctl.core.values import Duration, Time, from_json
from drctl.errors import DocumentError, PlanChangedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.adapters.past import Past
    from drctl.cli.app import Settings
    from drctl.cli.documents import Documents
    from drctl.cli.wiring import Parts
    from drctl.core.frozen import Frozen
    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.plan import Plan
    from drctl.core.values import Value
    from drctl.engine.planner import Options

HOUR = Duration(3_600_000_000)
UNCHANGED = "Nothing was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A plan with what it was made from. `mask` stars secrets out."""

    plan: Plan
    frozen: Frozen
    inventory: Inventory
    parts: Parts
    options: Options
    facts: tuple[Fact, ...]
    now: int

    @property
    def mask(self) -> Callable[[str], str]:
        """Stars secrets out."""
        return self.parts.masker.text


def look(settings: Settings, frozen: Frozen, documents: Documents, *, live: bool, declared: bool | None) -> Made:
    """Plan by looking."""
    from drctl.adapters.past import past_of
    from drctl.engine.drift import facts_of
    from drctl.engine.planner import Planner, default_options

    states = open_state(settings.state_dir)
    runbook, inventory = documents.runbook, documents.inventory
    parts = plan_parts(frozen, runbook, states.root, settings.language, settings.transport or FABRIC)
    try:
        options = default_options(inventory.environment, live=live, declared=declared)
        made = Planner(parts.context, parts.world, options).plan(frozen.digest)
        facts = facts_of(parts.context, parts.masker.text)
        now = parts.world.clock.now().micros
    finally:
        parts.world.close()
    plan = _timed(made, past_of(states.root, made.runbook, made.inventory))
    return Made(plan=plan, frozen=frozen, inventory=inventory, parts=parts, options=options, facts=facts, now=now)


def _timed(plan: Plan, past: Past) -> Plan:
    """The same with how long steps took before, or are said to take."""
    rows = []
    for row in plan.rows:
        found = past.median(row.path, row.kind, row.place) if row.kind not in BLOCKS else None
        if found is not None:
            rows.append(replace(row, expected=Duration(found[0]), samples=found[1]))
        else:
            rows.append(replace(row, expected=row.takes))
    return replace(plan, rows=tuple(rows), warnings=(*plan.warnings, *past.skipped))


# -- keeping ----------------------------------------------------------------------------------------------------------


def saved_of(made: Made, valid: Duration) -> SavedPlan:
    """The plan as it is kept."""
    from drctl.engine.uses import hosts_used
    from drctl.reporting.plan import row_maps

    runbook, frozen = made.parts.context.runbook, made.frozen
    inputs = {name: value for name, value in frozen.inputs.items() if not _is_secret(value)}
    return SavedPlan(
        runbook=runbook.name, frozen=frozen.digest, version=__version__, made_at=made.now,
        expires_at=made.now + valid.micros, documents=_documents(runbook, frozen.runbook_file),
        inventory=inventory_digests(made.inventory, hosts_used(made.parts.context)), inputs=inputs,
        secrets=tuple(sorted(frozen.inputs.keys() - inputs.keys())), live=made.options.live,
        declared=made.options.declared, facts=made.facts, limit=frozen.bounds.limit, fan_out=frozen.bounds.fan_out,
        coverage=dict(made.plan.coverage),
        rows=tuple(_masked(row, made.mask) for row in row_maps(made.plan)),
    )  # fmt: skip


def keep(made: Made, path: str, valid: str) -> SavedPlan:
    """Write a plan to a file, whole or not at all.

    Raises:
        UsageError: the length is none, or the file cannot be written.
    """
    from drctl.adapters.disk import Disk, write_whole

    try:
        length = Duration.parse(valid)
    except ValueError as error:
        raise UsageError(str(error), where="--valid", meaning=UNCHANGED, next="--valid 60m") from error
    if length.micros <= 0:
        raise UsageError(f"A plan that stands for {valid} is no use.", where="--valid", next="--valid 60m")
    saved = saved_of(made, length)
    try:
        write_whole(Disk(), Path(path).absolute(), saved.text())
    except OSError as error:
        raise UsageError(
            f"The plan cannot be written: {error.strerror}.", where=path, meaning=UNCHANGED, next="--out FILE"
        ) from error
    return saved


def _documents(runbook: Runbook, path: str) -> dict[str, str]:
    """Digests by name beside the runbook, so that the folder one stands in does not matter."""
    base = Path(path).absolute().parent
    return {os.path.relpath(Path(n).absolute(), base): text_digest(text) for n, text in runbook.source.items()}


def _is_secret(value: object) -> bool:
    return isinstance(value, dict) and "$secret" in value


def _masked(value: Any, mask: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _masked(member, mask) for key, member in value.items()}
    return [_masked(member, mask) for member in value] if isinstance(value, list) else value


# -- holding a run to it ----------------------------------------------------------------------------------------------


def again(documents: Documents, path: str, saved: SavedPlan | None = None) -> str:
    """How a new plan is made in place of one that does not stand; with its inputs and bounds where it can be read."""
    from drctl.engine.rows import shown
    from drctl.reporting.plan import input_flags, limit_flags

    words = ["drctl", "plan", documents.runbook_path, "--inventory", documents.inventory_path]
    if saved is not None:
        words += input_flags({name: shown(from_json(value)) for name, value in saved.inputs.items()})
        words += limit_flags(saved.limit)
        words += ["--fan-out", str(saved.fan_out)] if saved.fan_out != FAN_OUT else []
    return f"make a new one: {' '.join(shlex.quote(word) for word in (*words, '--out', path))}"


def read_saved(path: str, new: str) -> SavedPlan:
    """Read a plan file; `new` says how another one is made.

    Raises:
        UsageError: it cannot be read. DocumentError: it is no plan. PlanChangedError: it was changed.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", error)
        raise UsageError(f"The plan cannot be read: {why}.", where=path or "''", meaning=UNCHANGED, next=new) from error
    if len(data) > LARGEST:
        raise DocumentError("It is too large for a plan.", where=path, next=new)
    try:
        return read_plan(data)
    except NotAPlanError as error:
        raise DocumentError(f"This plan cannot be used: {error}.", where=path, next=new) from error
    except TamperedError as error:
        raise PlanChangedError(
            "The plan file was changed after drctl wrote it: its digest is not that of its content.", where=path,
            meaning=UNCHANGED, next=new,
        ) from error  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A kept plan against the present: the documents frozen with its inputs, whatever moved since.

    `new` says how another plan is made.
    """

    saved: SavedPlan
    frozen: Frozen
    moved: tuple[Moved, ...]
    new: str


def hold(settings: Settings, path: str, documents: Documents, given: Given) -> Held:
    """Compare a saved plan with documents, inputs and the world as they are now.

    Raises:
        PlanChangedError: it expired, or documents, inventory or drctl are others. UsageError: an input is another one.
    """
    from drctl.engine.drift import drift
    from drctl.engine.uses import FOR_PEOPLE, hosts_used, timed
    from drctl.reporting.plan import row_maps

    saved = read_saved(path, again(documents, path))
    book, hosts, new = documents.runbook, documents.inventory, again(documents, path, saved)
    if book.name != saved.runbook:
        raise PlanChangedError(
            f"The plan is one of runbook {saved.runbook}, and this is {book.name}.", where=path, meaning=UNCHANGED,
            next="give the runbook that the plan is of, or leave --plan out",
        )  # fmt: skip
    values = _inputs(saved, book, hosts, given)
    frozen = freeze(documents, values, settings.language, Bounds(limit=saved.limit, fan_out=saved.fan_out))
    _refuse_other_documents(saved, book, frozen, path, new)
    if now() >= saved.expires_at:
        _expired(saved, path, new)
    made = look(settings, frozen, documents, live=saved.live, declared=saved.declared)
    entries = inventory_digests(hosts, hosts_used(made.parts.context))
    _refuse(compared("inventory: ", saved.inventory, entries), path, new)
    facts = drift(made.parts.context, saved.facts, made.facts)
    rows = [_masked(row, made.mask) for row in row_maps(made.plan)]
    times, told = timed(made.parts.context), {f"{one.name}: status" for one in facts}
    other = rows_compared(saved.rows, rows, lambda row: row["origin"] in times or row["kind"] in FOR_PEOPLE)
    return Held(saved=saved, frozen=frozen, moved=(*facts, *(one for one in other if one.name not in told)), new=new)


def _expired(saved: SavedPlan, path: str, new: str) -> None:
    from drctl.reporting.texts import moment

    raise PlanChangedError(
        f"The plan was made at {moment(Time(saved.made_at))} and stood until {moment(Time(saved.expires_at))}.",
        where=path, meaning=f"It has expired. {UNCHANGED}", next=new,
    )  # fmt: skip


def _inputs(saved: SavedPlan, book: Runbook, hosts: Inventory, given: Given) -> dict[str, Value]:
    values = {name: from_json(value) for name, value in saved.inputs.items()}
    names = {spec.name for spec in book.inputs}
    chosen = given.texts().keys()
    asked = (
        replace(book, inputs=tuple(spec for spec in book.inputs if spec.name in chosen)) if chosen <= names else book
    )
    for name, value in gather_inputs(asked, hosts, given, ask=False).items() if chosen else ():
        if name not in values or values[name] != value:
            raise UsageError(
                f"Input {name} is another one in the plan; the plan's inputs are used, and none may differ.",
                where=f"--input {name}", meaning=UNCHANGED, next="leave it out, or make a new plan with it",
            )  # fmt: skip
    return values


def _refuse_other_documents(saved: SavedPlan, book: Runbook, frozen: Frozen, path: str, new: str) -> None:
    moved = compared("document ", saved.documents, _documents(book, frozen.runbook_file))
    if saved.version != __version__:
        moved.append(Moved(name="drctl", old=saved.version, new=__version__))
    secrets = {name for name, value in frozen.inputs.items() if _is_secret(value)}
    inputs = {name for name in frozen.inputs if name not in secrets}
    if secrets != set(saved.secrets) or inputs != set(saved.inputs):
        old, new = (", ".join(sorted(names)) for names in ({*saved.secrets, *saved.inputs}, frozen.inputs))
        moved.append(Moved(name="names of inputs", old=old, new=new))
    _refuse(moved, path, new)


def _refuse(moved: Sequence[Moved], path: str, new: str) -> None:
    if moved:
        raise PlanChangedError(
            "What the plan was made from is not the same any more.", where=path,
            meaning="\n  ".join([*map(str, moved), UNCHANGED]), next=new,
        )  # fmt: skip


def refuse_drift(held: Held, path: str) -> None:
    """Stop before the run opens when anything moved.

    Raises:
        PlanChangedError: it did; names each fact and row, old and new.
    """
    moved = held.moved
    if moved:
        number = "One thing is" if len(moved) == 1 else f"{len(moved)} things are"
        raise PlanChangedError(
            f"{number} not as the plan has it.", where=path,
            meaning="\n  ".join([*map(str, moved), UNCHANGED]),
            next=f"look at it, then {held.new}",
        )  # fmt: skip


def show_drift(settings: Settings, held: Held) -> None:
    """Print what moved, and nothing else."""
    import dataclasses
    import json

    from drctl.reporting.texts import clean, count, moment

    saved, moved = held.saved, held.moved
    if settings.output == "json":
        plan = {"plan": saved.digest, "made_at": saved.made_at, "drift": [dataclasses.asdict(one) for one in moved]}
        click.echo(json.dumps(plan, ensure_ascii=False))
        return
    head = f"plan sha256:{saved.digest[:16]}… made at {moment(Time(saved.made_at))}"
    looks = sum(not fact.mark for fact in saved.facts)
    compared_ = f"{count(looks, 'look')} and {count(len(saved.rows), 'row')} compared"
    click.echo(f"{head}: {count(len(moved), 'difference')}, {compared_}")
    for one in moved:
        click.echo(clean(f"  {one}"))
