"""The sentences and examples of `docs/language.md` that stand in no table; `drctl.loading.language` puts them in place.

The examples are in `drctl.loading.language_examples`.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = """\
# The runbook language

Written by `drctl explain --markdown` from the tables that read a runbook; a test compares. What a step can do is in
[step-kinds.md](step-kinds.md), what each code means in [diagnostics.md](diagnostics.md); to begin, see
[tutorial.md](tutorial.md).

A **look** is a step of effect `read`; an **act** is any other. Phases and steps run in the order written, nothing
jumps. What is not known here is refused when the document is read, with its line; nothing is ever ignored.
"""

YAML: Final = """\
One document, UTF-8, YAML 1.2. Refused, with the position:
"""

NAMES: Final = """\
Ids, inputs, variables, captures and loop names: a-z, 0-9, `_` and `-`, beginning with a letter, at most 60
characters. A step sees steps that ended before it, in the order written; branches of one `parallel` do not see each
other.
"""

STEP: Final = """\
A step is exactly one of `do: KIND`, `run: SCRIPT`, `steps:`, `parallel:`, `include: FILE`. Its life, always in this
order: `when`, `foreach`, `on`, `with`, `unless`, `caution` and `approve`, `recheck`, the intent on disk, the act,
`verify`, `capture`, `expect`, `marks`. A look has no `unless`, `recheck`, intent or `verify`.
"""

EXPRESSIONS: Final = """\
Bare in `when expect capture where except hosts foreach outputs marks if`, and inside `${{ }}` in texts. Conditions
are true or false; no number or text stands for either. Not Python, not a shell. From loose to tight: `or`; `and`;
`not`; one comparison (`== != < <= > >= in`, `not in`), no chains; `+ -`; `* /`; `-x`; `x.name`, `x[1]`; calls,
lists, brackets.

Types never mix: `stdout == 0` is refused, `int(stdout) == 0` is meant. Texts are joined by a template or `join`,
not by `+`.
"""

UNKNOWN: Final = """\
A value may be missing: *not yet* (a plan, and the step has not run) or *none* (skipped, no reply, no such key).
`false and unknown` is false, `true or unknown` is true; all else of an unknown is unknown. `known(x)` and
`default(x, y)` answer on *none*, and stay unknown on *not yet*, or a plan would lie.

| place | in a plan | in a run |
|---|---|---|
| `when` | both ways shown | pause: a person says run or skip |
| `expect` | depends | fails |
| `verify` | depends | not proven: in doubt |
| `unless` | depends | not done yet; if the look could not tell, the step fails before acting |
| `until` | would wait | look again |
| a rule of `decide` | all choices shown | a person chooses |
| `where` `hosts` `on` `foreach` | body shown once | the step fails before acting |
| `${{ }}` | shown as not yet | the step fails before its intent |
| `capture` `marks` `outputs` | not yet | no value; no failure until it is needed |
"""

EFFECTS: Final = {
    "read": "only looks; a plan takes it for real",
    "idempotent": "a second time does no harm",
    "once": "a second time does harm: needs `verify`, and `undo`",
    "irreversible": "cannot be taken back: needs `verify`, and `undo` or `{none: WHY}`; never killed",
}

OUTCOMES: Final = {
    "ok": "as expected",
    "failed": "it ended, and not as expected",
    "unreachable": "it never began: no link, or the wrong host key",
    "timeout": "ended by drctl, and seen to be gone",
    "in_doubt": "it began, and its end is not known: look, or ask a person",
    "skipped": "`when` was false, or a person left it out",
    "empty": "a selection had no host",
    "not_run": "not its turn: the run or the block ended before",
    "partial": "of hosts, loops and blocks: some failed, no more than `max_failures`",
}

FAILURES: Final = {
    "pause": "stop and stay open for a person (exit 7); the default",
    "rollback": "take back what was done, newest first, then close",
    "abort": "close; what was suspended is put back",
}

JUDGED: Final = """\
Branches of a `parallel` block, rounds side by side, what `retry` or `until` repeats, the rungs of a ladder and an
`all_or_none` block are judged as a whole: `on_failure` stands on the whole and is refused inside.
"""

PLACES: Final = """\
`on` is `local`, a host, a role that one host holds, a template `${{ }}` that gives one host, or a selection. A step
without it takes that of its block, its phase, else `local`. One host gives a single result (`steps.x.stdout`). A
selection gives a table, even of one host: `steps.x.here.stdout` is the host this step runs on,
`steps.x.hosts['web1'].stdout` one host, `steps.x.hosts` all. A block with a selection carries its hosts through the
steps inside, batch by batch.
"""

LOOPS: Final = """\
The list is frozen when the loop begins. Seen from outside, a loop's results are `steps.x.each[0].stdout`; with
`first_ok`, those of the winner by plain name. `until` looks again until ok; `retry` does an act again after a known
failure. Both need `within` or `times`.
"""

WAYS: Final = """\
`undo` and `restore` are a step, a list of steps, `auto` (the kind's own inverse) or `{none: WHY}`. `undo` runs on
rollback only, newest first; `restore` runs once when the run ends, however it ends. Both must do no harm where
there is nothing to take back.
"""

BLOCKS: Final = """\
`steps:` is a block and fails with its first failing step. `parallel:` runs branches side by side; after a failure
no branch starts a new step. `include:` takes in a whole runbook beside this file: `with` gives its inputs, and only
its `outputs` are seen.
"""
