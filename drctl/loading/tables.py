"""The tables of a runbook: which keys stand where, with their shapes. Decoder and JSON Schema both read these.

What a key may be combined with depends on the effect of a step and is judged in `drctl.loading.rules`.
"""

from __future__ import annotations

from typing import Final

from drctl.core.model import Ask, Effect, InputType, OnFailure
from drctl.core.values import Duration
from drctl.loading.records import ByForm, Key, ListOf, MapOf, Raw, Record
from drctl.loading.shapes import (
    NAME,
    Bool,
    Choice,
    Int,
    Name,
    Number,
    Quantity,
    Shape,
    Word,
    words_of,
)
from drctl.loading.texts import FormulaText, PeopleText, ScriptText, TemplateText

MOMENT: Final = Duration(1000)
LENGTH: Final = Quantity(least=MOMENT)

PERSON_ROLE: Final = Word("a role of people", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ROLES: Final = ListOf(PERSON_ROLE, or_one=True)
EXPRESSIONS: Final = ListOf(FormulaText(), or_one=True)

FOREACH: Final = "write the steps out, one for each member"
GROUPS: Final = "write one step for each host"
ON_BLOCK: Final = "put it on the steps inside"

# ---------------------------------------------------------------------------------------------------------- document

OBJECTIVES: Final = Record(
    {
        "rto": Key(LENGTH, "Recovery time objective."),
        "rpo": Key(Quantity(least=Duration(0)), "Recovery point objective."),
    }
)

INPUT: Final = Record(
    {
        "type": Key(
            Choice(
                tuple(one.value for one in InputType if one is not InputType.LIST), later=("list", "decimal", "size")
            ),
            "The type of the value.",
            required=True,
        ),
        "ask": Key(PeopleText(), "The question put to a person."),
        "default": Key(Raw("literal"), "The value when none is given; without one the input is required."),
        "of": Key(Raw("input_of"), "The choices; for a host `{group: NAME}`."),
        "pattern": Key(Word("a regular expression"), "RE2 pattern the whole text must match."),
        "min": Key(Raw("literal"), "Least value of an int, duration or time."),
        "max": Key(Raw("literal"), "Largest value of an int, duration or time."),
        "from": Key(Raw("secret"), "Where a secret comes from: env:NAME or file:PATH."),
        "optional": Key(Bool(), "May be answered 'not known', and then has no value."),
    }
)

VARIABLE: Final = Name("a variable")

RUNBOOK: Final = Record(
    {
        "runbook": Key(
            Word("a name such as invoice-outage", f"(?=.{{1,60}}$){NAME}", code="E206"),
            "Name of the runbook.",
            required=True,
        ),
        "title": Key(PeopleText(), "Title for people."),
        "description": Key(PeopleText(), "What it is for, and when."),
        "objectives": Key(OBJECTIVES, "What is promised."),
        "inputs": Key(
            MapOf(INPUT, Name("an input"), least=0, label="input"), "What is asked for before the run starts."
        ),
        "vars": Key(Raw("vars"), "Constants; texts may hold ${{ }} over inputs, hosts and other vars."),
        "locks": Key(
            ListOf(Word("a lock's name", r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"), least=0), "Further names to lock."
        ),
        "phases": Key(Raw("phases"), "The phases, in the order they run.", required=True),
    },
    later={
        "drill": "leave it out; drills come with a later version",
        "scenario": "leave it out; drills come with a later version",
        "outputs": "leave it out; nothing can include a file yet",
    },
)

PHASE: Final = Record(
    {
        "id": Key(Name("the id of a phase"), "Name of the phase, unique among phases.", required=True),
        "title": Key(PeopleText(), "Title for people."),
        "when": Key(FormulaText(), "False: the phase is skipped."),
        "on": Key(Raw("on"), "Host for steps that name none."),
        "as": Key(TemplateText(), "User for steps that name none."),
        "on_failure": Key(words_of(OnFailure), "What a failed step does."),
        "steps": Key(Raw("steps"), "The steps, in the order they run.", required=True),
    },
    later={"caution": "put it on the first act of the phase", "approve": "put it on the first act of the phase"},
)

# -------------------------------------------------------------------------------------------------------------- steps


def repeat(*, look: bool) -> Record:
    """The table of `until` (looks) or `retry` (acts)."""
    keys = {
        "every": Key(LENGTH, "Pause between attempts; 5s if not given."),
        "within": Key(LENGTH, "Give up after this."),
        "times": Key(Int(1, 10_000), "Give up after so many attempts."),
        "backoff": Key(Number(1, 10), "The pause grows by this factor after each attempt, up to 5m."),
    }
    later = {"escalate": "write a second step after this one"}
    if look:
        keys["in_a_row"] = Key(Int(1, 1000), "So many looks in a row must be ok.")
        return Record(keys, later=later)
    return Record(keys, later=later, elsewhere={"in_a_row": "only looks can be counted in a row"})


APPROVE: Final = Record(
    {
        "by": Key(ROLES, "Roles of people who may approve.", required=True),
        "quorum": Key(Int(1, 20), "How many people must approve; 1 if not given."),
        "within": Key(LENGTH, "The request expires after this."),
        "show": Key(EXPRESSIONS, "Figures that stand in the text they sign."),
    }
)

WAY_NONE: Final = Record(
    {
        "none": Key(
            Word("a reason", r"[\s\S]*\S[\s\S]*", "say why in a few words"),
            "Why there is nothing to take back.",
            required=True,
        )
    }
)

MARK: Final = Name("a mark")
MARKS: Final = ByForm("a mark's name, a list of names, or {NAME: EXPR}", MARK, ListOf(MARK), MapOf(FormulaText(), MARK))

ENDS: Final = Choice(("failed", "unreachable", "timeout", "empty"))

SAID: Final = {
    "id": Key(Name("the id of a step"), "Name of the step, unique in the file.", required=True),
    "title": Key(PeopleText(), "Title for people."),
    "hint": Key(PeopleText(), "Shown when the step fails."),
    "takes": Key(LENGTH, "How long it usually takes."),
}
PLACED: Final = {"on": Key(Raw("on"), "Where it runs."), "as": Key(TemplateText(), "As which user.")}
WHEN: Final = {"when": Key(FormulaText(), "False: the step is skipped.")}
ON_FAILURE: Final = {"on_failure": Key(words_of(OnFailure), "What happens when it fails.")}
MARKED: Final = {"marks": Key(MARKS, "Clocks it sets.")}
EXPECTED: Final = {"expect": Key(EXPRESSIONS, "All must be true for the step to be ok.")}
CAPTURED: Final = {"capture": Key(MapOf(FormulaText(), Name("a capture")), "Names for values of its result.")}
ENDED: Final = {
    "observe": Key(Bool(), "Looks only: whatever is seen, the run goes on."),
    "tolerate": Key(ListOf(ENDS, or_one=True), "Ends that are foreseen: the run goes on."),
}
DOES: Final = {
    "do": Key(Word("a step kind"), "The kind of step."),
    "run": Key(ScriptText(), "A shell script: short for `do: shell`."),
    "with": Key(Raw(""), "The fields of the kind."),
}
TRIED: Final = {
    "effect": Key(words_of(Effect), "What carrying it out does to the world."),
    "timeout": Key(LENGTH, "Limit of one attempt on one host."),
    "sensitive": Key(Bool(), "Outputs and captures are secrets."),
}
REPEATED: Final = {
    "until": Key(repeat(look=True), "Looks: look again until ok."),
    "retry": Key(repeat(look=False), "Acts: do again after a known failure."),
}
GUARDED: Final = {
    "caution": Key(PeopleText(), "Shown before the act; the operator confirms."),
    "approve": Key(APPROVE, "Who must approve before the act."),
    "recheck": Key(ListOf(Word("a step's id"), or_one=True), "Looks taken again right before the act."),
    "point_of_no_return": Key(Bool(), "Rollback goes back to just after this step."),
}
PROVED: Final = {
    "unless": Key(Raw("looks"), "Looks taken just before the act; all ok: it is done already."),
    "verify": Key(Raw("looks"), "Looks that tell whether the effect is there."),
}
BACK: Final = {
    "undo": Key(Raw("way"), "How rollback takes it back."),
    "restore": Key(Raw("way"), "Carried out when the run ends, in whatever way."),
}
BLOCKED: Final = {"uninterruptible": Key(Bool(), "A first Ctrl-C takes effect after the block.")}

_LOOPS: Final = {"foreach": FOREACH, "first_ok": FOREACH, "max_failures": FOREACH}
_STEP_LATER: Final = {**_LOOPS, "include": "copy the steps into this file"}
_NO_PERSON: Final = "a way back, and a look at an effect, must not wait for a person"
_NO_WAY: Final = "a way back has no way back of its own"
_ONE: Final = "it belongs to blocks: steps: [...] or parallel: [...]"

ACTION: Final = Record(
    {
        **SAID, **DOES, **PLACED, **WHEN, **PROVED, **TRIED, **CAPTURED, **EXPECTED, **ENDED, **REPEATED, **GUARDED,
        **BACK, **ON_FAILURE, **MARKED,
        "touches": Key(Choice(("nothing",)), "An act on local that changes nothing a plan could look at."),
    },
    later=_STEP_LATER,
    elsewhere={"at_once": "it stands beside parallel", "uninterruptible": _ONE},
)  # fmt: skip

_BLOCK_KEYS: Final = {**SAID, **PLACED, **WHEN, **ON_FAILURE, **BLOCKED}
_BLOCK_LATER: Final = {
    **_STEP_LATER,
    **dict.fromkeys(("timeout", "retry", "until", "approve", "undo", "restore"), ON_BLOCK),
}
_ON_STEPS: Final = {
    name: ON_BLOCK
    for name in (*PROVED, *TRIED, *CAPTURED, *EXPECTED, *ENDED, *GUARDED, *MARKED, "with", "touches")
    if name not in _BLOCK_LATER
}

BLOCK: Final = Record(
    {**_BLOCK_KEYS, "steps": Key(Raw("steps"), "Steps, one after the other.", required=True)},
    later=_BLOCK_LATER,
    elsewhere={**_ON_STEPS, "at_once": "it stands beside parallel"},
)
PARALLEL: Final = Record(
    {
        **_BLOCK_KEYS,
        "parallel": Key(Raw("steps"), "Branches, side by side.", required=True),
        "at_once": Key(Int(1, 1000), "How many branches at a time; all if not given."),
    },
    later=_BLOCK_LATER,
    elsewhere=_ON_STEPS,
)

# Kinds of the language itself: what may stand on their steps besides `do` and `with`.
_VALUE: Final = {**SAID, "do": DOES["do"], **WHEN, **ON_FAILURE, **MARKED}
_WITH: Final = {"with": DOES["with"]}
_NO_PLACE: Final = "this kind works on values only"


def _value_step(*more: dict[str, Key]) -> Record:
    keys = {**_VALUE, **{name: key for one in more for name, key in one.items()}}
    return Record(
        keys,
        later=_STEP_LATER,
        elsewhere={name: _NO_PLACE for name in ACTION.keys if name not in keys},
    )


FORMS: Final[dict[str, Record]] = {
    "check": _value_step({"expect": Key(EXPRESSIONS, "All must be true.", required=True)}, ENDED),
    "set": _value_step(_WITH),
    "decide": _value_step(_WITH, EXPECTED, CAPTURED, ENDED),
    "manual": _value_step(_WITH, EXPECTED, CAPTURED, ENDED),
    "wait": _value_step(_WITH),
    "restore": _value_step(_WITH),
    "fence.host": _value_step(_WITH, PLACED, GUARDED, BLOCKED),
}

# ------------------------------------------------------------------------------------------------- steps inside steps

_ID: Final = {"id": Key(Name("the id of a step"), "Not needed here.")}
_INNER: Final = {**_ID, "title": SAID["title"], "hint": SAID["hint"], **DOES, **PLACED, **TRIED, **EXPECTED}
_NOT_IN_LOOKS: Final = {
    **dict.fromkeys(("caution", "approve", "recheck", "point_of_no_return"), _NO_PERSON),
    **dict.fromkeys(("undo", "restore", "verify", "unless", "retry", "touches"), "this is a look"),
    **dict.fromkeys(("when", "capture", "observe", "tolerate"), "the step around it decides"),
    **dict.fromkeys(("marks", "on_failure", "takes"), "the step around it decides"),
    **dict.fromkeys(("steps", "parallel", "at_once", "uninterruptible"), "list the looks one by one"),
}

LOOK_KINDS: Final = frozenset({"check"})
WAY_KINDS: Final = frozenset({"check", "wait"})
LOOK: Final = Record({**_INNER, "until": REPEATED["until"]}, later=_STEP_LATER, elsewhere=_NOT_IN_LOOKS)

_WAY_ELSEWHERE: Final = {
    **dict.fromkeys(("caution", "approve", "recheck", "point_of_no_return"), _NO_PERSON),
    **dict.fromkeys(("undo", "restore"), _NO_WAY),
    **dict.fromkeys(("marks", "on_failure", "observe", "takes", "capture"), "the step around it decides"),
    **dict.fromkeys(("steps", "parallel", "at_once", "uninterruptible"), "list the steps one by one"),
}
WAY_STEP: Final = Record(
    {**_INNER, **WHEN, **PROVED, **REPEATED, "tolerate": ENDED["tolerate"], "touches": ACTION.keys["touches"]},
    later=_STEP_LATER,
    elsewhere=_WAY_ELSEWHERE,
)
METHOD: Final = Record(
    {**_INNER, **WHEN, **PROVED, "retry": REPEATED["retry"]},
    later=_STEP_LATER,
    elsewhere={
        **_WAY_ELSEWHERE,
        "until": "a method acts; the proof looks",
        "tolerate": "no end of a method stops a fence",
    },
)


def inner_form(name: str, table: Record) -> Record:
    """The table of a language kind inside `verify`, `undo` and the like: what both the kind and the place have."""
    form = FORMS[name]
    keys = {key: form.keys[key] for key in form.keys if key in table.keys and key != "id"}
    gone = {key: _NO_PLACE for key in table.keys if key not in keys}
    return Record({**_ID, **keys}, later=_STEP_LATER, elsewhere={**gone, **table.elsewhere})


ANY_OF: Final = Record({"any": Key(Raw("looks"), "Alternatives: one that is ok is enough.", required=True)})

# ---------------------------------------------------------------------------------- fields of the language's kinds

RULE: Final = Record(
    {
        "if": Key(FormulaText(), "The condition.", required=True),
        "then": Key(Raw("literal"), "The value.", required=True),
    }
)
DECIDE: Final = Record(
    {
        "rules": Key(ListOf(RULE), "Rules; the first true one wins.", required=True),
        "otherwise": Key(Raw("literal"), "The value when none is true."),
        "ask": Key(words_of(Ask), "When a person is asked."),
    }
)
MANUAL: Final = Record(
    {
        "say": Key(PeopleText(), "What is to be done.", required=True),
        "ask": Key(MapOf(INPUT, Name("an answer"), least=0, label="answer"), "Answers wanted, with their types."),
        "by": Key(ROLES, "Roles of people who may answer."),
        "within": Key(LENGTH, "After this the alarm goes out again."),
        "evidence": Key(Choice(("optional", "required")), "Whether evidence must come with the answer."),
    }
)
WAIT: Final = Record(
    {"for": Key(TemplateText(), "How long."), "until": Key(TemplateText(), "Until when (RFC 3339 with a zone).")}
)
RESTORE: Final = Record(
    {"steps": Key(ListOf(Word("a step's id"), or_one=True), "Steps to restore now.", required=True)}
)
SET: Final[Shape] = MapOf(TemplateText(), Name("a name"))
FENCE: Final = Record(
    {
        "methods": Key(Raw("methods"), "Tried in order until the proof is there.", required=True),
        "proof": Key(Raw("proofs"), "Looks that must all be ok.", required=True),
    }
)
