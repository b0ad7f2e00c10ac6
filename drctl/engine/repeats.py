"""What repeats: which rounds there will be, for a run that freezes them and for a plan that shows them."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

from drctl.core.expressions import evaluate
from drctl.core.model import Block, Frame
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Outcome
from drctl.core.plan import Status
from drctl.core.roster import Roster
from drctl.core.rounds import round_of
from drctl.core.values import Duration, HostRef, Map, Unknown, Value
from drctl.engine.failures import good
from drctl.engine.fields import resolve
from drctl.engine.parts import carried, everything, is_rolling, is_table
from drctl.engine.selection import batches, chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.model import Loop, Step
    from drctl.engine.context import Context
    from drctl.engine.scope import RunScope
    from drctl.engine.sight import Sight

MOST_ROUNDS = 100_000
LIMITED = "--limit leaves out every host of it"


def frozen_now(step: Step, scope: RunScope, left: tuple[str, ...] = ()) -> Roster | Unknown:
    """The rounds as they are now; Unknown when they cannot be told.

    `left` are hosts that have left the block around, which a step of it does not touch any more.
    """
    if step.loop is not None:
        items = _items(step.loop, scope)
        return items if isinstance(items, Unknown) else Roster(items=items)
    if not (is_table(step) or is_rolling(step)) or step.on is None or step.on.selection is None:
        return Roster()
    batch = carried(step)
    if batch is not None:
        hosts: tuple[str, ...] | Unknown = tuple(host for host in batch.hosts or () if host not in left)
        return Roster(batches=(hosts,) if hosts else ())
    hosts = chosen(step.on.selection, scope)
    if isinstance(hosts, Unknown):
        return Unknown(f"cannot tell which hosts: {hosts}", not_yet=hosts.not_yet)
    return Roster(batches=batches(step.on.selection, hosts, scope) if hosts else ())


def relisted(old: tuple[Value, ...], new: tuple[Value, ...]) -> tuple[Value, ...]:
    """An old list that goes on as a new one: members keep their numbers, new members come after them."""
    return (*old, *(item for item in new if item not in old))


def at_once(step: Step, frozen: Roster | None, fan_out: int) -> int:
    """How many of the steps right inside a container run together; of a batch at most `fan_out` hosts."""
    if step.loop is not None:
        return 1 if step.loop.first_ok else step.loop.at_once
    if is_table(step):
        batches = frozen.batches or () if frozen is not None else ()
        return min(fan_out, max((len(batch) for batch in batches), default=1))
    branches = isinstance(step.body, Block) and step.body.parallel and not is_rolling(step)
    return (step.body.at_once or len(step.body.steps)) if branches and isinstance(step.body, Block) else 1


def soaks(step: Step, frozen: Roster | None) -> Duration | None:
    """How long a selection pauses in all between its batches; None where it does not."""
    selection = step.on.selection if step.on is not None and step.loop is None else None
    batches = frozen.batches or () if frozen is not None else ()
    if selection is None or selection.soak is None or len(batches) < 2:  # noqa: PLR2004 - one needs no pause
        return None
    return Duration(selection.soak.micros * (len(batches) - 1))


def over_at_once(step: Step, frozen: Roster, scope: RunScope) -> tuple[Outcome, str] | None:
    """How a container ends for which there is nothing to carry out, and why; None when there is something."""
    if frozen.items == ():
        needs_one = step.loop is not None and step.loop.first_ok
        return Outcome.FAILED if needs_one else Outcome.SKIPPED, "the list is empty"
    if frozen.batches != ():
        return None
    if carried(step) is not None:
        return Outcome.SKIPPED, "every host of this batch has left the block"
    limited = bool(scope.context.bounds.limit)  # without a limit nothing else may be told of it
    if limited and step.on is not None and step.on.selection and chosen(step.on.selection, scope, bounded=False):
        return Outcome.SKIPPED, LIMITED
    return Outcome.EMPTY, "the selection gives no host"


def hosts_of(rounds: Sequence[Step]) -> tuple[str, ...]:
    """The hosts of some rounds of a table or a rolling block."""
    frames = [step.frames[-1] for step in rounds]
    return tuple(host for frame in frames for host in ((frame.host,) if frame.host else frame.hosts or ()))


def left_block(context: Context, batch: str, path: str) -> tuple[str, ...]:
    """Hosts that failed in a step of this batch other than that at `path`, and so left the block."""
    gone: dict[str, None] = {}
    for step in everything(context):
        own = step.path.startswith(f"{path}/")
        if step.path.startswith(f"{batch}/") and not own and step.frames and step.frames[-1].host:
            outcome = context.state.step(step.path).outcome
            if outcome is not None and not good(step, outcome):
                gone[step.frames[-1].host] = None
    return tuple(gone)


def _items(loop: Loop, scope: RunScope) -> tuple[Value, ...] | Unknown:
    lists: list[tuple[Value, ...]] = []
    for name, written in loop.lists.items():
        if isinstance(written, tuple):
            found = [resolve(member, scope) for member in written]
            value: object = next((one for one in found if isinstance(one, Unknown)), tuple(found))
        else:
            value = evaluate(written.expression, scope)
        if isinstance(value, Unknown):
            return Unknown(f"cannot tell the list of {name}: {value}", not_yet=value.not_yet)
        if not isinstance(value, tuple):
            return Unknown(f"{name} needs a list, and is given something else", not_yet=False)
        lists.append(tuple(member.name if isinstance(member, HostRef) else member for member in value))
    if (total := prod(len(one) for one in lists)) > MOST_ROUNDS:
        return Unknown(f"{total:,} rounds are too many: at most {MOST_ROUNDS:,}", not_yet=False)
    return tuple(Map(dict(zip(loop.lists, combination, strict=True))) for combination in product(*lists))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a plan shows of a container.

    Attributes:
        known: whether the rounds are known; else its body is shown once.
        rounds: None where it does not repeat.
        frozen: what a run would freeze.
        status, outcome: where it is over already, such as an empty list.
    """

    known: bool = True
    rounds: tuple[Step, ...] | None = None
    frozen: Roster | None = None
    status: Status | None = None
    outcome: Outcome | None = None
    because: str = ""
    unknown: tuple[str, ...] = ()


class Repeats:
    """Rounds as a plan sees them."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    def of(self, step: Step) -> Shown:
        """The rounds of one container."""
        if step.loop is None and not is_table(step) and not is_rolling(step):
            return Shown()
        batch = carried(step)
        left = left_block(self._sight.context, batch.path, step.path) if batch is not None else ()
        frozen = frozen_now(step, self._sight.scope(step=step), left)
        if isinstance(frozen, Unknown):
            what = "list not known yet" if step.loop is not None else "hosts not known yet"
            status = Status.DEPENDS if frozen.not_yet else Status.WOULD_STOP
            because = what if frozen.not_yet else str(frozen)
            once = (self._unknown_round(step, frozen),)
            return Shown(known=False, rounds=once, status=status, because=because, unknown=(str(frozen),))
        over = over_at_once(step, frozen, self._sight.scope(step=step))
        if over is not None:
            outcome, because = over
            fine = outcome is Outcome.SKIPPED or outcome in step.judgement.tolerate
            status = Status.WOULD_SKIP if fine else Status.WOULD_STOP
            return Shown(rounds=(), frozen=frozen, status=status, outcome=outcome, because=because)
        rounds = tuple(round_of(step, frame) for frame in frozen.frames(step, step.path))
        return Shown(rounds=rounds, frozen=frozen, because=str(frozen))

    def left_out(self, step: Step, rounds: Sequence[Step], because: str) -> Step:
        """One that stands for rounds that are not shown one by one: names without a value, on all their hosts."""
        origin, path = step.origin or step.path, f"{step.path}/..."
        if step.loop is not None:
            why = Unknown(because, not_yet=True)
            return round_of(step, Frame(origin=origin, path=path, names=dict.fromkeys(step.loop.lists, why)))
        return self._narrowed(step, round_of(step, Frame(origin=origin, path=path, hosts=hosts_of(rounds), on=step.on)))

    def _unknown_round(self, step: Step, why: Unknown) -> Step:
        """A round of which nothing is known: its names have no value yet, its host is none yet."""
        origin, path = step.origin or step.path, f"{step.path}/?"
        if step.loop is not None:
            return round_of(step, Frame(origin=origin, path=path, names=dict.fromkeys(step.loop.lists, why)))
        return self._narrowed(step, round_of(step, Frame(origin=origin, path=path, hosts=())))

    def _narrowed(self, step: Step, once: Step) -> Step:
        """A round of a table that is no table itself, though its host is not known."""
        if is_rolling(step) or step.on is None or step.on.selection is None:
            return once
        return replace(once, on=replace(step.on, selection=replace(step.on.selection, take=1)))
