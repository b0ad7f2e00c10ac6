"""What repeats, as people see it: one row with counts for a loop or table, and only the members that matter under it.

All members stay in the record and in JSON; what is left out on a screen is counted in the row above.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final

from drctl.core.nouns import dataclass
from drctl.reporting.facts import StepFacts, is_bad, own_steps, phase_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from drctl.core.fold import RunState
    from drctl.core.states import BlockState

SHOWN: Final = frozenset({"loop", "table", "rolling", "batch", "include"})
"""Forms of blocks that have a row of their own."""
REPEATS: Final = frozenset({"loop", "table"})
MOST: Final = 12
"""Members that are shown without leaving any out."""
SLOWEST: Final = 3
MOST_BAD: Final = 20
"""Members that ended badly and are shown one by one; more of them are counted only."""
WORDS: Final = {"not_run": "not run", "in_doubt": "in doubt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A block with a row of its own.

    Attributes:
        counts: how many members have each word; `not begun` is there when the list of members is known.
        left_out: addresses of members, and of steps in them, that a screen leaves out.
    """

    path: str
    form: str
    title: str
    outcome: str
    because: str
    tolerated: bool
    depth: int
    counts: tuple[tuple[str, int], ...]
    left_out: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The counts for people."""
        return ", ".join(f"{number} {word}" for word, number in self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a step, or a group."""

    depth: int
    step: StepFacts | None = None
    group: Group | None = None


@dataclass(slots=True)
class _Node:
    path: str
    block: BlockState | None = None
    step: StepFacts | None = None
    inside: dict[str, _Node] = field(default_factory=dict)

    def steps(self) -> Iterator[StepFacts]:
        if self.step is not None:
            yield self.step
        for node in self.inside.values():
            yield from node.steps()

    @property
    def outcome(self) -> str:
        if self.block is not None:
            return self.block.outcome.value if self.block.outcome is not None else "running"
        if self.step is not None:
            return self.step.outcome
        found = [step.outcome for step in self.steps()]
        return next((o for o in found if is_bad(o)), "running" if "running" in found else "ok")

    @property
    def foreseen(self) -> bool:
        """Whether it ended otherwise than well, as the runbook allows."""
        tolerated = self.block.tolerated if self.block is not None else self.step is not None and self.step.accepted
        return tolerated and self.outcome not in {"ok", "running"}

    @property
    def took(self) -> int:
        times = [step.elapsed.micros for step in self.steps() if step.elapsed is not None]
        return sum(times)


def rows(state: RunState, phase: str) -> list[Row]:
    """The rows of one phase, in the order met; members of what repeats in their own order."""
    steps = [facts for facts in own_steps(state) if phase_of(facts.path) == phase]
    return list(_rows(_tree(state, phase, steps), 0))


def _tree(state: RunState, phase: str, steps: Sequence[StepFacts]) -> _Node:
    root = _Node(phase)
    for block in list(state.blocks.values()):
        if block.form in SHOWN and block.path.startswith(f"{phase}/"):
            _at(root, block.path).block = block
    for facts in steps:
        _at(root, facts.path).step = facts
    return root


def _at(root: _Node, path: str) -> _Node:
    node = root
    for name in path.split("/")[1:]:
        found = node.inside.get(name)
        if found is None:
            found = node.inside[name] = _Node(f"{node.path}/{name}")
        node = found
    return node


def _rows(node: _Node, depth: int) -> Iterator[Row]:
    members, left = _members(node)
    if node.block is not None and node.path.count("/"):
        yield Row(depth=depth, group=_group(node, depth, left))
        depth += 1
    if node.step is not None:
        yield Row(depth=depth, step=node.step)
    for inner in members:
        yield from _rows(inner, depth)


def _members(node: _Node) -> tuple[list[_Node], list[_Node]]:
    """What is shown of what is inside, and what is left out."""
    inside = list(node.inside.values())
    if node.block is None or node.block.form not in REPEATS:
        return inside, []
    if node.block.form == "loop":
        inside.sort(key=lambda one: _number(one.path))
    if len(inside) <= MOST:
        return inside, []
    bad = [one for one in inside if is_bad(one.outcome) or one.outcome == "partial" or one.foreseen]
    kept = {one.path for one in bad[:MOST_BAD]}
    rest = [one for one in inside if one.path not in kept]
    slow = sorted((one for one in rest if one.took > 0), key=lambda one: -one.took)[:SLOWEST]
    oldest = [one for one in rest if one.outcome == "running"][:SLOWEST]  # in the order begun
    kept |= {one.path for one in (*slow, *oldest)}
    return [one for one in inside if one.path in kept], [one for one in inside if one.path not in kept]


def _number(path: str) -> int:
    name = path.rsplit("/", 1)[-1]
    return int(name) if name.isdecimal() else -1


def _group(node: _Node, depth: int, left: Sequence[_Node]) -> Group:
    block = node.block
    assert block is not None  # noqa: S101 - the caller has looked
    tally: Counter[str] = Counter()
    if block.form in REPEATS:
        for one in node.inside.values():
            word = WORDS.get(one.outcome, one.outcome)
            tally[f"{word}, foreseen" if one.foreseen else word] += 1
        missing = _planned(block) - len(node.inside)
        if missing > 0 and block.outcome is None:
            tally["not begun"] = missing
    return Group(
        path=block.path, form=block.form, title=block.title, outcome=node.outcome, because=block.because,
        tolerated=block.tolerated, depth=depth, counts=tuple(tally.items()),
        left_out=frozenset(step.path for one in left for step in one.steps()),
    )  # fmt: skip


def _planned(block: BlockState) -> int:
    """How many members there are to be; 0 when the list lies beside the journal."""
    items, batches = block.frozen.get("items"), block.frozen.get("batches")
    if isinstance(items, list | tuple):
        return len(items)
    return sum(len(batch) for batch in batches) if isinstance(batches, list | tuple) else 0
