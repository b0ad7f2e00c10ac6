"""What a run leaves as it is when it ends: what was not undone and not restored, where, and why. Nothing is done here.

After a rollback everything is named that is not as it was before the run, whoever's word it is that it stays: a report
that is silent about a thing says that the thing is as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.outcomes import Outcome
from drctl.engine.dues import step_of_way
from drctl.engine.rollback import Later
from drctl.engine.short import one_line
from drctl.engine.world import LOCAL

if TYPE_CHECKING:
    from drctl.core.fold import BlockState
    from drctl.engine.dues import Due
    from drctl.engine.ledger import Ledger
    from drctl.engine.recorder import Recorder


class Left:
    """What one run leaves.

    Args:
        rolling_back: whether the run ends with a rollback; one that people ended early is known by its word.
    """

    def __init__(self, ledger: Ledger, recorder: Recorder, *, rolling_back: bool) -> None:
        self._ledger = ledger
        self._dues = ledger.dues
        self._recorder = recorder
        self._state = recorder.state
        since = self._state.rolled_back_seq if self._state.rolling_back is not None else None
        self._began = since is not None and any(block.started_seq > since for block in self._undos)
        self._went_back = rolling_back or self._began

    @property
    def _undos(self) -> list[BlockState]:
        return self._dues.undo_blocks()

    def _remains(self, block: BlockState) -> str:
        """What stays as it is, where, and why: for the follow-up list."""
        step = self._state.step(step_of_way(block.path))
        what = next((unit.started.text for unit in reversed(step.effects) if unit.started is not None), "")
        told = one_line(what) or step.path
        return f"NOT_UNDONE({block.host or LOCAL}, {told}): {block.because or 'its undo is not over'}"

    @property
    def undid(self) -> bool:
        """Whether a rollback had something to undo."""
        return bool(self._undos)

    @property
    def cut_by(self) -> str:
        """The step that is the point of no return passed last; empty when none was."""
        return self._dues.cut()[1]

    def half_undone(self) -> str:
        """What should have been undone and was not; empty when all was, or needs none by its author's word."""
        left = [f"{block.path}: {self._remains(block)}" for block in self._dues.left()]
        word = self._state.rolling_back
        if word is not None and self._began:
            wanted = Later(self._ledger.context, word.path) if word.path else lambda _: True
            back = self._dues.outlook(wanted).back
            left += [f"the rollback was ended before the undo of {one}" for one in back]
        fences = self._fences(since=self._dues.cut()[0]) if self._went_back else []
        return "; ".join(left + [f"{path}: {because}" for path, _, because in fences])

    def note(self) -> None:
        """Record it; after a crash in between, what an earlier writer could not put back too."""
        if self._went_back:
            self.note_undone()
            self._note_not_tried()
        for block in list(self._state.blocks.values()):
            if block.form == "restore" and block.outcome is not Outcome.OK:
                self._not("restored", step_of_way(block.path), block.host, block.because)

    def note_undone(self) -> None:
        """Record what has no undo and what could not be undone, unless it was done again since."""
        for block in self._dues.not_undone():
            step = step_of_way(block.path)
            if not self._put_back(step):
                because = block.because if block.outcome is Outcome.SKIPPED else self._remains(block)
                self._not("undone", step, block.host, because)

    def _note_not_tried(self) -> None:
        """What a rollback that was ended did not come to, what lies before the point of no return, and fences."""
        since, by = self._dues.cut()
        for due in self._dues.registered(restore=False):
            path = due.step.path
            if self._tried(due):
                continue  # it is named with what became of that
            if due.since > since:
                self._not("undone", path, due.host, "the rollback was ended before its turn")
            elif not self._put_back(path) and (now := self._ledger.seen_now(due)) is not None:
                before = "" if path == by else f"before {by}, "
                self._not("undone", path, due.host, f"{before}the point of no return{now}")
        for path, host, because in self._fences():
            self._not("undone", path, host, because)

    def _tried(self, due: Due) -> bool:
        """Whether its undo was begun after all that the step did, and is not over as it should be."""
        undo = self._state.blocks.get(due.path)
        return undo is not None and undo.outcome is not Outcome.OK and undo.started_seq > due.since

    def _not(self, what: str, path: str, host: str, because: str) -> None:
        place = "" if host == LOCAL else host
        self._recorder.deviation(ev.DeviationNoted(path=path, what=f"not {what}", because=because, host=place))

    def _put_back(self, path: str) -> bool:
        """Whether its `restore` was carried out after all that it did."""
        restored = self._state.blocks.get(f"{path}/restore")
        effects = self._state.step(path).effects
        ways = [unit.started.restore for unit in effects if unit.started is not None]
        since = max((unit.started_seq for unit in effects), default=-1)
        has_way = any(way is not None and "none" not in way for way in ways)
        return has_way and restored is not None and restored.outcome is Outcome.OK and restored.finished_seq > since

    def _fences(self, since: int = -1) -> list[tuple[str, str, str]]:
        """Fences that stand: address, host, and what that means for it."""
        return [
            (path, host, f"{host} stays fenced until people lift it, with fence.lift")
            for host, path in self._state.fenced.items()
            if path in self._state.blocks and self._state.blocks[path].finished_seq > since
        ]
