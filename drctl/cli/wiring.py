"""Builds adapters and hands them to the engine; the only place that knows both.

A `Session` is one writer of one run: it holds the run's lock from its first to its last line.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drctl import __version__
from drctl.adapters.clock import SystemClock
from drctl.adapters.journal import JournalWriter
from drctl.adapters.journal_reader import read
from drctl.adapters.keys import fingerprint
from drctl.adapters.recovery import reopen
from drctl.adapters.secrets import Masker, Secrets
from drctl.adapters.statedir import RunFolder, StateDir, state_root
from drctl.cli.world import RealWorld
from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.frozen import Frozen, digest_of, thaw
from drctl.core.inventory import SecretRef
from drctl.core.records import CHECKPOINT
from drctl.core.values import Time
from drctl.engine.context import Context, Identity
from drctl.engine.executor import Desk, Executor
from drctl.engine.opening import complete, thaw_inputs
from drctl.engine.outputs import MemoryStore
from drctl.engine.recorder import Recorder
from drctl.engine.stops import Control
from drctl.errors import DocumentError, JournalError, PlanChangedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.records import Record
    from drctl.core.values import Secret
    from drctl.engine.outputs import Store


def login() -> str:
    """Who is logged in; a claim, not a proof."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def open_state(flag: str | None) -> StateDir:
    """The state folder of this invocation."""
    return StateDir(state_root(flag, os.environ))


def entry_of(record: Record) -> Entry:
    """A record as the fold takes it."""
    return Entry(
        seq=record.seq, at=Time(record.ts), mono=record.mono, boot=record.boot, actor=record.actor,
        event=ev.decode(record.type, record.body),
    )  # fmt: skip


def entries(path: Path) -> Iterator[Entry]:
    """The events of a journal, checkpoints left out.

    Raises:
        JournalError: a record is not what its type says.
    """
    for record in read(path):
        if record.type == CHECKPOINT:
            continue
        try:
            yield entry_of(record)
        except (ValueError, TypeError) as error:
            raise JournalError(
                f"Record {record.seq} is not a {record.type}: {error}.", where=str(path),
                meaning="The journal was changed, or a newer drctl wrote it.", next=f"drctl audit verify {path}",
            ) from error  # fmt: skip


def fold_of(folder: RunFolder) -> RunState:
    """The state of a run, for reading."""
    return RunState.of(entries(folder.journal))


def frozen_of(state: RunState, where: Path) -> Frozen:
    """The frozen plan of a run, checked against the digest in its first record.

    Raises:
        PlanChangedError: the parts are not whole.
    """
    text = "".join(state.plan)
    if state.opened is None or digest_of(text) != state.opened.plan_digest:
        raise PlanChangedError(
            "The frozen plan in the journal is not whole.", where=str(where),
            meaning="The run stopped before it had changed anything.", next="start it anew: drctl run RUNBOOK",
        )  # fmt: skip
    return thaw(text)


def thaw_documents(frozen: Frozen) -> tuple[Runbook, Inventory]:
    """The documents of a frozen plan, from its text alone."""
    from drctl.kinds import registry
    from drctl.loading import load_inventory, load_runbook

    texts = {**frozen.files, **frozen.inventory_files}
    inventory = load_inventory(frozen.inventory_file, lambda path: texts[path].encode())
    runbook = load_runbook(frozen.runbook_file, lambda path: texts[path].encode(), registry(), inventory.value)
    if inventory.value is None or runbook.value is None:
        raise DocumentError(
            "The frozen documents of this run are not accepted by this version of drctl.",
            (*inventory.diagnostics, *runbook.diagnostics), next="resume it with the version that started it",
        )  # fmt: skip
    return runbook.value, inventory.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A context with the world it belongs to."""

    context: Context
    world: RealWorld
    masker: Masker


def build_parts(frozen: Frozen, identity: Identity, state: RunState, store: Store, root: Path) -> Parts:
    """Make the context and the world of a run or plan from its frozen documents."""
    from drctl.kinds import registry

    runbook, inventory = thaw_documents(frozen)
    masker = Masker()
    secrets = Secrets(masker, Path(frozen.inventory_file).parent)
    world = RealWorld(inventory, secrets, root)

    def secret(reference: str) -> Secret:
        source, _, target = reference.partition(":")
        return secrets.resolve(SecretRef(source=source, target=(target,)))

    person = next((p.name for p in inventory.people.values() if identity.operator in {p.name, *p.logins}), "")
    bare = Context(
        runbook=runbook, inventory=inventory, kinds=registry(), vars={}, clock=world.clock, state=state, store=store,
        inputs=thaw_inputs(runbook, frozen.inputs, secret), identity=replace(identity, operator_person=person),
    )  # fmt: skip
    return Parts(context=complete(bare), world=world, masker=masker)


def plan_parts(frozen: Frozen, root: Path, language: str) -> Parts:
    """The parts of a plan: nothing of it is kept."""
    identity = Identity(uid="", id="plan", operator=login(), language=language)
    return build_parts(frozen, identity, RunState(), MemoryStore(), root)


class Session:
    """One writer of one run."""

    def __init__(
        self, folder: RunFolder, journal: JournalWriter, parts: Parts, watch: Callable[[Entry], None], actor: str
    ) -> None:
        self.folder = folder
        self.parts = parts
        self.control = Control()
        self._journal = journal
        self.recorder = Recorder(journal, parts.context.state, actor=actor, mask=parts.masker.text, watch=watch)

    @property
    def state(self) -> RunState:
        """The run's fold."""
        return self.parts.context.state

    def executor(self, desk: Desk) -> Executor:
        """The executor of this session."""
        return Executor(self.parts.context, self.recorder, self.parts.world, desk, self.control, self.parts.masker.text)

    def close(self) -> None:
        """Close connections and the journal."""
        self.parts.world.close()
        with contextlib.suppress(JournalError):
            self._journal.close()


@contextlib.contextmanager
def opened(frozen: Frozen, states: StateDir, watch: Callable[[Entry], None], operator: str) -> Iterator[Session]:
    """Open a new run: folder, lock, key, first record, frozen plan, one signed checkpoint."""
    folder = states.new_run()
    with folder.lock(by=operator), contextlib.ExitStack() as stack:
        key = states.new_key(folder.uid)
        clock = SystemClock()
        journal = JournalWriter.create(folder.path, folder.uid, key, clock)
        identity = Identity(
            uid=folder.uid, id=folder.id, operator=operator, node=socket.gethostname(), epoch=1,
            holder=fingerprint(key.public), mode=frozen.mode, language=frozen.language,
        )  # fmt: skip
        parts = build_parts(frozen, identity, RunState(), folder.outputs, states.root)
        stack.enter_context(_locks(states, parts.context.runbook, operator, folder.id))
        session = Session(folder, journal, parts, watch, operator)
        stack.callback(session.close)
        _first_records(session, frozen, key.public)
        yield session
        _forget(states, session)


def _first_records(session: Session, frozen: Frozen, public: bytes) -> None:
    context, pieces = session.parts.context, frozen.parts()
    runbook, who = context.runbook, context.identity
    session.recorder.write(
        ev.RunOpened(
            uid=who.uid, id=who.id, runbook=runbook.name, mode=who.mode, environment=context.inventory.environment.value,
            inventory=context.inventory.name, operator=who.operator, node=who.node, version=__version__,
            title=runbook.title.pick(who.language).show(None) if runbook.title else "",  # type: ignore[arg-type]
            plan_digest=frozen.digest, plan_parts=len(pieces), pubkey=base64.b64encode(public).decode(),
            rto_us=runbook.objectives.rto.micros if runbook.objectives.rto else None,
            rpo_us=runbook.objectives.rpo.micros if runbook.objectives.rpo else None,
            language=who.language, zone=context.inventory.zone,
        ),
        durable=True,
    )  # fmt: skip
    for number, text in enumerate(pieces):
        session.recorder.write(ev.PlanPart(index=number, of=len(pieces), text=text), durable=number == len(pieces) - 1)
    session.recorder.sign()


@contextlib.contextmanager
def resumed(folder: RunFolder, states: StateDir, watch: Callable[[Entry], None], operator: str) -> Iterator[Session]:
    """Take an open run up again, on this machine.

    Raises:
        RefusedError: it is closed. JournalError: its journal is damaged. LockedError: another process writes it.
    """
    with folder.lock(by=operator), contextlib.ExitStack() as stack:
        key = states.load_key(folder.uid)
        moved = key is None
        if key is None:
            key = states.new_key(folder.uid)
        again = reopen(folder.path, key, SystemClock())
        state = fold_of(folder)
        if state.unknown_types:
            raise JournalError(
                f"The journal holds records that this drctl does not know: {', '.join(sorted(set(state.unknown_types)))}.",
                where=str(folder.journal), meaning="Nothing was done.", next="resume it with the version that wrote it",
            )  # fmt: skip
        head = again.before.head if isinstance(again.before.head, str) else ""
        epoch = again.writer.epoch + 1 if moved else again.writer.epoch
        opened_as = state.opened
        assert opened_as is not None  # noqa: S101 - reopen has verified the first record
        identity = Identity(
            uid=opened_as.uid, id=opened_as.id, operator=operator, node=socket.gethostname(), epoch=epoch,
            holder=fingerprint(key.public), mode=opened_as.mode, language=opened_as.language,
        )  # fmt: skip
        frozen = frozen_of(state, folder.journal)
        parts = build_parts(frozen, identity, state, folder.outputs, states.root)
        stack.enter_context(_locks(states, parts.context.runbook, operator, folder.id))
        session = Session(folder, again.writer, parts, watch, operator)
        stack.callback(session.close)
        if again.taken_over:
            session.recorder.write(
                ev.RunTakenOver(
                    operator=operator, node=identity.node, reason="resumed without the key it was opened with", head=head,
                    pubkey=base64.b64encode(key.public).decode(), epoch=epoch,
                ),
                durable=True,
            )  # fmt: skip
        if again.torn is not None:
            torn = again.torn
            session.recorder.write(
                ev.Recovered(torn_bytes=torn.torn_bytes, sha256=torn.sha256, file=torn.file), durable=True
            )
        session.recorder.write(ev.RunResumed(operator=operator, node=identity.node, version=__version__), durable=True)
        yield session
        _forget(states, session)


def _forget(states: StateDir, session: Session) -> None:
    """The run key is deleted when the run is closed: nobody can sign on top of it afterwards."""
    if session.state.closed is not None:
        session.close()
        states.forget_key(session.folder.uid)


@contextlib.contextmanager
def _locks(states: StateDir, runbook: Runbook, operator: str, id_: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name in sorted(runbook.locks):
            stack.enter_context(states.named_lock(name, by=operator, purpose=f"run {id_}"))
        yield


def need_inventory(path: str | None) -> str:
    """The inventory, or the message that says where it is looked for.

    Raises:
        UsageError: there is none.
    """
    if path is None:
        raise UsageError(
            "There is no inventory: no --inventory, no DRCTL_INVENTORY, no inventory.yaml in this folder.",
            meaning="Nothing was changed.", next="drctl run RUNBOOK --inventory FILE",
        )  # fmt: skip
    return path
