"""What `drctl explain` prints: the long text of a diagnostic or of an exit code, kept to 80 columns."""

from __future__ import annotations

from typing import Final

from drctl.core.nouns import dataclass
from drctl.errors import Exit
from drctl.reporting.texts import clean, wrap

EXAMPLE: Final = "    "

NEXT: Final[dict[Exit, str]] = {
    Exit.DONE: "nothing; `drctl report RUN` writes the report again",
    Exit.DEFECT: "DRCTL_DEBUG=1 before the same command shows where; an open run goes on with `drctl resume RUN`",
    Exit.USAGE: "`drctl COMMAND --help`",
    Exit.DOCUMENT: "mend what is shown, then `drctl check RUNBOOK`; `drctl explain CODE` says more of a code",
    Exit.NOTHING_CHANGED: "mend what the message names and type the command again",
    Exit.ABORTED: "`drctl report RUN` shows what was done and what was put back",
    Exit.PAUSED: "`drctl show RUN --question`, then `drctl answer`, `approve` or `reject`, then `drctl resume RUN`",
    Exit.STEP_FAILED: "`drctl show RUN`, then `drctl retry RUN`, `skip`, `done`, or `drctl abort RUN --reason TEXT`",
    Exit.ROLLED_BACK: "`drctl report RUN` shows the step that failed; mend its cause before the next run",
    Exit.ROLLBACK_FAILED: "`drctl show RUN` names what is left: take it back by hand, then answer the question",
    Exit.IN_DOUBT: "look at the host, then `drctl resolve RUN --done`, `--not-done` or `--look`",
    Exit.EXCEPTIONS: "`drctl report RUN` lists the exceptions and what was not measured",
    Exit.LOCKED: "`drctl runs` shows which run holds it; wait for it, resume it or abort it",
    Exit.PLAN_CHANGED: "`drctl plan RUNBOOK`, and a new run",
    Exit.OVERDUE: "hold the drill",
    Exit.AUDIT_NOT_INTACT: "do not rely on this record; find a copy of the journal and compare",
    Exit.AUDIT_TRUNCATED: "find the newest copy of the journal",
    Exit.AUDIT_RULE_VIOLATED: "`drctl report RUN`, and ask those who ran it",
    Exit.AUDIT_NOT_ANCHORED: "nothing, when nobody could have replaced the whole journal; keep a copy of it elsewhere",
    Exit.AUDIT_UNSIGNED_TAIL: "`drctl show RUN`; a run that is open goes on with `drctl resume RUN`",
    Exit.JOURNAL: "make room or mend the folder that is named, then `drctl resume RUN`",
    Exit.INTERRUPTED: "`drctl runs` shows what is open; `drctl resume RUN`",
    Exit.TERMINATED: "`drctl runs` shows what is open; `drctl resume RUN`",
}
"""What to type after each exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One code with everything that is said of it; `what` says what the examples are parts of."""

    code: str
    name: str
    meaning: str
    why: str = ""
    wrong: str = ""
    right: str = ""
    what: str = ""
    next: str = ""


def explained_exit(code: Exit) -> Explained:
    """An exit code."""
    return Explained(code=str(int(code)), name=f"exit code {code.name}", meaning=code.meaning, next=NEXT[code])


def explained_text(one: Explained) -> str:
    """One code for people. Examples are never broken, for they are to be copied."""
    lines = [f"{one.code}  {one.name}", *wrap(clean(one.meaning), first="  ")]
    if one.why:
        lines += ["", *wrap(clean(one.why), first="  ")]
    for title, example in (("wrong", one.wrong), ("right", one.right)):
        if example:
            lines += ["", f"  {title} ({one.what}):"]
            lines += [f"{EXAMPLE}{clean(line)}".rstrip() for line in example.rstrip("\n").split("\n")]
    if one.next:
        lines += ["", *wrap(clean(one.next), first="  next: ")]
    return "\n".join(lines)


def table(entries: list[tuple[str, str]]) -> str:
    """Codes with their meaning, one after the other."""
    widest = max(len(code) for code, _ in entries)
    return "\n".join(line for code, text in entries for line in wrap(clean(text), first=f"{code:<{widest}}  "))
