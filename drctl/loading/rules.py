"""What may be combined on a step: rules that follow from its effect, its kind and its role.

The tables say which keys stand where; what depends on whether the step looks or acts is judged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.kind import ActKind, EngineKind, Kind, LookKind
from drctl.core.model import Block, Step, WayKind, members, walk
from drctl.core.outcomes import Effect
from drctl.core.places import On, PlaceKind
from drctl.core.values import Duration
from drctl.core.written import Formula
from drctl.loading.places import Role
from drctl.loading.selections import exact

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.core.model import Action, Ways
    from drctl.loading.records import Fields

_ACTS_ONLY: Final = (
    "unless", "verify", "retry", "caution", "approve", "recheck", "undo", "restore", "point_of_no_return", "touches",
)  # fmt: skip
_DEFAULTS: Final = {Role.LOOK: Effect.READ, Role.WAY: Effect.IDEMPOTENT, Role.METHOD: Effect.IDEMPOTENT}
_HARD: Final = frozenset({Effect.ONCE, Effect.IRREVERSIBLE})


def effect_of(fields: Fields, kind: type[Kind], role: Role) -> Effect:
    """The effect of a step: fixed by its kind, or stated by its author."""
    stated = fields.member("effect", Effect, Effect.READ) if fields.get("effect", str) else None
    if kind.EFFECT is not None:
        if stated not in {None, kind.EFFECT}:
            summary = f"{kind.NAME} has the effect '{kind.EFFECT.value}' by its kind"
            fields.error("E211", "effect", summary, "leave `effect` out")
        effect = kind.EFFECT
    elif stated is None and role is Role.STEP:
        if "effect" not in fields:
            hint = "say what carrying it out does: effect: read, idempotent, once or irreversible"
            fields.error("E211", "do" if "do" in fields else "run", "'effect' is missing", hint)
        return Effect.READ
    else:
        effect = stated or _DEFAULTS[role]
    if not issubclass(kind, EngineKind) and not issubclass(kind, LookKind if effect is Effect.READ else ActKind):
        verb = "look" if effect is Effect.READ else "act"
        fields.error("E211", "effect", f"{kind.NAME} cannot {verb}", f"its effect is not '{effect.value}'")
    if role is Role.LOOK and effect is not Effect.READ:
        fields.error("E211", "effect" if "effect" in fields else "do", "only looks can stand here", "effect: read")
    return effect


def check_keys(fields: Fields, effect: Effect, on: On | None) -> None:
    """Refuse keys that go with the other half: looks wait, acts retry."""
    if "until" in fields and "retry" in fields:
        hint = "looks wait, acts retry; to retry an act and then wait, give `verify` the `until`"
        fields.error("E210", "retry", "'until' and 'retry' exclude each other", hint)
        return
    if effect is Effect.READ:
        for key in _ACTS_ONLY:
            if key in fields:
                hint = "a look is repeated with `until`" if key == "retry" else "it belongs to acts; this is a look"
                fields.error("E209", key, f"'{key}' cannot stand", hint)
        return
    if "observe" in fields:
        fields.error("E209", "observe", "'observe' cannot stand", "this is an act: say `tolerate`")
    if "until" in fields:
        fields.error("E209", "until", "'until' cannot stand", "this is an act: acts `retry`; its `verify` may wait")
    if "touches" in fields and (on is None or on.kind is not PlaceKind.LOCAL):
        fields.error("E210", "touches", "'touches' goes with on: local", "leave it out")


def check_judged(fields: Fields, kind: type[Kind], effect: Effect) -> None:
    """A look whose kind has no criterion must be told what to expect."""
    if effect is not Effect.READ or kind.CRITERIA or issubclass(kind, EngineKind):
        return
    if not fields.many("expect", Formula) and "expect" not in fields and "observe" not in fields:
        hint = f"{kind.NAME} has no criterion of its own: give expect: EXPR, or observe: true on a step of its own"
        fields.error("E215", "do", "nothing says when this look is ok", hint)


def check_branches(fields: Fields, branches: tuple[Step, ...], inventory: Inventory | None) -> None:
    """Refuse two branches that act on one host: their order would be an accident, not the content of a runbook."""
    taken: dict[str, str] = {}
    for branch in branches:
        for host, step in _acted_on(branch, inventory).items():
            first = taken.setdefault(host, branch.id)
            if first != branch.id:
                summary = f"the branches '{first}' and '{branch.id}' both act on {host}{fields.reading.of}"
                fields.reading.problems.error("E216", step.where, summary, "put them one after the other")


def _acted_on(branch: Step, inventory: Inventory | None) -> dict[str, Step]:
    """The hosts a branch acts on, as far as they are known, each with the first step that does."""
    found: dict[str, Step] = {}
    for step in walk(branch):
        if step.on is None or isinstance(step.body, Block) or not step.acts:
            continue
        for host in sorted(exact(step.on, inventory)):
            found.setdefault(host, step)
    return found


def check_whole(fields: Fields, step: Step) -> None:
    """What applies to a block or include as a whole, and goes with looks or with acts only."""
    acts = any(inner.acts for inner in members(step))
    if "until" in fields and "retry" in fields:
        fields.error("E210", "retry", "'until' and 'retry' exclude each other", "looks wait, acts retry")
    elif acts and "until" in fields:
        fields.error("E209", "until", "'until' cannot stand", "there is an act inside: acts `retry`")
    for key in ("retry", "caution", "approve", "undo", "restore"):
        if key in fields and not acts:
            hint = "looks are repeated with `until`" if key == "retry" else "it goes with acts; inside are looks only"
            fields.error("E209", key, f"'{key}' cannot stand", hint)
    for key in ("undo", "restore"):
        way = step.ways.undo if key == "undo" else step.ways.restore
        stated = step.ways.undo is not None and step.ways.undo.kind is WayKind.STEPS
        if way is not None and way.kind is WayKind.AUTO and not (key == "restore" and stated):
            fields.error("E210", key, "'auto' cannot stand: only a step kind has an inverse", "give steps")
    if (
        step.on is not None
        and step.on.selection is not None
        and step.on.selection.all_or_none
        and not _taken_back(step)
    ):
        _refuse_all_or_none(fields, step)


def _taken_back(step: Step) -> bool:
    """Whether there is something that takes the step back, or each act inside it."""
    if any(way is not None and way.kind is not WayKind.NONE for way in (step.ways.undo, step.ways.restore)):
        return True
    inner = [one for one in members(step) if one.acts]
    return bool(inner) and all(_taken_back(one) for one in inner)


def check_all_or_none(fields: Fields, kind: type[Kind], step: Step) -> None:
    """Taking back the hosts that started needs a way back."""
    if not _taken_back(step) and not (step.ways.undo is None and invertible(kind)):
        _refuse_all_or_none(fields, step)


def _refuse_all_or_none(fields: Fields, step: Step) -> None:
    place = step.on.where if step.on is not None else step.where
    summary = f"'all_or_none' needs an 'undo' or a 'restore'{fields.reading.of}"
    fields.reading.problems.error("E210", place, summary, "say how the hosts that started are taken back")


def check_first_ok(fields: Fields, step: Step) -> None:
    """Members are tried until one is good: what must not happen twice has no place there."""
    if step.loop is None or not step.loop.first_ok:
        return
    for inner in walk(step):
        if inner.effect in _HARD:
            summary = f"an act of effect '{inner.effect.value}' cannot stand inside first_ok{fields.reading.of}"
            fields.reading.problems.error("E217", inner.where, summary, "only read and idempotent steps can")


def invertible(kind: type[Kind]) -> bool:
    """Whether the kind has an inverse of its own."""
    return issubclass(kind, ActKind) and kind.inverse is not ActKind.inverse and not kind.NO_INVERSE


def check_limit(fields: Fields, kind: type[Kind], body: Action) -> None:
    """Refuse a limit that ends an act before it has waited as long as it is told to."""
    waits = kind.WAITS if issubclass(kind, ActKind) else ""
    length, limit = body.fields.get(waits), fields.get("timeout", Duration)
    if limit is not None and isinstance(length, Duration) and limit < length:
        hint = f"give at least {length.human()} and time to begin, or leave it out"
        summary = f"'timeout' {limit.human()} cannot stand: it ends the act before its {waits} of {length.human()}"
        fields.error("E210", "timeout", summary, hint)


def check_proof(fields: Fields, kind: type[Kind], effect: Effect, role: Role, ways: Ways) -> None:
    """Require `verify` and `undo` of acts that must not happen twice or cannot be taken back."""
    if effect in _HARD and role is not Role.LOOK:
        if kind.EFFECT is None and not (issubclass(kind, ActKind) and kind.VERIFIES) and "verify" not in fields:
            hint = "give verify: {run: ...}, a look that can tell whether it is done"
            fields.error("E212", "effect", f"an act of effect '{effect.value}' needs 'verify'", hint)
        if role is Role.STEP and kind.EFFECT is None and "undo" not in fields:
            hint = "give undo: {run: ...}, or undo: {none: WHY}"
            fields.error("E212", "effect", f"an act of effect '{effect.value}' needs 'undo'", hint)
    has_inverse = invertible(kind)
    if ways.undo is not None and ways.undo.kind is WayKind.AUTO and not has_inverse:
        why = kind.NO_INVERSE if issubclass(kind, ActKind) and kind.NO_INVERSE else f"{kind.NAME} has no inverse"
        fields.error("E210", "undo", f"'auto' cannot stand: {why}", "give steps, or {none: WHY}")
    if ways.restore is not None and ways.restore.kind is WayKind.AUTO:
        stated = ways.undo is not None and ways.undo.kind is WayKind.STEPS
        if (
            not stated
            and not (has_inverse and ways.undo is None)
            and not (ways.undo and ways.undo.kind is WayKind.AUTO)
        ):
            fields.error("E210", "restore", "'auto' is this step's undo, and there is none", "give steps")
