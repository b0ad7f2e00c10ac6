"""`drctl answer` and its short names: one mechanism, a word left in the run's inbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

from drctl.cli.inputs import pair
from drctl.cli.runs import fold_of, kept, login, now, open_state
from drctl.engine.questions import NEEDS_REASON
from drctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.core import events as ev
    from drctl.core.fold import QuestionState, RunState

_ROUNDS = re.compile(r"/(?:\d+|@[^/]+)(?=/|$)")
"""The rounds in an address: iterations, batches, hosts."""
Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")

OPTIONS = [
    click.option(
        "--as",
        "person",
        default="",
        metavar="PERSON",
        help="Who answers, as the inventory names them (else the login).",
    ),
    click.option("--reason", default="", help="Why; it stands in the record."),
]


def _with_options(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("question", metavar="QUESTION")
@click.argument("choice", metavar="CHOICE")
@click.option("--value", "values", multiple=True, metavar="NAME=VALUE", help="A typed answer of a manual step.")
@click.option("--target", default="", help="The name that a dangerous choice asks for.")
@_with_options
@click.pass_obj
def answer(
    settings: Settings,
    run_id: str,
    question: str,
    choice: str,
    values: tuple[str, ...],
    target: str,
    person: str,
    reason: str,
) -> int:
    """Answer a question of a run by its id (q3) or its step.

    Exit status: 0 kept; whether it counts is judged by the run and stands in its record.
    """
    pairs = dict(pair(text, "--value") for text in values)
    return leave(settings, run_id, question, choice, person=person, reason=reason, target=target, values=pairs)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", metavar="STEP", default="")
@click.option("--target", default="", help="The name of what is to be changed, when the request asks for it.")
@_with_options
@click.pass_obj
def approve(settings: Settings, run_id: str, step: str, target: str, person: str, reason: str) -> int:
    """Say yes to a request for approval."""
    return leave(settings, run_id, step, "approve", person=person, reason=reason, target=target)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", metavar="STEP", default="")
@_with_options
@click.pass_obj
def reject(settings: Settings, run_id: str, step: str, person: str, reason: str) -> int:
    """Say no to a request for approval; one no is enough."""
    return leave(settings, run_id, step, "reject", person=person, reason=reason)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", metavar="STEP", default="")
@click.option("--done", "choice", flag_value="done", help="The effect is there.")
@click.option("--not-done", "choice", flag_value="not_done", help="It is not, and nothing of it runs any more.")
@click.option("--look", "choice", flag_value="look", help="Let drctl look again.")
@_with_options
@click.pass_obj
def resolve(settings: Settings, run_id: str, step: str, choice: str | None, person: str, reason: str) -> int:
    """Say what became of a step in doubt, after looking at the host yourself."""
    if choice is None:
        raise UsageError(
            "What did you see?", next=f"drctl resolve {run_id} --done | --not-done | --look  --reason TEXT"
        )
    return leave(settings, run_id, step, choice, person=person, reason=reason)


def _short(name: str, choice: str, text: str) -> click.Command:
    @click.command(name=name, help=text)
    @click.argument("run_id", metavar="RUN")
    @click.argument("step", metavar="STEP", default="")
    @_with_options
    @click.pass_obj
    def command(settings: Settings, run_id: str, step: str, person: str, reason: str) -> int:
        return leave(settings, run_id, step, choice, person=person, reason=reason)

    return command


retry = _short("retry", "retry", "Have a failed step tried again.")
skip = _short("skip", "skip", "Leave a failed step out, with a reason; the run ends with exceptions.")
done = _short(
    "done", "done", "Attest that a failed step was done by hand, with a reason; the run ends with exceptions."
)


def leave(
    settings: Settings, run_id: str, question: str, choice: str, *, person: str, reason: str, target: str = "",
    values: dict[str, str] | None = None,
) -> int:  # fmt: skip
    """Leave an answer in the inbox, and say what will become of it.

    Raises:
        UsageError: nothing of that name waits for an answer.
    """
    folder = open_state(settings.state_dir).find(run_id)
    asked = find_question(folder, fold_of(folder), question)
    if choice not in asked.asked.choices:
        raise UsageError(
            f"{choice!r} does not answer {asked.asked.id} ({asked.asked.kind} of {asked.asked.path}).",
            meaning="Nothing was said to the run.",
            next=f"drctl answer {folder.id} {asked.asked.id} {'|'.join(asked.asked.choices)}",
        )
    typed = f"drctl answer {folder.id} {asked.asked.id} {choice}" + (f" --as {person}" if person else "")
    _complete(typed, asked.asked, choice, reason=reason, target=target)
    folder.inbox.put(
        "answer",
        {
            "question": asked.asked.id, "choice": choice, "by": person or login(), "login": login(), "reason": reason,
            "target": target, "values": dict(values or {}), "given_at": now(),
        },
    )  # fmt: skip
    taken_up = "the run takes it up now" if folder.holder() is not None else f"taken up by `drctl resume {folder.id}`"
    kept(settings, folder, f"{choice} for {asked.asked.path}", taken_up, question=asked.asked.id, choice=choice)
    return 0


def _complete(typed: str, asked: ev.Asked, choice: str, *, reason: str, target: str) -> None:
    """Refuse at once what the run would refuse later: a person who has typed must not wait to learn that.

    Raises:
        UsageError: the name of the target, or the reason, is missing.
    """
    if asked.target and choice in {"approve", "confirm"} and target != asked.target:
        raise UsageError(
            f"{choice} of {asked.path} needs the name of what is changed: {asked.target}.",
            meaning="Nothing was said to the run.", next=f"{typed} --target {asked.target}",
        )  # fmt: skip
    if choice in NEEDS_REASON and asked.kind in {"failure", "doubt", "when"} and not reason.strip():
        raise UsageError(
            f"{choice} of {asked.path} needs a reason.", meaning="Nothing was said to the run.",
            next=f"{typed} --reason TEXT",
        )  # fmt: skip


def _of_step(waiting: Sequence[QuestionState], name: str) -> list[QuestionState]:
    """Questions about a step, named in full, by the end of its address, or without its rounds; the closest counts.

    `id@host` and `id[3]` are `id/@host` and `id/3`.
    """
    wanted = re.sub(r"(?<!/)@", "/@", re.sub(r"\[(\d+)\]", r"/\1", name))
    ways: tuple[Callable[[str], bool], ...] = (
        lambda path: path == wanted,
        lambda path: path.endswith(f"/{wanted}"),
        lambda path: f"/{_ROUNDS.sub('', path)}".endswith(f"/{wanted}"),
    )
    return next((found for way in ways if (found := [q for q in waiting if way(q.asked.path)])), [])


def find_question(folder: RunFolder, state: RunState, name: str) -> QuestionState:
    """The question meant: by id, by step, or the only one that waits.

    Raises:
        UsageError: none or several.
    """
    waiting = state.open_questions
    matches = [q for q in waiting if not name or name == q.asked.id]
    matches = matches or _of_step(waiting, name)
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(f"{q.asked.id} ({q.asked.path})" for q in waiting) or "nothing"
    problem = "Several questions wait" if matches else f"No question {name!r} waits" if name else "No question waits"
    raise UsageError(
        f"{problem} in run {folder.id}; open: {listed}.",
        meaning="Nothing was said to the run.",
        next=f"drctl show {folder.id}",
    )
