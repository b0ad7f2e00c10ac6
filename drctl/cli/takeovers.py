"""Before a run is taken over: what its hosts say of it, and of whoever holds them.

Nothing is changed here. Where a host knows of a newer writer of the same run, this copy of the record lacks what was
done there, and taking it over is refused unless a person says that the other copy is lost.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from drctl.adapters.keys import fingerprint
from drctl.adapters.statedir import spoken
from drctl.cli.runs import fold_of
from drctl.cli.transports import require
from drctl.cli.wiring import Taking, build_parts, frozen_of, thaw_documents
from drctl.core.nouns import dataclass
from drctl.engine.context import Identity
from drctl.engine.fanout import fan_out
from drctl.engine.owners import acted_on, claim_of
from drctl.engine.preflight import named
from drctl.engine.world import LOCAL
from drctl.errors import LockedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drctl.adapters.statedir import RunFolder, StateDir
    from drctl.core.fold import RunState
    from drctl.core.holdings import Holding, Standing
    from drctl.engine.context import Context

SHORTEST: Final = 8
"""Characters of a uid that may stand for the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for.

    Attributes:
        reason: why, for the record.
        given_up: id or uid of the run whose hosts are wanted; empty when only the run itself is taken over.
        fork: go on from this copy although the run went on elsewhere.
        transport: what opens links to hosts; empty is what the run used last.
    """

    reason: str
    given_up: str = ""
    fork: bool = False
    transport: str = ""


def foreseen(folder: RunFolder, states: StateDir, operator: str, wanted: Wanted) -> Taking:
    """Ask the hosts, and say under which epoch the run goes on and which run is given up for it.

    Raises:
        LockedError: the run went on elsewhere, or the run to be given up is being carried out.
        UsageError: no host is held by the run that is to be given up.
    """
    state = fold_of(folder)
    opened = state.opened
    if opened is None or state.closed is not None:
        return Taking(reason=wanted.reason)  # `resumed` says what is wrong with it
    frozen = frozen_of(state, folder.journal)
    who = Identity(uid=opened.uid, id=opened.id, operator=operator, epoch=state.epoch, holder="look")
    transport = wanted.transport or state.transport
    require(transport)
    parts = build_parts(frozen, thaw_documents(frozen), who, state, folder.outputs, states.root, transport)
    try:
        hosts = sorted((acted_on(state) | (wanted_hosts(parts.context) if wanted.given_up else set())) - {LOCAL})
        claim = claim_of(who)
        seen = fan_out(hosts, lambda host: parts.world.shell(host).standing(claim), frozen.bounds.fan_out)
    finally:
        parts.world.close()
    standings = dict(zip(hosts, seen, strict=True))
    if not wanted.fork:
        _refuse_fork(folder, state, standings)
    given_up = _given_up(folder, states, wanted.given_up, standings) if wanted.given_up else ""
    numbers = [one.newest.epoch for one in seen if one.newest is not None]
    epoch = max([state.epoch, *numbers]) + 1
    return Taking(reason=wanted.reason, epoch=epoch, hosts=tuple(hosts), given_up=given_up)


def wanted_hosts(context: Context) -> set[str]:
    """The hosts that a run may act on, as far as the documents tell: only these are taken from another run."""
    steps = [step for phase in context.runbook.phases for step in phase.steps]
    hosts = {need for step in steps for need in named(step, context) if isinstance(need, str)}
    return {host for host in hosts if not context.bounds.leave_out(host)}


def _refuse_fork(folder: RunFolder, state: RunState, standings: dict[str, Standing]) -> None:
    mine = fingerprint(base64.b64decode(state.pubkey)) if state.pubkey else ""
    told = ""
    for host, one in standings.items():
        by = one.newest
        if by is not None and by.replaces and by.epoch >= state.epoch and (by.epoch, by.holder) != (state.epoch, mine):
            told = f"{host} says that epoch {by.epoch} of it is held by {by.holder} ({by.operator}) since {by.since}"
    if not told and state.replaced is not None:
        told = state.replaced.because
    if told:
        raise LockedError(
            f"Run {folder.id} went on elsewhere: {told}.", where=str(folder.path),
            meaning="What was done there since does not stand in this copy of its record. Nothing was changed.",
            next=f"go on there, or copy its run folder from there; if that is lost: "
            f"drctl takeover {folder.id} --fork --reason TEXT",
        )  # fmt: skip


def _given_up(folder: RunFolder, states: StateDir, text: str, standings: dict[str, Standing]) -> str:
    """The uid of the run that is meant; only one that holds a host can be."""
    owners = {host: one.owner for host, one in standings.items() if one.owner is not None}
    found = {by.run for by in owners.values() if by.run != folder.uid and _is(by, text)}
    if len(found) != 1:
        held = "; ".join(f"{host} by run {by.run_id} ({by.run})" for host, by in sorted(owners.items()))
        mute = "; ".join(f"{host}: {one.because}" for host, one in standings.items() if one.because)
        raise UsageError(
            f"{'No host' if not found else 'More than one run'} that this run needs is held by a run {text!r}.",
            meaning=f"Held: {held or 'none'}." + (f" Not asked: {mute}." if mute else "") + " Nothing was changed.",
            next=f"drctl resume {folder.id}   (it says who holds what it needs)",
        )  # fmt: skip
    uid = found.pop()
    _refuse_living((run for run in states.list() if run.uid == uid), folder)
    return uid


def _is(by: Holding, text: str) -> bool:
    said = text.strip()
    whole = said.lower() == by.run or (len(said) >= SHORTEST and by.run.startswith(said.lower()))
    return whole or spoken(said) == by.run_id


def _refuse_living(runs: Iterable[RunFolder], folder: RunFolder) -> None:
    for run in runs:
        if (holder := run.holder()) is not None:
            raise LockedError(
                f"Run {run.id} is not lost: it is being carried out ({holder}).", where=str(run.path),
                meaning="Nothing was changed.",
                next=f"drctl abort {run.id} --reason TEXT   (it gives its hosts back), then drctl resume {folder.id}",
            )  # fmt: skip
