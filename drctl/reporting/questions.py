"""A question to people as a screen: what is asked, the facts, who may answer, and the exact words to type.

Used by `status`, `summary` and the console. The terminal itself belongs to `cli.console`.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from drctl.core.approvals import agreement
from drctl.core.rounds import step_name
from drctl.core.values import Time
from drctl.reporting.facts import changed, question_word, step_facts, taken_back
from drctl.reporting.kept import beginning_of
from drctl.reporting.texts import clean, clock, cut, human, last_name, moment, one_line, shown, wrap

if TYPE_CHECKING:
    from drctl.core import events as ev
    from drctl.core.fold import RunState

LABEL = 12
SIGNS = {"failure": "✖", "doubt": "?"}


def label(name: str, text: str, *, lines: bool = False) -> list[str]:
    """`  Name      text`, wrapped; the text is cleaned here."""
    return wrap(clean(text, lines=lines) if lines else one_line(text), first=f"  {name:<{LABEL - 2}}", rest=" " * LABEL)


def question_text(run_id: str, asked: ev.Asked, state: RunState | None = None) -> str:
    """Screens 3 and 4: facts, who may answer, how to.

    Args:
        run_id: the run's short id.
        asked: the question.
        state: the fold, for what is known about the step and earlier answers.
    """
    head = f"{SIGNS.get(asked.kind, '⏸')} {question_word(asked.kind)}   run {run_id}   {asked.id}   {asked.path}"
    lines = [clean(head)]
    if asked.until_at:
        lines.append(f"  {'Answer by':<{LABEL - 2}}{moment(Time(asked.until_at))}" + _window(asked, state))
    lines += label("Question", asked.text, lines=True)
    if state is not None:
        lines += _step_lines(asked, state)
    for name, text in asked.show:
        lines += label("Fact", f"{name} = {text}")
    for field in asked.fields:
        lines += label("Value", _field(field))
    lines += label("Who may", _who(asked))
    if state is not None:
        lines += _answers(asked, state)
    lines += [f"  {'Elsewhere':<{LABEL - 2}}{commands[0]}" if not i else f"{'':<{LABEL}}{commands[0]}"
              for i, commands in enumerate([c] for c in answer_commands(run_id, asked))]  # fmt: skip
    return "\n".join(lines)


def _window(asked: ev.Asked, state: RunState | None) -> str:
    question = state.questions.get(asked.id) if state is not None else None
    if question is None:
        return ""
    return f"   asked {clock(question.asked_at)}, open for {human(asked.until_at - question.asked_at.micros)}"


def _who(asked: ev.Asked) -> str:
    other = ", and not who runs this" if asked.kind == "approval" else ""
    return agreement(asked.by, asked.quorum) + other


def _step_lines(asked: ev.Asked, state: RunState) -> list[str]:
    """Screen 4: what was done, how it ended, and what stands now."""
    if asked.kind not in {"failure", "doubt"}:
        return []
    facts = step_facts(state.step(asked.path))
    unit = next((u for u in reversed(state.step(asked.path).units) if u.started is not None), None)
    lines = []
    if unit is not None and unit.started is not None:
        lines += label(
            "Host", f"{unit.host or 'local'}   attempt {unit.attempt}   {unit.started.kind}, {unit.started.effect}"
        )
        lines += command_lines("Command", unit.started.text)
        lines += [text for ran in unit.commands[-1:] for text in _ran(ran)]
    lines += label("Ended", f"{facts.word}: {facts.because}" if facts.because else facts.word)
    return lines + standing(state)


def _ran(ran: ev.CommandRan) -> list[str]:
    end = f"exit {ran.exit}" if ran.exit is not None else ran.state or "end unknown"
    took = f" after {human(ran.elapsed_us)}" if ran.elapsed_us else ""
    kept = "".join(
        f"   {name} in out/{digest[:12]}…{f' ({rest})' if (rest := beginning_of(ran, name)) else ''}"
        for name, digest in ran.out.items()
    )
    return label("Came back", f"{end}{took}{kept}")


def command_lines(name: str, text: str) -> list[str]:
    """A command exactly as sent, never broken, so that it can be compared and copied."""
    rows = clean(text, lines=True).split("\n") if text else []
    return [f"  {name if not i else '':<{LABEL - 2}}{row}" for i, row in enumerate(rows)]


def standing(state: RunState) -> list[str]:
    """What state things are in: fenced hosts, what was changed, what nobody knows."""
    lines = []
    every = [f for f in changed(state) if f.outcome == "ok"]
    back = [f for f in every if taken_back(state, f.path)]
    done = [f for f in every if f not in back]
    doubt = [step.path for step in state.in_doubt]
    if state.fenced:
        lines += label("Fenced", ", ".join(state.fenced))
    if done:
        lines += label("Changed", ", ".join(f"{step_name(f.path)} on {f.host or 'local'}" for f in done))
    elif not doubt and not back:
        lines += label(
            "Changed", "nothing so far" if not state.intents else "nothing that is known to have taken effect"
        )
    if back:
        lines += label("Undone", ", ".join(f"{step_name(f.path)} on {f.host or 'local'}" for f in back))
    if doubt:
        lines += label("In doubt", ", ".join(doubt))
    return lines


def _answers(asked: ev.Asked, state: RunState) -> list[str]:
    """Answers so far, above all why one did not count."""
    question = state.questions.get(asked.id)
    lines = []
    for answer in question.answers if question is not None else []:
        who = f"{answer.by}{' (simulated)' if answer.simulated else ''}"
        said = f"{answer.choice} by {who}"
        lines += label("So far", said if answer.accepted else f"{said} did not count: {answer.because}")
    return lines


def _field(field: ev.JsonMap) -> str:
    of = field.get("of") or ()
    notes = [str(field.get("type", "text"))] + (["one of " + ", ".join(map(str, of))] if of else [])
    notes += ["may be left out"] if field.get("optional") else []
    notes += [f"else {shown(field.get('default'))}"] if field.get("has_default") else []
    return f"{field.get('name')} ({'; '.join(notes)})  {field.get('ask') or ''}".rstrip()


def answer_commands(run_id: str, asked: ev.Asked) -> list[str]:  # noqa: C901 - one case for each choice
    """What to type, on any machine that sees the state folder; one command for each choice."""
    step = shlex.quote(last_name(asked.path))
    by = " --as NAME" if asked.by else ""
    target = f" --target {shlex.quote(clean(asked.target))}" if asked.target else ""
    why = " --reason TEXT"
    commands = []
    for choice in asked.choices:
        generic = f"drctl answer {run_id} {asked.id} {shlex.quote(clean(choice))}"
        match asked.kind, choice:
            case "approval", "approve":
                commands.append(f"drctl approve {run_id} {step}{by}{target}")
            case "approval", "reject":
                commands.append(f"drctl reject {run_id} {step}{by}{why}")
            case "caution", "confirm":
                commands.append(generic + target)
            case "manual", "done":
                values = "".join(f" --value {f.get('name')}=VALUE" for f in asked.fields)
                commands.append(generic + values + by)
            case "failure", "retry":
                commands.append(f"drctl retry {run_id} {step}")
            case "failure", "rollback":
                commands.append(f"drctl rollback {run_id}{why}   (--to STEP stays open before STEP)")
            case "failure", "skip" | "done":
                commands.append(f"drctl {choice} {run_id} {step}{why}")
            case "doubt", "done" | "not_done" | "look":
                reason = "" if choice == "look" else why
                commands.append(f"drctl resolve {run_id} {step} --{choice.replace('_', '-')}{reason}")
            case _, "abort":
                commands.append(f"drctl abort {run_id}{why}")
            case "when", _:
                commands.append(generic + why)
            case _:
                commands.append(generic + by + (why if choice in {"reject", "not_done"} else ""))
    return commands


def short(asked: ev.Asked) -> str:
    """The question's first line, for lists."""
    return cut(one_line(asked.text.split("\n", 1)[0]), 60)
