"""The tables of a runbook: which keys stand where, with their shapes. Decoder and JSON Schema both read these.

What a key may be combined with depends on the effect of a step and is judged in `drctl.loading.rules`.
"""

from __future__ import annotations

from typing import Final

from drctl.core.input_specs import InputType
from drctl.core.model import Ask
from drctl.core.outcomes import Effect, OnFailure
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

HOST_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
PERSON_ROLE: Final = Word("a role of people", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ROLES: Final = ListOf(PERSON_ROLE, or_one=True)
EXPRESSIONS: Final = ListOf(FormulaText(), or_one=True)

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
            words_of(InputType),
            "The type of the value.",
            required=True,
        ),
        "ask": Key(PeopleText(), "The question put to a person."),
        "default": Key(Raw("default"), "The value when none is given; without one the input is required."),
        "of": Key(Raw("input_of"), "The choices; for a host `{group: NAME}`; for a list the type of its members."),
        "pattern": Key(Word("a regular expression"), "RE2 pattern the whole text must match."),
        "min": Key(Raw("literal"), "Least value of an int, decimal, duration, size or time."),
        "max": Key(Raw("literal"), "Largest value of an int, decimal, duration, size or time."),
        "from": Key(
            Raw("secret"),
            "Where a secret comes from: env:NAME, file:PATH, ssm:NAME, secretsmanager:NAME or {cmd: [..]}.",
        ),
        "optional": Key(Bool(), "May be answered 'not known', and then has no value."),
    }
)

VARIABLE: Final = Name("a variable")

_DAYS: Final = "month-end|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_DATE: Final = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
DRILL: Final = Record(
    {
        "every": Key(LENGTH, "The time between two drills."),
        "never_on": Key(
            ListOf(
                Word("a day", f"{_DAYS}|{_DATE}", "write month-end, a weekday such as monday, or a date"), or_one=True
            ),
            "Days on which no drill is held.",
        ),
    }
)
LOST_WORDS: Final = ("dns", "sso", "git", "secrets", "cloud-control")
SCENARIO: Final = Record(
    {"lost": Key(ListOf(Word("a site", HOST_NAME), or_one=True), "Sites and services taken for lost.", required=True)}
)

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
        "drill": Key(DRILL, "How often it is drilled, and when never."),
        "scenario": Key(SCENARIO, "What a drill takes for lost."),
        "outputs": Key(MapOf(FormulaText(), Name("an output")), "What whoever includes this file may read."),
    },
)

APPROVE: Final = Record(
    {
        "by": Key(ROLES, "Roles of people who may approve.", required=True),
        "quorum": Key(Int(1, 20), "How many people must approve; 1 if not given."),
        "within": Key(LENGTH, "The request expires after this."),
        "show": Key(EXPRESSIONS, "Figures that stand in the text they sign."),
    }
)

PHASE: Final = Record(
    {
        "id": Key(Name("the id of a phase"), "Name of the phase, unique among phases.", required=True),
        "title": Key(PeopleText(), "Title for people."),
        "when": Key(FormulaText(), "False: the phase is skipped."),
        "on": Key(Raw("on"), "Host for steps that name none."),
        "as": Key(TemplateText(), "User for steps that name none."),
        "on_failure": Key(words_of(OnFailure), "What a failed step does."),
        "caution": Key(PeopleText(), "Shown before the phase; the operator confirms."),
        "approve": Key(APPROVE, "Who must approve before the phase."),
        "steps": Key(Raw("steps"), "The steps, in the order they run.", required=True),
    }
)

# -------------------------------------------------------------------------------------------------------------- steps


RUNG: Final = Record(
    {
        "after": Key(Quantity(least=Duration(0)), "Taken when this has passed.", required=True),
        "steps": Key(Raw("steps"), "Taken once, between two attempts.", required=True),
    }
)


def repeat(*, look: bool, ladder: bool = True) -> Record:
    """The table of `until` (looks) or `retry` (acts); what stands inside a step has no ladder."""
    keys = {
        "every": Key(LENGTH, "Pause between attempts; 5s if not given."),
        "within": Key(LENGTH, "Give up after this."),
        "times": Key(Int(1, 10_000), "Give up after so many attempts."),
        "backoff": Key(Number(1, 10), "The pause grows by this factor after each attempt, up to 5m."),
    }
    elsewhere = {}
    if ladder:
        keys["escalate"] = Key(ListOf(RUNG), "The ladder: steps taken once each, between attempts, in order.")
    else:
        elsewhere["escalate"] = "a ladder stands on a step of its own"
    if look:
        keys["in_a_row"] = Key(Int(1, 1000), "So many looks in a row must be ok.")
    else:
        elsewhere["in_a_row"] = "only looks can be counted in a row"
    return Record(keys, elsewhere=elsewhere)


COUNT: Final = r"(?:0|[1-9][0-9]{0,5})|(?:[1-9][0-9]?|100)%"
_SHARE: Final = Word("a number of hosts such as 5 or 20%", COUNT)
SELECTION: Final = Record(
    {
        "group": Key(Word("a group", HOST_NAME), "Members of this group."),
        "site": Key(Word("a site", HOST_NAME), "Hosts of this site."),
        "role": Key(Word("a role", HOST_NAME), "Hosts with this role."),
        "hosts": Key(FormulaText(), "A list of hosts, or of their names."),
        "where": Key(FormulaText(), "A condition about the candidate host."),
        "except": Key(FormulaText(), "A list of hosts left out, or one."),
        "take": Key(Int(1, 100_000), "Only the first so many, in inventory order; 1 gives a single result."),
        "batch": Key(_SHARE, "So many at a time: a number, or a share such as 20%."),
        "canaries": Key(Word("a number of hosts, or a group", f"{COUNT}|{HOST_NAME}"), "Who goes first."),
        "soak": Key(LENGTH, "Pause between batches."),
        "max_failures": Key(_SHARE, "So many hosts may fail; 0 if not given."),
        "all_or_none": Key(Bool(), "If not every host is ok, those that started are taken back."),
    }
)
INCLUDED_FILE: Final = Word(
    "a file beside this one",
    r"(?!.*(?:^|/)\.\.?(?:/|$))(?!.*\$\{\{)[^/\x00-\x1f][^\x00-\x1f]{0,250}",
    "a fixed path beside this file, such as restart-web.yaml",
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

LOOPED: Final = {
    "foreach": Key(Raw("foreach"), "Names with their lists: every combination, the last name fastest."),
    "at_once": Key(Int(1, 1000), "How many together; one if not given."),
    "first_ok": Key(Bool(), "Tries members in order until all steps of one iteration are ok."),
    "max_failures": Key(Int(0, 100_000), "So many iterations may fail; 0 if not given."),
}
_NO_LOOP: Final = dict.fromkeys(LOOPED, "loops stand on a step of its own")
_NO_FILE: Final = {"include": "an include is a step of its own"}
_NO_PERSON: Final = "a way back, and a look at an effect, must not wait for a person"
_NO_WAY: Final = "a way back has no way back of its own"
_ONE: Final = "it belongs to blocks: steps: [...] or parallel: [...]"

ACTION: Final = Record(
    {
        **SAID, **DOES, **PLACED, **WHEN, **PROVED, **TRIED, **CAPTURED, **EXPECTED, **ENDED, **REPEATED, **GUARDED,
        **BACK, **ON_FAILURE, **MARKED, **LOOPED,
        "touches": Key(Choice(("nothing",)), "An act on local that changes nothing a plan could look at."),
    },
    elsewhere={"uninterruptible": _ONE},
)  # fmt: skip

_WHOLE: Final = {
    **WHEN,
    **ON_FAILURE,
    **BLOCKED,
    **LOOPED,
    **REPEATED,
    **BACK,
    "timeout": Key(LENGTH, "No step starts after this; running acts keep their own limits."),
    "caution": GUARDED["caution"],
    "approve": GUARDED["approve"],
}
_BLOCK_KEYS: Final = {**SAID, **PLACED, **_WHOLE}
_ON_STEPS: Final = {
    name: ON_BLOCK
    for name in (*PROVED, *TRIED, *CAPTURED, *EXPECTED, *ENDED, *GUARDED, *MARKED, "with", "touches")
    if name not in _BLOCK_KEYS
}

BLOCK: Final = Record(
    {**_BLOCK_KEYS, "steps": Key(Raw("steps"), "Steps, one after the other.", required=True)},
    elsewhere=_ON_STEPS,
)
PARALLEL: Final = Record(
    {
        **_BLOCK_KEYS,
        "parallel": Key(Raw("steps"), "Branches, side by side.", required=True),
        "at_once": Key(
            Int(1, 1000), "How many branches at a time, all if not given; beside foreach, how many iterations."
        ),
    },
    elsewhere=_ON_STEPS,
)
_IN_FILE: Final = "the included file says it on its own steps"
INCLUDE: Final = Record(
    {
        **SAID,
        **_WHOLE,
        "include": Key(INCLUDED_FILE, "A runbook beside this file.", required=True),
        "with": Key(Raw("inputs"), "Its inputs."),
    },
    elsewhere={name: _IN_FILE for name in (*_ON_STEPS, *PLACED) if name not in {"with", *_WHOLE}},
)

# Kinds of the language itself: what may stand on their steps besides `do` and `with`.
_VALUE: Final = {**SAID, "do": DOES["do"], **WHEN, **ON_FAILURE, **MARKED, **LOOPED}
_WITH: Final = {"with": DOES["with"]}
_NO_PLACE: Final = "this kind works on values only"


def _value_step(*more: dict[str, Key]) -> Record:
    keys = {**_VALUE, **{name: key for one in more for name, key in one.items()}}
    return Record(
        keys,
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
    "fence.lift": _value_step(_WITH, PLACED, GUARDED, BLOCKED),
}

# ------------------------------------------------------------------------------------------------- steps inside steps

_ID: Final = {"id": Key(Name("the id of a step"), "Not needed here.")}
_INNER: Final = {**_ID, "title": SAID["title"], "hint": SAID["hint"], **DOES, **PLACED, **TRIED, **EXPECTED}
_NOT_IN_LOOKS: Final = {
    **dict.fromkeys(("caution", "approve", "recheck", "point_of_no_return"), _NO_PERSON),
    **dict.fromkeys(("undo", "restore", "verify", "unless", "retry", "touches"), "this is a look"),
    **dict.fromkeys(("when", "capture", "observe", "tolerate"), "the step around it decides"),
    **dict.fromkeys(("marks", "on_failure", "takes"), "the step around it decides"),
    **dict.fromkeys(("steps", "parallel", "uninterruptible"), "list the looks one by one"),
    **_NO_LOOP,
    **_NO_FILE,
}

LOOK_KINDS: Final = frozenset({"check"})
WAY_KINDS: Final = frozenset({"check", "wait"})
_AGAIN: Final = {
    "until": Key(repeat(look=True, ladder=False), REPEATED["until"].doc),
    "retry": Key(repeat(look=False, ladder=False), REPEATED["retry"].doc),
}
LOOK: Final = Record({**_INNER, "until": _AGAIN["until"]}, elsewhere=_NOT_IN_LOOKS)

_WAY_ELSEWHERE: Final = {
    **dict.fromkeys(("caution", "approve", "recheck", "point_of_no_return"), _NO_PERSON),
    **dict.fromkeys(("undo", "restore"), _NO_WAY),
    **dict.fromkeys(("marks", "on_failure", "observe", "takes", "capture"), "the step around it decides"),
    **dict.fromkeys(("steps", "parallel", "uninterruptible"), "list the steps one by one"),
    **_NO_LOOP,
    **_NO_FILE,
}
WAY_STEP: Final = Record(
    {**_INNER, **WHEN, **PROVED, **_AGAIN, "tolerate": ENDED["tolerate"], "touches": ACTION.keys["touches"]},
    elsewhere=_WAY_ELSEWHERE,
)
METHOD: Final = Record(
    {**_INNER, **WHEN, **PROVED, "retry": _AGAIN["retry"]},
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
    return Record({**_ID, **keys}, elsewhere={**gone, **table.elsewhere})


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
LIFT: Final = Record(
    {
        "methods": Key(Raw("methods"), "Tried in order until the proof is there; may be left out."),
        "proof": FENCE.keys["proof"],
    }
)
