"""Whether an answer can count, judged when it is said and by what judges it later: nobody should wait to learn it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.cli.words import stands
from drctl.errors import DrctlError, UsageError

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder
    from drctl.core import events as ev
    from drctl.core.fold import QuestionState, RunState
    from drctl.core.inventory import Inventory
    from drctl.engine.answers import Given, Judgement
    from drctl.engine.context import Context


def refuse_unfit(folder: RunFolder, state: RunState, question: QuestionState, said: Given, typed: str) -> None:
    """Refuse an answer that the run would refuse whenever it takes it up; `typed` is the command without its options.

    What depends on the time at which it is taken up, and on who carries the run out then, is left to the run.

    Raises:
        UsageError: who says it may not, or a value of it cannot be.
    """
    from drctl.cli.wiring import documents_of_run

    try:
        context = documents_of_run(folder, state)
    except (DrctlError, LookupError, ValueError):
        return  # documents that this version does not take: `resume` says what to do
    found = _weighed(context, question, said)
    if found.refusal:
        raise UsageError(
            f"{said.choice} of {question.asked.path} cannot count: {found.refusal}.",
            meaning=f"Nothing was said to the run; {stands(folder, state)}.",
            next=_next(folder, context.inventory, question.asked, said, found, typed),
        )  # fmt: skip


def _weighed(context: Context, question: QuestionState, said: Given) -> Judgement:
    from drctl.engine.answers import Judge
    from drctl.engine.dues import Dues
    from drctl.engine.rollback import address
    from drctl.engine.stops import Control
    from drctl.engine.verbs import Verbs

    verbs = Verbs(context.state, Control())
    verbs.back = lambda to: address(context, Dues(context), to)
    return Judge(context, verbs, lambda text: text).weigh(question, said)


def _next(
    folder: RunFolder, inventory: Inventory, asked: ev.Asked, said: Given, found: Judgement, typed: str
) -> str:  # fmt: skip
    if asked.by and not found.role:
        return _by_another(inventory, asked, said, typed)
    if said.values and asked.kind == "failure" and said.choice == "retry":
        return f"drctl retry {folder.id} {asked.path} --as {said.by} --set FIELD=VALUE"
    if said.values:
        return f"{typed} --as {said.by} --value NAME=VALUE"
    return f"drctl show {folder.id} --question"


def _by_another(inventory: Inventory, asked: ev.Asked, said: Given, typed: str) -> str:
    from drctl.loading.suggest import nearest

    may = sorted({person for role in asked.by for person in inventory.roles.get(role, ())})
    return f"{typed} --as {nearest(said.by, may) or '|'.join(may)}"
