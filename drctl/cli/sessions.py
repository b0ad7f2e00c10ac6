"""Opens runs and takes them up again: folder, lock, key, first records, and their end.

The run's key is deleted only when the closed run is signed to its last record; a crash in between is finished by the
next `drctl resume`.
"""

from __future__ import annotations

import base64
import contextlib
import socket
from typing import TYPE_CHECKING

from drctl import __version__
from drctl.adapters.clock import SystemClock
from drctl.adapters.journal import JournalWriter
from drctl.adapters.keys import fingerprint
from drctl.adapters.recovery import reopen
from drctl.cli.runs import fold_of
from drctl.cli.transports import require
from drctl.cli.wiring import Change, Resuming, Session, Taking, build_parts, frozen_of, thaw_documents
from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.transports import FABRIC
from drctl.engine.context import Identity
from drctl.engine.scope import RunScope
from drctl.errors import DrctlError, JournalError, LockedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drctl.adapters.keys import RunKey
    from drctl.adapters.recovery import Reopened
    from drctl.adapters.statedir import RunFolder, StateDir
    from drctl.core.fold import Entry
    from drctl.core.frozen import Frozen
    from drctl.core.model import Runbook
    from drctl.core.saved_plan import SavedPlan


@contextlib.contextmanager
def opened(
    frozen: Frozen, states: StateDir, watch: Callable[[Entry], None], operator: str, held: SavedPlan | None = None,
    transport: str = "",
) -> Iterator[Session]:  # fmt: skip
    """Open a new run: locks, folder, key, first record, frozen plan, one signed checkpoint.

    `held` is the saved plan that the run was found to agree with, `transport` what opens links to hosts.
    """
    transport = transport or FABRIC
    documents = thaw_documents(frozen)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locks(states, documents[0], operator))
        _refuse_second(frozen, documents[0], states)
        folder = states.new_run()
        stack.enter_context(folder.lock(by=operator))
        key = states.new_key(folder.uid)
        journal = JournalWriter.create(folder.path, folder.uid, key, SystemClock())
        identity = Identity(
            uid=folder.uid, id=folder.id, operator=operator, node=socket.gethostname(), epoch=journal.epoch,
            holder=fingerprint(key.public), mode=frozen.mode, language=frozen.language,
        )  # fmt: skip
        parts = build_parts(frozen, documents, identity, RunState(), folder.outputs, states.root, transport)
        session = Session(folder, journal, parts, watch, operator)
        with _ended(session, states):
            _first_records(session, frozen, key.public, held)
            yield session


def _refuse_second(frozen: Frozen, runbook: Runbook, states: StateDir) -> None:
    """Refuse a run beside an open one of the same runbook on the same inventory: it would tell and do things twice.

    Raises:
        LockedError: there is one; says what it waits for.
    """
    for folder in states.list():
        try:
            state = fold_of(folder)
        except DrctlError:
            continue  # a damaged journal is for `drctl runs` to tell, not a reason against an emergency run
        if state.closed is not None or state.opened is None or state.opened.runbook != runbook.name:
            continue
        try:
            other = frozen_of(state, folder.journal)
        except DrctlError:
            continue
        if other.inventory_file != frozen.inventory_file:
            continue
        why = state.paused.because if state.paused is not None else "nobody carries it out now"
        doing = "is being carried out" if folder.holder() is not None else f"is open: {why}"
        raise LockedError(
            f"Run {folder.id} of this runbook on this inventory {doing}.", where=str(folder.path),
            meaning="A second one beside it would tell people and do things twice. Nothing was changed.",
            next=f"drctl show {folder.id}   (then drctl resume {folder.id}, or drctl abort {folder.id} --reason TEXT)",
        )  # fmt: skip


@contextlib.contextmanager
def resumed(
    folder: RunFolder, states: StateDir, watch: Callable[[Entry], None], operator: str, how: Resuming | None = None
) -> Iterator[Session]:
    """Take an open run up again, on this machine.

    Without the key that the run was last written with, or on another machine than that was, the run is taken over: a
    new key, a higher epoch, and hosts refuse whoever held it before.

    Raises:
        RefusedError: it is closed. JournalError: its journal is damaged. LockedError: another process writes it.
    """
    how = how or Resuming()
    with folder.lock(by=operator), contextlib.ExitStack() as stack:
        if not folder.uid:
            fold_of(folder)  # says what is wrong: never opened, or damaged from the first line on
        taken = how.taking() if how.taking is not None else None
        change = how.changing() if how.changing is not None else None
        key = None if taken is not None else _key(folder, states)
        key = key or states.new_key(folder.uid)
        again = reopen(folder.path, key, SystemClock())
        state = _known(folder, again)
        if again.before.closed:
            _finish_closed(folder, again, states, operator)
        transport = _transport(how, state, again)
        opened_as = state.opened
        assert opened_as is not None  # noqa: S101 - reopen has verified the first record
        frozen = change.frozen if change is not None else frozen_of(state, folder.journal)
        documents = thaw_documents(frozen)
        stack.enter_context(_locks(states, documents[0], operator))
        identity = Identity(
            uid=opened_as.uid, id=opened_as.id, operator=operator, node=socket.gethostname(),
            epoch=max(again.writer.epoch + again.taken_over, taken.epoch if taken is not None else 0),
            holder=fingerprint(key.public), mode=opened_as.mode, language=opened_as.language,
        )  # fmt: skip
        parts = build_parts(frozen, documents, identity, state, folder.outputs, states.root, transport)
        session = Session(folder, again.writer, parts, watch, operator)
        session.taking = taken
        with _ended(session, states):
            _taken_up(session, again, taken)
            if taken is None:
                _resumed(session, change, restore_only=how.restore_only)
            yield session


def _resumed(session: Session, change: Change | None, *, restore_only: bool) -> None:
    """Say who goes on, and with which runbook when it is another one than before."""
    who, recorder = session.parts.context.identity, session.recorder
    texts = change.frozen.parts() if change is not None else []
    resumed_by = ev.RunResumed(
        operator=who.operator, node=who.node, version=__version__, restore_only=restore_only, plan_parts=len(texts),
        plan_digest=change.frozen.digest if change is not None else "", reason=change.reason if change else "",
        accepted=change.steps if change is not None else (), transport=session.parts.world.transport,
    )  # fmt: skip
    recorder.write(resumed_by, durable=True)
    for number, text in enumerate(texts):
        recorder.write(ev.PlanPart(index=number, of=len(texts), text=text), durable=number == len(texts) - 1)
    for path, said in dict(session.state.accepted).items():  # those of an earlier resume too, if a crash cut them off
        what, by = "runbook changed", said.operator
        recorder.deviation(ev.DeviationNoted(path=path, what=what, by=by, because=said.reason))
    if change is not None:
        recorder.sign()


def _transport(how: Resuming, state: RunState, again: Reopened) -> str:
    """What opens links to hosts from now on: what was asked for, else what the newest writer had."""
    transport = how.transport or state.transport
    try:
        require(transport)
    except DrctlError:
        again.writer.close()
        raise
    return transport


def _key(folder: RunFolder, states: StateDir) -> RunKey | None:
    """The key of the run's last writer, if that was this machine: a copy of it elsewhere makes a second writer."""
    with contextlib.suppress(DrctlError):  # whatever is wrong with the journal is told when it is taken up
        if fold_of(folder).node not in {"", socket.gethostname()}:
            return None
    return states.load_key(folder.uid)


@contextlib.contextmanager
def _ended(session: Session, states: StateDir) -> Iterator[None]:
    """Close what the session opened. The key goes only after a closed run is signed to its end."""
    try:
        yield
    except JournalError as error:
        session.last_words(error)
        with contextlib.suppress(JournalError):  # the first error is the one to tell
            session.close()
        raise
    except BaseException:
        with contextlib.suppress(JournalError):
            session.close()
        raise
    session.close()
    if session.state.closed is not None:
        states.forget_key(session.folder.uid)


def _known(folder: RunFolder, again: Reopened) -> RunState:
    """The fold of a run that this version may act on top of."""
    state = fold_of(folder)
    if state.unknown_types:
        again.writer.close()
        names = ", ".join(sorted(set(state.unknown_types)))
        raise JournalError(
            f"The journal holds records that this drctl does not know: {names}.", where=str(folder.journal),
            meaning="Nothing was done.", next="resume it with the version that wrote it",
        )  # fmt: skip
    return state


def _finish_closed(folder: RunFolder, again: Reopened, states: StateDir, operator: str) -> None:
    """A crash came between the last record and its signature: sign it, and say that there is nothing to resume."""
    if again.torn is not None:
        torn = ev.Recovered(torn_bytes=again.torn.torn_bytes, sha256=again.torn.sha256, file=again.torn.file)
        again.writer.append(torn.TYPE, ev.encode(torn), actor=operator, durable=True)
    again.writer.close()
    states.forget_key(folder.uid)
    raise RefusedError(
        f"Run {folder.id} is closed; its record is now signed to the end.", meaning="Nothing was changed.",
        next=f"drctl report {folder.id}",
    )  # fmt: skip


def _taken_up(session: Session, again: Reopened, taken: Taking | None) -> None:
    who = session.parts.context.identity
    if again.taken_over:
        reason = taken.reason if taken is not None else "resumed without the key of its last writer, or elsewhere"
        event = ev.RunTakenOver(
            operator=who.operator,
            node=who.node,
            reason=reason,
            epoch=who.epoch,
            transport=session.parts.world.transport,
        )
        session.recorder.write(event, durable=True)
    if again.torn is not None:
        torn = again.torn
        session.recorder.write(
            ev.Recovered(torn_bytes=torn.torn_bytes, sha256=torn.sha256, file=torn.file), durable=True
        )


def _first_records(session: Session, frozen: Frozen, public: bytes, held: SavedPlan | None) -> None:
    context, pieces = session.parts.context, frozen.parts()
    runbook, who, scope = context.runbook, context.identity, RunScope(context=context)
    session.recorder.write(
        ev.RunOpened(
            uid=who.uid, id=who.id, runbook=runbook.name, mode=who.mode, inventory=context.inventory.name,
            environment=context.inventory.environment.value, operator=who.operator, node=who.node, version=__version__,
            title=runbook.title.pick(who.language).show(scope) if runbook.title else "",
            plan_digest=frozen.digest, plan_parts=len(pieces), pubkey=base64.b64encode(public).decode(),
            rto_us=runbook.objectives.rto.micros if runbook.objectives.rto else None,
            rpo_us=runbook.objectives.rpo.micros if runbook.objectives.rpo else None,
            language=who.language, zone=context.inventory.zone, held_to=held.digest if held is not None else "",
            held_made_at=held.made_at if held is not None else 0, limit=frozen.bounds.limit,
            fan_out=frozen.bounds.fan_out, transport=session.parts.world.transport,
        ),
        durable=True,
    )  # fmt: skip
    for number, text in enumerate(pieces):
        session.recorder.write(ev.PlanPart(index=number, of=len(pieces), text=text), durable=number == len(pieces) - 1)
    session.recorder.sign()


@contextlib.contextmanager
def _locks(states: StateDir, runbook: Runbook, operator: str) -> Iterator[None]:
    """The names a runbook locks on this machine, beside the hosts it uses."""
    with contextlib.ExitStack() as stack:
        for name in sorted(runbook.locks):
            stack.enter_context(states.named_lock(name, by=operator, purpose=f"runbook {runbook.name}"))
        yield
