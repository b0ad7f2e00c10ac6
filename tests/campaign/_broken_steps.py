"""Edited copies of a runbook in each of which exactly one step fails, in one way.

A look fails because it is asked for what is never true; an act before its effect (what it carries out ends badly and
changes nothing) or after it (the effect is there, and the step is not what it should be); a fence by a proof that is
never true; a person says no. Whatever fails takes the run back: `on_failure: rollback` stands on every phase.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml

from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.outcomes import Effect
from drctl.kinds import registry

Node = dict[str, Any]

NEVER = "1 == 2"
"""A condition that no step can meet."""
SOON = {"every": "100ms", "times": 2}
_LOOKS = frozenset({"check", "set", "decide", "wait"})
_INNER = ("steps", "parallel")
_WITHOUT: Mapping[str, Node] = {
    "set": {"never": "${{ 1 / 0 }}"},
    "wait": {"for": "${{ duration(match('never', 'ever')) }}"},
    "decide": {"rules": [{"if": NEVER, "then": "never"}], "ask": "never"},
}
"""What fails in the kinds that have no `expect`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One way in which one step fails.

    Attributes:
        path: the step's address; of a method of a fence too.
        way: `look`, `before` or `after` the effect, `unproven`, `refused` by a person.
    """

    path: str
    way: str

    def __str__(self) -> str:
        return f"{self.path} ({self.way})"


def walk(book: Node) -> Iterator[tuple[str, Node, tuple[Node, ...]]]:
    """Every step of a runbook as written, in order: its address, itself, the phase and blocks around it."""
    for phase in book["phases"]:
        for step in phase["steps"]:
            yield from _inside(phase["id"], step, (phase,))


def _inside(above: str, step: Node, around: tuple[Node, ...]) -> Iterator[tuple[str, Node, tuple[Node, ...]]]:
    path = f"{above}/{step['id']}"
    yield path, step, around
    for key in _INNER:
        for inner in step.get(key, ()):
            yield from _inside(path, inner, (*around, step))


def ways(step: Node) -> tuple[str, ...]:
    """In which ways a step can fail; a block fails by what is inside it only."""
    if any(key in step for key in (*_INNER, "include")) or step.get("do") == "restore":
        return ()
    if step.get("do") == "fence.host":
        return ("unproven",)
    if step.get("do") == "manual":
        return ("refused",)
    if is_look(step):
        return ("look",)
    return ("before", "after", *(("refused",) if {"approve", "caution"} & step.keys() else ()))


def is_look(step: Node) -> bool:
    """Whether it only reads."""
    kind = step.get("do", "shell")
    if kind in _LOOKS or step.get("effect") == "read":
        return True
    return "effect" not in step and registry()[kind].EFFECT is Effect.READ


def broken(book: Node, wanted: Broken, before: Mapping[str, Node]) -> Node:
    """A copy in which exactly this step fails, in this way.

    Args:
        book: the runbook as read.
        wanted: which step, and how.
        before: for each kind, what is changed in a step of it so that it ends badly without effect.
    """
    copy = deepcopy(book)
    for phase in copy["phases"]:
        phase["on_failure"] = "rollback"
    for path, step, _ in walk(copy):
        step.pop("on_failure", None)
        if path == wanted.path:
            _break(step, wanted.way, before)
        elif "do" in step and step["do"] == "fence.host" and wanted.path.startswith(f"{path}/methods/"):
            _break(step["with"]["methods"][int(wanted.path.rpartition("/")[2])], wanted.way, before)
    return copy


def _break(step: Node, way: str, before: Mapping[str, Node]) -> None:
    for key in ("observe", "tolerate", "retry"):
        step.pop(key, None)
    if "until" in step:
        step["until"] = SOON
    match way:
        case "look" if step.get("do") in _WITHOUT:
            step["with"] = {**step["with"], **_WITHOUT[step["do"]]} if step["do"] == "set" else _WITHOUT[step["do"]]
        case "look" | "after":
            known = step.get("expect", [])
            step["expect"] = [*([known] if isinstance(known, str) else known), NEVER]
        case "unproven":
            for one in step["with"]["proof"]:
                for look in one.get("any", [one]):
                    look["expect"] = NEVER
        case "before":
            _change(step, before["run" if "run" in step else step["do"]])
        case _:
            pass  # a person says no: nothing in the runbook is changed


def _change(step: Node, change: Node) -> None:
    for key, value in change.items():
        if value is None:
            step.pop(key, None)
        elif key == "with" and isinstance(step.get("with"), dict):
            step["with"].update(value)
        else:
            step[key] = value


def written(book: Node) -> str:
    """A runbook as text."""
    return yaml.safe_dump(book, sort_keys=False, width=10_000, allow_unicode=True)


def read(text: str) -> Node:
    """A runbook as written."""
    found = _keys(yaml.safe_load(text))
    assert isinstance(found, dict)
    return found


def _keys(node: Any) -> Any:  # noqa: ANN401 - YAML
    """YAML 1.1, which PyYAML speaks, takes the key `on` for a yes."""
    if isinstance(node, dict):
        return {"on" if key is True else key: _keys(value) for key, value in node.items()}
    return [_keys(one) for one in node] if isinstance(node, list) else node


def right_exit(state: RunState) -> int:
    """What the specification says of a run that was taken back.

    Nothing began: 4. The point of no return came last, so that nothing was taken back: 7. A fence stands that was set
    up on this side of it: 9. Else 8.
    """
    began = [
        (unit.started_seq, path, unit.started.no_return)
        for path, step in state.steps.items() for unit in step.effects
        if unit.started is not None and unit.started.role not in {ev.Role.UNDO, ev.Role.RESTORE}
    ]  # fmt: skip
    if not state.intents:
        return 4
    if max(began, default=(-1, "", False))[2]:
        return 7
    return 9 if state.fenced and not any(no_return for _, _, no_return in began) else 8
