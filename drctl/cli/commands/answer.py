"""`drctl answer` and its short names: one mechanism, a word left in the run's inbox."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from drctl.cli.finding import find_question
from drctl.cli.fitting import refuse_unfit
from drctl.cli.inputs import pair
from drctl.cli.runs import fold_of, login, open_state
from drctl.cli.words import Word, by, refuse_closed, stands
from drctl.cli.words import leave as leave_word
from drctl.core.nouns import replace
from drctl.engine.answers import EVIDENCE, NEEDS_REASON, YES, Given
from drctl.errors import UsageError
from drctl.reporting.texts import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.core import events as ev
    from drctl.core.records import JSON

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


STEP = [
    click.argument("run_id", metavar="RUN"),
    click.argument("step", metavar="STEP", default=""),
]
"""What the short names take: a step, or nothing where only one question waits."""


def _taking(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command arguments and options, in the order of its help."""

    def given(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return given


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("question", metavar="QUESTION")
@click.argument("choice", metavar="CHOICE")
@click.option("--value", "values", multiple=True, metavar="NAME=VALUE", help="A typed answer of a manual step.")
@click.option("--target", default="", help="The name that a dangerous choice asks for.")
@_taking(*OPTIONS)
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
    said = Given(question=question, choice=choice, by=person, reason=reason, target=target, values=pairs)
    return leave(settings, run_id, said)


@click.command()
@_taking(*STEP)
@click.option("--target", default="", help="The name of what is to be changed, when the request asks for it.")
@_taking(*OPTIONS)
@click.pass_obj
def approve(settings: Settings, run_id: str, step: str, target: str, person: str, reason: str) -> int:
    """Say yes to a request for approval."""
    return leave(settings, run_id, Given(question=step, choice="approve", by=person, reason=reason, target=target))


@click.command()
@_taking(*STEP, *OPTIONS)
@click.pass_obj
def reject(settings: Settings, run_id: str, step: str, person: str, reason: str) -> int:
    """Say no to a request for approval; one no is enough."""
    return leave(settings, run_id, Given(question=step, choice="reject", by=person, reason=reason))


@click.command()
@_taking(*STEP)
@click.option("--done", "choice", flag_value="done", help="The effect is there.")
@click.option("--not-done", "choice", flag_value="not_done", help="It is not, and nothing of it runs any more.")
@click.option("--look", "choice", flag_value="look", help="Let drctl look again.")
@_taking(*OPTIONS)
@click.pass_obj
def resolve(settings: Settings, run_id: str, step: str, choice: str | None, person: str, reason: str) -> int:
    """Say what became of a step in doubt, after looking at the host yourself."""
    if choice is None:
        raise UsageError(
            "What did you see?", next=f"drctl resolve {run_id} --done | --not-done | --look  --reason TEXT"
        )
    return leave(settings, run_id, Given(question=step, choice=choice, by=person, reason=reason))


@click.command()
@_taking(*STEP)
@click.option(
    "--set", "changes", multiple=True, metavar="[STEP:]FIELD=VALUE",
    help="Another value for a field of the step (or FIELD.KEY of a map), for this and all its later attempts.",
)  # fmt: skip
@_taking(*OPTIONS)
@click.pass_obj
def retry(settings: Settings, run_id: str, step: str, changes: tuple[str, ...], person: str, reason: str) -> int:
    """Have a failed step tried again, also with other values than the runbook has.

    A changed value is no expression; it is recorded as a deviation, and what people agreed to is asked again.
    """
    values = dict(pair(text, "--set") for text in changes)
    return leave(settings, run_id, Given(question=step, choice="retry", by=person, reason=reason, values=values))


@click.command()
@_taking(*STEP, *OPTIONS)
@click.pass_obj
def skip(settings: Settings, run_id: str, step: str, person: str, reason: str) -> int:
    """Leave a failed step out, with a reason; the run ends with exceptions. Says what loses its values by that."""
    return leave(settings, run_id, Given(question=step, choice="skip", by=person, reason=reason))


@click.command()
@_taking(*STEP)
@click.option(
    "--evidence", default="", metavar="TEXT|@FILE",
    help="What shows that it is done; a file is kept with the run, under its digest.",
)  # fmt: skip
@_taking(*OPTIONS)
@click.pass_obj
def done(settings: Settings, run_id: str, step: str, evidence: str, person: str, reason: str) -> int:
    """Attest that a failed step was done by hand, with a reason; the run ends with exceptions."""
    return leave(settings, run_id, Given(question=step, choice="done", by=person, reason=reason), evidence)


def leave(settings: Settings, run_id: str, said: Given, evidence: str = "") -> int:
    """Leave an answer in the inbox, and say what became of it; `said.question` may name the step too.

    Raises:
        UsageError: nothing of that name waits for an answer, or the same was said already.
        RefusedError: the run refused it.
    """
    folder = open_state(settings.state_dir).find(run_id)
    state = fold_of(folder)
    refuse_closed(folder, state)
    question = find_question(folder, state, said.question)
    asked = question.asked
    if said.choice not in asked.choices:
        raise UsageError(
            f"{said.choice!r} does not answer {asked.id} ({asked.kind} of {asked.path}).",
            meaning=f"Nothing was said to the run; {stands(folder, state)}.",
            next=f"drctl answer {folder.id} {asked.id} {'|'.join(asked.choices)}",
        )
    typed = f"drctl answer {folder.id} {asked.id} {said.choice}"
    told = replace(said, values={**said.values, **({EVIDENCE: evidence} if evidence else {})})
    _complete(typed + (f" --as {said.by}" if said.by else ""), asked, told)
    _refuse_same(folder, asked, said.choice, said.by or login())
    refuse_unfit(folder, state, question, replace(told, by=said.by or login()), typed)
    given = dict(said.values)
    if evidence:
        given[EVIDENCE] = _evidence(folder, evidence)
    content: dict[str, JSON] = {
        **by(said.by), "question": asked.id, "choice": said.choice, "reason": said.reason, "target": said.target,
        "values": {**given},
    }  # fmt: skip
    _consequence(asked, said.choice)
    return leave_word(settings, folder, Word(kind="answer", said=f"{said.choice} for {asked.path}", content=content))


def _consequence(asked: ev.Asked, choice: str) -> None:
    """Say what the choice means, as the question has it."""
    for line in asked.text.split("\n") if asked.kind == "failure" else ():
        if line.startswith(f"{choice} = "):
            click.echo(clean(line), err=True)


def _refuse_same(folder: RunFolder, asked: ev.Asked, choice: str, who: str) -> None:
    """Refuse a word that waits already, said by the same person: a second one would change nothing.

    Raises:
        UsageError: it does.
    """
    if folder.holder() is not None:
        return
    for _, word in folder.inbox.take():
        if word.get("question") == asked.id and word.get("by") == who and word.get("choice") == choice:
            raise UsageError(
                f"{who} has said {choice} to {asked.id} ({asked.path}) already; it waits to be taken up.",
                meaning="Nothing more was said to the run.", next=f"drctl resume {folder.id}",
            )  # fmt: skip


def _evidence(folder: RunFolder, text: str) -> str:
    """What is recorded of a piece of evidence; a file's content is kept with the outputs of the run.

    Raises:
        UsageError: the file cannot be read.
    """
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The evidence cannot be read: {getattr(error, 'strerror', '') or error}.", where=text[1:],
            meaning="Nothing was said to the run.", next="--evidence @FILE, or --evidence TEXT",
        ) from error  # fmt: skip
    return f"{path.name}, {len(data)} bytes, kept as out/{folder.outputs.put(data)}"


def _complete(typed: str, asked: ev.Asked, said: Given) -> None:
    """Refuse at once what the run would refuse later: a person who has typed must not wait to learn that.

    Raises:
        UsageError: the name of the target, the reason or a value is missing, or a value is not asked for.
    """
    if asked.target and said.choice in YES and said.target != asked.target:
        raise UsageError(
            f"{said.choice} of {asked.path} needs the name of what is changed: {asked.target}.",
            meaning="Nothing was said to the run.", next=f"{typed} --target {asked.target}",
        )  # fmt: skip
    if said.choice in NEEDS_REASON and asked.kind in {"failure", "doubt", "when"} and not said.reason.strip():
        raise UsageError(
            f"{said.choice} of {asked.path} needs a reason.", meaning="Nothing was said to the run.",
            next=f"{typed} --reason TEXT",
        )  # fmt: skip
    if asked.kind == "manual" and said.choice == "done":
        _complete_values(typed, asked, said)


def _complete_values(typed: str, asked: ev.Asked, said: Given) -> None:
    names = [str(spec["name"]) for spec in asked.fields]
    missing = [
        str(spec["name"]) for spec in asked.fields
        if spec["name"] not in said.values and not spec.get("has_default") and not spec.get("optional")
    ]  # fmt: skip
    unknown = [f"{name[:60]!r} is not asked for" for name in said.values if name not in names]
    if missing or unknown:
        wrong = "; ".join([*unknown, *(f"{name} is missing" for name in missing)])
        given = [shlex.quote(f"{name}={text}") for name, text in said.values.items() if name in names]
        values = [f" --value {one}" for one in (*given, *(f"{name}=VALUE" for name in missing))]
        raise UsageError(
            f"The answer to {asked.path} is not complete: {wrong}.", meaning="Nothing was said to the run.",
            next=typed + "".join(values),
        )  # fmt: skip
