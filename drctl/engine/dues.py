"""Which ways back are registered and not yet carried out, and what a rollback would and would not take back.

Worked out from the records and the documents alone, so that it can be shown before anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.model import Fence, Frame, Step, Way, WayKind
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Outcome
from drctl.core.rounds import HOST, round_of, step_name
from drctl.engine.parts import is_rolling, parts, within
from drctl.engine.places import place_of
from drctl.engine.short import listed
from drctl.engine.ways import NO_INVERSE, stands_for_all, way_of
from drctl.engine.world import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core.fold import BlockState, Unit
    from drctl.engine.context import Context

UNDO_OVER: Final = frozenset({Outcome.OK, Outcome.SKIPPED, Outcome.NOT_RUN, Outcome.UNREACHABLE})
RESTORE_OVER: Final = frozenset({Outcome.OK, Outcome.SKIPPED, Outcome.NOT_RUN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One registered way back: of which step, where, and what the first of its intents recorded.

    What stood there before a second attempt may be the work of the first, so the first intent is what counts.
    `since` is the newest intent: what was done before it does not count as taking it back. What was done before a
    person changed fields of the step is taken back by itself, as it was: `stage` counts the changes before it.
    """

    step: Step
    started: ev.StepStarted
    since: int
    restore: bool
    stage: int = 0

    @property
    def path(self) -> str:
        """Where its units are recorded."""
        return way_path(self.step.path, restore=self.restore, stage=self.stage)

    @property
    def host(self) -> str:
        """Where the step acted."""
        return self.started.host

    @property
    def role(self) -> ev.Role:
        """What its units are for."""
        return ev.Role.RESTORE if self.restore else ev.Role.UNDO

    @property
    def recorded(self) -> Mapping[str, object]:
        """The way back as the intent recorded it."""
        return (self.started.restore if self.restore else self.started.undo) or {}

    @property
    def none(self) -> str:
        """Why there is no way back; empty when there is one."""
        return str(self.recorded["none"]) if "none" in self.recorded else ""

    def __str__(self) -> str:
        """What is taken back, and where."""
        return f"{step_name(self.step.path)} on {self.host or LOCAL}"


def way_path(path: str, *, restore: bool, stage: int = 0) -> str:
    """The address of a way back."""
    return f"{path}/{'restore' if restore else 'undo'}" + (f".{stage}" if stage else "")


class Dues:
    """The ways back of one run that are due."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def due(self, *, restore: bool) -> list[Due]:
        """What is registered and not yet carried out, newest first; undo stops at a point of no return."""
        cut = self.cut()[0]
        return [one for one in self.registered(restore=restore) if restore or one.since > cut]

    def registered(self, *, restore: bool) -> list[Due]:
        """What is registered and not yet carried out, newest first, on both sides of a point of no return."""
        found: list[Due] = []
        for step, owner in self._owned(restore=restore):
            for stage, done in self._stages(step, self._effects(step, owner)):
                over = self._context.state.blocks.get(way_path(step.path, restore=restore, stage=stage))
                ends = RESTORE_OVER if restore else UNDO_OVER
                is_over = over is not None and over.outcome in ends
                effects = [u for u in done if not is_over or over is None or u.started_seq > over.finished_seq]
                if not effects or effects[0].started is None:
                    continue
                since = effects[-1].started_seq
                if restore and self._undone_so(step, since, stage):
                    continue
                first = effects[0].started
                started = first if owner is None else self._of_block(step, first, restore=restore)
                one = Due(step=step, started=started, since=since, restore=restore, stage=stage)
                if one.recorded:
                    found.append(one)
        return sorted(found, key=lambda one: -one.since)

    def _stages(self, step: Step, effects: list[Unit]) -> list[tuple[int, list[Unit]]]:
        """What a step did, apart by the changes of its fields in between: each is taken back as it was done."""
        changed = [seq for seq, _ in self._context.state.changes.get(step.path, ())]
        if not changed:
            return [(0, effects)]
        stages: dict[int, list[Unit]] = {}
        for unit in effects:
            stages.setdefault(sum(seq < unit.started_seq for seq in changed), []).append(unit)
        return list(stages.items())

    def _owned(self, *, restore: bool) -> list[tuple[Step, Step | None]]:
        """Every step with effects of its own, or the outermost block around it whose own way back stands for all.

        With it the block that owns the effects; one that rolls over hosts is taken back on each host it acted on.
        """
        context = self._context
        found: list[tuple[Step, Step | None]] = []

        def add(step: Step) -> None:
            if step.loop is None and stands_for_all(step, restore=restore):
                found.extend((one, step) for one in self._by_host(step))
                return
            found.append((step, None))
            for inner in parts(context, step):
                add(inner)
            methods = step.body.methods if isinstance(step.body, Fence) and step.loop is None else ()
            if restore or step.path not in context.state.fenced.values():  # a proven fence is lifted by people
                found.extend((method, None) for method in methods)

        for phase in context.runbook.phases:
            for top in phase.steps:
                add(top)
        return found

    def _by_host(self, block: Step) -> list[Step]:
        """The block itself; one that rolls over hosts once for each host it acted on, in the order it did."""
        if not is_rolling(block):
            return [block]
        hosts = dict.fromkeys(unit.host for unit in self._effects(block, block))
        origin = block.origin or block.path
        frames = [Frame(origin=origin, path=f"{block.path}/{HOST}{host}", host=host) for host in hosts]
        return [round_of(block, frame) for frame in frames]

    def _effects(self, step: Step, owner: Step | None) -> list[Unit]:
        state = self._context.state
        inner = within(self._context, owner) if owner is not None else (step,)
        host = step.frames[-1].host if owner is not None and step is not owner else ""
        units = [unit for one in inner for unit in state.step(one.path).effects if host in {"", unit.host}]
        return sorted(units, key=lambda unit: unit.started_seq)

    def _of_block(self, step: Step, first: ev.StepStarted, *, restore: bool) -> ev.StepStarted:
        """The way back of a block: its own, since the first act inside it."""
        way = way_of(step, restore=restore)
        if way is None or way.kind is WayKind.AUTO:
            recorded: dict[str, object] = {"none": NO_INVERSE}
        elif way.kind is WayKind.NONE:
            recorded = {"none": way.why}
        else:
            recorded = {"steps": [inner.path for inner in way.steps]}
        place = place_of(self._context, step)
        host = place if isinstance(place, str) and place != LOCAL else ""
        return replace(first, host=host, undo=None if restore else recorded, restore=recorded if restore else None)

    def cut_by(self) -> str:
        """The step that is the point of no return passed last; empty when none was."""
        return self.cut()[1]

    def cut(self) -> tuple[int, str]:
        """The record and the step of the point of no return passed last; (-1, "") when none was."""
        passed = [
            (unit.started_seq, path)
            for path in self._context.state.steps
            for unit in self._context.state.step(path).effects
            if unit.started is not None and unit.started.no_return
        ]
        return max(passed, default=(-1, ""))

    def _undone_so(self, step: Step, since: int, stage: int) -> bool:
        """Whether what its `restore` would do was done by its `undo`, after all that it did."""
        undone = self._context.state.blocks.get(way_path(step.path, restore=False, stage=stage))
        is_auto = _is_auto(step.ways.restore) and _is_auto(step.ways.undo)
        same = is_auto or way_of(step, restore=True) == step.ways.undo
        return same and undone is not None and undone.outcome is Outcome.OK and undone.finished_seq > since

    # -- what was taken back ----------------------------------------------------------------------------------------

    def undo_blocks(self) -> list[BlockState]:
        """Every undo that began, and that nothing was done after."""
        return [block for block in self._context.state.blocks.values() if block.form == "undo"]

    def not_undone(self) -> list[BlockState]:
        """Undos that took nothing back, or not all, unless the step was done again since then."""
        return [block for block in self.undo_blocks() if block.outcome is not Outcome.OK and not self._redone(block)]

    def left(self) -> list[BlockState]:
        """The same, but for what has no undo."""
        return [block for block in self.not_undone() if block.outcome is not Outcome.SKIPPED]

    def _redone(self, block: BlockState) -> bool:
        """Whether the step was carried out well after its undo had ended: then the undo is no longer the last word."""
        step = self._context.state.step(step_of_way(block.path))
        own = step.own
        began = own is not None and own.started is not None and own.started.effect != "read"
        return block.outcome is not None and began and own is not None and (
            own.started_seq > block.finished_seq and own.outcome is Outcome.OK
        )  # fmt: skip

    def taken_back(self, step: Step) -> bool:
        """Whether all that this step did was taken back, by its own undo or by that of a block around it."""
        effects = self._context.state.step(step.path).effects
        if not effects:
            return True
        newest = effects[-1].started_seq
        return any(
            block.outcome is Outcome.OK
            and block.finished_seq > newest
            and _stands_for(step_of_way(block.path), step.path)
            for block in self.undo_blocks()
        )

    def outlook(self, wanted: Callable[[Step], bool] = lambda _: True) -> Outlook:
        """What a rollback would take back now, of the steps that are wanted."""
        due = [one for one in self.due(restore=False) if wanted(one.step)]
        fenced = self._context.state.fenced
        back = [one for one in due if not one.none and one.host not in fenced]
        kept = [(one, one.none or f"{one.host} is fenced") for one in due if one.none or one.host in fenced]
        return Outlook(back=tuple(map(str, back)), kept=tuple(f"{one} ({why})" for one, why in kept), cut=self.cut_by())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a rollback would do: take back, newest first; leave, and why; and the step it cannot go behind."""

    back: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    cut: str = ""

    def __str__(self) -> str:
        """One sentence for people."""
        said = [f"takes back, newest first: {listed(self.back)}" if self.back else "takes nothing back"]
        if self.kept:
            said.append(f"leaves as it is: {listed(self.kept)}")
        if self.cut:
            said.append(
                f"cannot go behind {self.cut}, the point of no return: from there the failback runbook leads home"
            )
        return "; ".join(said)


def step_of_way(path: str) -> str:
    """Of which step a way back is, by its address."""
    return path.rpartition("/")[0]


def _stands_for(owner: str, path: str) -> bool:
    """Whether a way back of this owner is one of that step: its own, or of a block around it."""
    around = owner.rpartition(f"/{HOST}")[0] if owner.rpartition("/")[2].startswith(HOST) and owner != path else owner
    return path == owner or path.startswith(f"{around}/")


def _is_auto(way: Way | None) -> bool:
    return way is None or way.kind is WayKind.AUTO
