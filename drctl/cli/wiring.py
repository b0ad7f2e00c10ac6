"""Builds adapters and hands them to the engine; the only place that knows both.

A `Session` is one writer of one run: it holds the run's lock from its first to its last line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drctl.adapters.clock import SystemClock
from drctl.adapters.secrets import Masker, Secrets
from drctl.cli.runs import login
from drctl.cli.world import RealWorld
from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.frozen import Frozen, digest_of, thaw
from drctl.core.inventory import SecretRef
from drctl.core.nouns import dataclass, replace
from drctl.core.transports import FABRIC
from drctl.engine.context import Context, Identity, no_secret
from drctl.engine.opening import complete, thaw_inputs
from drctl.engine.outputs import MemoryStore
from drctl.engine.owners import Owners
from drctl.engine.recorder import Recorder
from drctl.engine.stops import Control
from drctl.errors import DocumentError, JournalError, PlanChangedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.adapters.journal import JournalWriter
    from drctl.adapters.statedir import RunFolder
    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.values import Secret
    from drctl.engine.executor import Desk, Executor
    from drctl.engine.looks import Pen
    from drctl.engine.outputs import Store


def frozen_of(state: RunState, where: Path) -> Frozen:
    """The frozen plan of a run, checked against the digest in its first record.

    Raises:
        PlanChangedError: the parts are not whole.
    """
    text = "".join(state.plan)
    if state.opened is None or digest_of(text) != state.plan_digest:
        raise PlanChangedError(
            "The frozen plan in the journal is not whole.", where=str(where),
            meaning="The run stopped before it had changed anything.", next="start it anew: drctl run RUNBOOK",
        )  # fmt: skip
    return thaw(text)


def thaw_documents(frozen: Frozen, runbook: Runbook | None = None) -> tuple[Runbook, Inventory]:
    """The documents of a frozen plan, from its text alone.

    Args:
        frozen: the plan.
        runbook: what was read for freezing; it is taken as it is when it comes of the very text that is frozen.
    """
    from drctl.kinds import registry
    from drctl.loading import load_inventory, load_runbook

    texts = {**frozen.files, **frozen.inventory_files}
    inventory = load_inventory(frozen.inventory_file, lambda path: texts[path].encode())
    if runbook is not None and runbook.source == frozen.files and inventory.value is not None:
        return runbook, inventory.value
    loaded = load_runbook(frozen.runbook_file, lambda path: texts[path].encode(), registry(), inventory.value)
    if inventory.value is None or loaded.value is None:
        raise DocumentError(
            "The frozen documents of this run are not accepted by this version of drctl.",
            (*inventory.diagnostics, *loaded.diagnostics), next="resume it with the version that started it",
        )  # fmt: skip
    return loaded.value, inventory.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """A takeover by command: why, under an epoch that no host has seen, of which hosts, and which run is given up."""

    reason: str
    epoch: int = 0
    hosts: tuple[str, ...] = ()
    given_up: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A changed runbook that a person accepted: the new plan, the addresses of the steps that differ, and why."""

    frozen: Frozen
    steps: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resuming:
    """How an open run is taken up, beside simply going on.

    Attributes:
        taking: it is taken over, and not resumed yet; asked for once the run's lock is held.
        changing: it goes on with a changed runbook; asked for then too.
        restore_only: only what is suspended is put back.
        transport: what opens links to hosts; empty is what the run used last.
    """

    taking: Callable[[], Taking] | None = None
    changing: Callable[[], Change | None] | None = None
    restore_only: bool = False
    transport: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A context with the world it belongs to."""

    context: Context
    world: RealWorld
    masker: Masker


def build_parts(
    frozen: Frozen, documents: tuple[Runbook, Inventory], identity: Identity, state: RunState, store: Store,
    root: Path, transport: str = FABRIC,
) -> Parts:  # fmt: skip
    """Make the context and the world of a run or plan from its frozen documents."""
    from drctl.kinds import registry

    runbook, inventory = documents
    masker = Masker()
    secrets = Secrets(masker, Path(frozen.inventory_file).parent)
    world = RealWorld(inventory, secrets, root, transport)

    def secret(reference: str) -> Secret:
        return secrets.resolve(SecretRef.parse(reference))

    person = next((p.name for p in inventory.people.values() if identity.operator in {p.name, *p.logins}), "")
    bare = Context(
        runbook=runbook, inventory=inventory, kinds=registry(), vars={}, clock=world.clock, state=state, store=store,
        inputs=thaw_inputs(runbook, frozen.inputs, secret), secret=secret, bounds=frozen.bounds,
        identity=replace(identity, operator_person=person),
    )  # fmt: skip
    return Parts(context=complete(bare), world=world, masker=masker)


def plan_parts(frozen: Frozen, runbook: Runbook, root: Path, language: str, transport: str = FABRIC) -> Parts:
    """The parts of a plan of a runbook that was just read and frozen: nothing of it is kept."""
    identity = Identity(uid="", id="plan", operator=login(), language=language)
    return build_parts(frozen, thaw_documents(frozen, runbook), identity, RunState(), MemoryStore(), root, transport)


def documents_of_run(folder: RunFolder, state: RunState) -> Context:
    """The context of a run for reading only: nothing is connected, nobody becomes its writer."""
    assert state.opened is not None  # noqa: S101 - the callers have folded it
    frozen = frozen_of(state, folder.journal)
    identity = Identity(uid=state.opened.uid, id=state.opened.id, operator=login(), language=state.opened.language)
    runbook, inventory = thaw_documents(frozen)
    from drctl.kinds import registry

    bare = Context(
        runbook=runbook, inventory=inventory, kinds=registry(), vars={}, clock=SystemClock(), state=state,
        store=folder.outputs, inputs=thaw_inputs(runbook, frozen.inputs, no_secret), identity=identity,
        bounds=frozen.bounds,
    )  # fmt: skip
    return complete(bare)


class Session:
    """One writer of one run."""

    def __init__(
        self, folder: RunFolder, journal: JournalWriter, parts: Parts, watch: Callable[[Entry], None], actor: str
    ) -> None:
        self.folder = folder
        self.parts = parts
        self.control = Control()
        self.taking: Taking | None = None
        self._journal = journal
        self._actor = actor
        self.recorder = Recorder(journal, parts.context.state, actor=actor, mask=parts.masker.text, watch=watch)

    @property
    def state(self) -> RunState:
        """The run's fold."""
        return self.parts.context.state

    def executor(self, desk: Desk) -> Executor:
        """The executor of this session."""
        from drctl.engine.executor import Executor

        parts = self.parts
        return Executor(parts.context, self.recorder, parts.world, desk, self.control, self.pen())

    def pen(self) -> Pen:
        """What texts of this session are written with: its secrets masked."""
        from drctl.engine.looks import Pen

        return Pen(mask=self.parts.masker.text, mask_begin=self.parts.masker.beginning, learn=self.parts.masker.add)

    def owners(self) -> Owners:
        """Whose the hosts of this session are."""
        context = self.parts.context
        return Owners(context.identity, self.recorder, self.parts.world, context.bounds.fan_out)

    def last_words(self, error: JournalError) -> None:
        """Say in the journal, if it still takes one record, why the run stops."""
        words = ev.RunPaused(reason="journal", because=error.what, exit=int(error.exit))
        self._journal.last_words(words.TYPE, ev.encode(words), actor=self._actor)

    def close(self) -> None:
        """Close connections and the journal.

        Raises:
            JournalError: the last checkpoint could not be written; the run key must then be kept.
        """
        self.parts.world.close()
        self._journal.close()
