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
    "W007": Explanation(
        why="The runbook declares a disaster that takes something away, and a step cannot do without it: it would fail"
        " on the day it is written for.",
        form=Form.WORDS,
        wrong="scenario: {lost: [dns]} beside a step with url: https://app.example/healthz",
        right="the same step with an address, url: https://192.0.2.10/healthz",
        next="Give the step another way, or say what it foresees: observe: true, tolerate: [unreachable].",
    ),
    "W008": Explanation(
        why="A runbook with objectives makes a change and nothing afterwards could show that it worked: no verify or"
        " expect, no later look on the host, no request from outside, no person who is asked.",
        form=Form.WORDS,
        wrong="a last step that changes a setting, and nothing after it",
        right="the same step with a verify, or an http.check after it",
        next="Give the step a verify or an expect, or look afterwards.",
    ),
    "W009": Explanation(
        why="Simulated people count in a lab and in drills only. In a real run nobody could give this approval.",
        form=Form.WORDS,
        wrong="approve: {by: [commander]} where every commander of the inventory is simulated: true",
        right="the same with real people in roles: commander",
        next="Give the role to people in the inventory.",
    ),
    "W010": Explanation(
        why="A standby is promoted and nothing before it in the flow makes the old primary unable to write. The run"
        " refuses that step, after everything before it was done.",
        form=Form.WORDS,
        wrong="do: postgres.promote, without a step do: fence.host before it",
        right="do: fence.host on the old primary with its proof, then do: postgres.promote",
        next="Put a step do: fence.host before it.",
    ),
    "W011": Explanation(
        why="All inputs are asked for before the run starts. A question whose answer changes nothing costs time when"
        " there is none, and often the place that should read it has another name in it.",
        form=Form.RUNBOOK,
        wrong='runbook: example\ninputs: {ticket: {type: text, ask: "Which ticket?"}}\n'
        "phases:\n  - id: only\n    steps:\n"
        "      - {id: up, do: check, expect: true}\n",
        right="runbook: example\ninputs: {sure: {type: bool}}\nphases:\n  - id: only\n    steps:\n"
        "      - {id: up, do: check, expect: inputs.sure}\n",
        next="Take the input out, or write inputs.NAME where its value belongs.",
    ),
    "W012": Explanation(
        why="The inventory does not say where the host is, so drctl takes HostName, Port, User and ProxyJump of"
        " ~/.ssh/config, and nothing else of it. What it found is shown, and frozen with a run; on another machine,"
        " before a run is started, it may be something else.",
        form=Form.WORDS,
        wrong="db1: {login: {key: FILE}, host_key: KEY}, where only ~/.ssh/config has a HostName for db1",
        right="db1: {address: 192.0.2.1, login: {user: ops, key: FILE}, host_key: KEY}",
        next="Write the address that is shown into the inventory.",
    ),
}
