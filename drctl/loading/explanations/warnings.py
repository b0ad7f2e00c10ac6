"""W: what is allowed and often not what was meant."""

from __future__ import annotations

from typing import Final

from drctl.loading.explanations.form import Explanation, Form

_HEAD = "runbook: example\ninputs: {deep: {type: bool, default: false}}\nphases:\n  - id: only\n    steps:\n"
_DEEP = _HEAD + "      - {id: scan, run: scan-disk, effect: read, when: inputs.deep}\n"

WARNINGS: Final[dict[str, Explanation]] = {
    "W001": Explanation(
        why="In YAML ` #` begins a comment also within a plain script, and what stands behind it is gone.",
        wrong="- id: say\n  run: echo one # two\n  effect: read",
        right='- id: say\n  run: "echo one # two"\n  effect: read',
        next="Put the text in quotes; or move the comment to a line of its own, if it is one.",
    ),
    "W002": Explanation(
        why="A step that was skipped is neither ok nor failed, so `not steps.x.ok` is true of it as well, and an"
        " emergency path would be taken because a check was left out.",
        form=Form.RUNBOOK,
        wrong=_DEEP + "      - {id: repair, do: check, expect: not steps.scan.ok}\n",
        right=_DEEP + "      - {id: repair, do: check, expect: steps.scan.failed}\n",
        next="Write steps.NAME.failed when you mean failure.",
    ),
    "W003": Explanation(
        why="The shell gives the exit code of the last command of a pipe alone: a dump that fails in `dump | gzip`"
        " is a success with an empty archive.",
        wrong="- {id: keep, run: dump app | gzip > app.gz, effect: idempotent}",
        right="- {id: keep, run: dump app > app.sql && gzip -f app.sql, effect: idempotent}",
        next="Write the first command's output to a file, then read that.",
    ),
    "W004": Explanation(
        why="People approve a figure, and the look is taken again right before the act. Without an `expect` any new"
        " value is good enough then, however much it has grown.",
        wrong="- {id: lag, on: standby, do: postgres.status}\n- id: promote\n  on: standby\n  run: promote-now\n"
        "  effect: idempotent\n  approve: {by: [commander], show: [steps.lag.lag]}",
        right="- {id: lag, on: standby, do: postgres.status, expect: lag <= 10s}\n- id: promote\n  on: standby\n"
        "  run: promote-now\n  effect: idempotent\n  approve: {by: [commander], show: [steps.lag.lag]}",
        next="Give the look an expect: with the limit.",
    ),
    "W005": Explanation(
        why="A step that was skipped has no values. A reader that is not skipped with it stops the run when it"
        " needs one.",
        form=Form.RUNBOOK,
        wrong=_DEEP + "      - {id: clean, do: check, expect: steps.scan.exit == 0}\n",
        right=_DEEP + "      - {id: clean, do: check, expect: steps.scan.exit == 0, when: inputs.deep}\n",
        next="Give the reader the same `when`, or say what counts instead: default(steps.NAME.FIELD, VALUE).",
    ),
    "W006": Explanation(
        why="A host that failed in an earlier step is still in its group, and the next act goes to it as well.",
        form=Form.WORDS,
        wrong="an act with on: {group: app} after another on the same group that may have failed on some of its hosts",
        right="the same with on: {group: app, where: steps.x.here.ok}",
        next="Add where: to the selection, or put both into one block with its own on:, which leaves out what failed.",
    ),
}
