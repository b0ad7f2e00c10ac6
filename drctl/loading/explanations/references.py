"""E3xx: expressions, references and types."""

from __future__ import annotations

from typing import Final

from drctl.loading.explanations.form import Explanation, Form

_STEPS = "phases:\n  - id: only\n    steps:\n"

REFERENCES: Final[dict[str, Explanation]] = {
    "E301": Explanation(
        why="An expression is neither Python nor a shell. It is read when the document is loaded, so that a slip"
        " shows now and not in the middle of a run. In a script a template cannot stand inside single quotes,"
        " for there the shell would not put its value in.",
        wrong='- {id: load, run: uptime, effect: read, expect: "exit = 0"}',
        right='- {id: load, run: uptime, effect: read, expect: "exit == 0"}',
        next="Mend it at the character that is named: == compares, `and or not` join; text stands in quotes.",
    ),
    "E302": Explanation(
        why="The name means nothing here. A misspelled name would otherwise be a value that is never there, and a"
        " condition on it would never be true.",
        wrong="- {id: load, run: uptime, effect: read}\n- {id: calm, do: check, expect: steps.laod.ok}",
        right="- {id: load, run: uptime, effect: read}\n- {id: calm, do: check, expect: steps.load.ok}",
        next="Write the name that the hint gives. Fields of a step are those of its kind: drctl kinds KIND",
    ),
    "E303": Explanation(
        why="Steps run in the order written. What a later step, the step around, or another branch will say is not"
        " known here.",
        wrong="- {id: calm, do: check, expect: steps.load.ok}\n- {id: load, run: uptime, effect: read}",
        right="- {id: load, run: uptime, effect: read}\n- {id: calm, do: check, expect: steps.load.ok}",
        next="Put the step that is read before the one that reads it; after a parallel block all of its steps are"
        " known.",
    ),
    "E304": Explanation(
        why="Values of different types are never simply unequal: `stdout == 0` compares a text with a number and"
        " could never be true. Nothing is turned into another type silently.",
        wrong="- {id: count, run: ls | wc -l, effect: read, expect: stdout == 0}",
        right="- {id: count, run: ls | wc -l, effect: read, expect: int(stdout) == 0}",
        next="Convert it: int(t), decimal(t), duration(t), size(t), time(t), text(x); a duration needs its unit, as"
        " in 10s.",
    ),
    "E305": Explanation(
        why="What stands in a script, a condition, a title or a capture is recorded and shown; a secret there would"
        " be in the journal for ever.",
        form=Form.RUNBOOK,
        wrong="runbook: example\ninputs: {token: {type: secret, from: env:TOKEN}}\n"
        + _STEPS
        + '      - {id: use, run: "fetch ${{ inputs.token }}", effect: read}\n',
        right="runbook: example\ninputs: {token: {type: secret, from: env:TOKEN}}\n"
        + _STEPS
        + '      - {id: use, run: fetch "$TOKEN", effect: read, with: {env: {TOKEN: "${{ inputs.token }}"}}}\n',
        next="Hand it over by with: {env: {NAME: ...}}, by stdin, or in a field that the kind marks as secret.",
    ),
    "E306": Explanation(
        why="A capture with the name of an output would hide it, and `steps.x.exit` would mean two things.",
        wrong="- {id: load, run: uptime, effect: read, capture: {exit: len(stdout)}}",
        right="- {id: load, run: uptime, effect: read, capture: {length: len(stdout)}}",
        next="Take another name for the capture.",
    ),
    "E307": Explanation(
        why="A variable is computed once, before the run; one that needs its own value never has one.",
        form=Form.RUNBOOK,
        wrong='runbook: example\nvars: {a: "${{ vars.b }}", b: "${{ vars.a }}"}\n'
        + _STEPS
        + "      - {id: up, do: check, expect: true}\n",
        right='runbook: example\nvars: {a: 1, b: "${{ vars.a }}"}\n'
        + _STEPS
        + "      - {id: up, do: check, expect: true}\n",
        next="Give one of them a plain value.",
    ),
    "E308": Explanation(
        why="The inventory that was given has nobody and nothing of this name. Found now, it is a slip; found in a"
        " run, it is a fence without a host or an approval that nobody can give.",
        wrong="- {id: load, on: primray, run: uptime, effect: read}",
        right="- {id: load, on: primary, run: uptime, effect: read}",
        next="Mend the name, or add it to the inventory; drctl check RUNBOOK --inventory FILE checks against"
        " another one.",
    ),
    "E309": Explanation(
        why="`recheck` takes looks again, right before the act; `restore` carries out the ways back of the steps it"
        " names. A step that is neither there nor of that sort can be neither.",
        wrong="- {id: stop, run: stop-app, effect: idempotent}\n- {id: back, do: restore, with: {steps: [stop]}}",
        right="- {id: stop, run: stop-app, effect: idempotent, restore: {run: start-app}}\n"
        "- {id: back, do: restore, with: {steps: [stop]}}",
        next="Name a step that stands before it and is a look (recheck) or has a `restore` (restore).",
    ),
    "E310": Explanation(
        why="A step on a group, and a step with `foreach`, has many results; `steps.x.exit` would be that of nobody"
        " knows which host or turn.",
        wrong="- {id: load, on: {group: app}, run: uptime, effect: read}\n"
        "- {id: calm, do: check, expect: steps.load.exit == 0}",
        right="- {id: load, on: {group: app}, run: uptime, effect: read}\n"
        '- {id: calm, do: check, expect: "all(h in steps.load.hosts, h.exit == 0)"}',
        next="Of a table write steps.x.hosts or steps.x.here, of a loop steps.x.each; of a single result neither.",
    ),
    "E311": Explanation(
        why="A file that includes itself, directly or through others, would never end. More than 8 files inside one"
        " another, nobody can follow at night.",
        wrong="- {id: again, include: example.yaml}",
        right="- {id: again, include: other.yaml}",
        next="Write the common steps into a file of their own, and include that one from both.",
    ),
    "E312": Explanation(
        why="An included runbook sees nothing of its caller but its inputs. One that is missing would have no value in"
        " the middle of a recovery; one that the file does not have was meant for something.",
        wrong="- {id: other, include: other.yaml, with: {nobody: asked}}",
        right="- {id: other, include: other.yaml}",
        next="Give under `with` what the included file lists under `inputs`, no more and no less.",
    ),
}
