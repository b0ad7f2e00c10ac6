"""E1xx: the text is not the plain YAML that two readers always read alike."""

from __future__ import annotations

from typing import Final

from drctl.loading.explanations.form import Explanation, Form

_STEPS = "phases:\n  - id: only\n    steps:\n      - {id: up, do: check, expect: true}\n"

PLAIN_YAML: Final[dict[str, Explanation]] = {
    "E100": Explanation(
        why="A runbook is approved by people who read it. Characters that cannot be seen (control characters, marks"
        " that turn the direction of writing) can make it say something else than what is read. A file that is"
        " not UTF-8, or larger than 1 MiB, is not read at all.",
        form=Form.RUNBOOK,
        wrong=f'runbook: example\ntitle: "Stop \u202eeht\u202c service"\n{_STEPS}',
        right=f'runbook: example\ntitle: "Stop the service"\n{_STEPS}',
        next="Save the file as UTF-8 and delete the character at the place that is named; editors show it as a code.",
    ),
    "E101": Explanation(
        why="The text could not be read as YAML from the place on that is named, so nothing behind it was looked"
        " at. The usual reasons are a quote that is never closed, a tab in front of a line, or a `: ` inside a"
        " plain text.",
        form=Form.RUNBOOK,
        wrong=f'runbook: example\ntitle: "Bring it back\n{_STEPS}',
        right=f'runbook: example\ntitle: "Bring it back"\n{_STEPS}',
        next="Mend this one first: what else is wrong shows afterwards.",
    ),
    "E102": Explanation(
        why="In YAML a plain text that begins with `!` is a tag, and the tag is not part of the text: `! test -e x`"
        " would become `test -e x`, the opposite of what was written.",
        wrong="- {id: gone, run: ! test -e /var/run/app.pid, effect: read}",
        right='- {id: gone, run: "! test -e /var/run/app.pid", effect: read}',
        next="Put the text in quotes.",
    ),
    "E103": Explanation(
        why="An anchor (`&x`) and its alias (`*x`) make one line mean what another says. Who reads line 300 of a"
        " runbook at night does not look for line 12.",
        form=Form.RUNBOOK,
        wrong="runbook: example\ntitle: &t Bring it back\ndescription: *t\n" + _STEPS,
        right="runbook: example\ntitle: Bring it back\ndescription: Bring it back\n" + _STEPS,
        next='Write it out twice; a value that is used often goes into `vars`: "${{ vars.NAME }}".',
    ),
    "E104": Explanation(
        why="A merge key (`<<`) takes keys from elsewhere, and readers differ on which of two equal keys counts.",
        form=Form.RUNBOOK,
        wrong="runbook: example\nvars: {<<: {port: 5432}, name: app}\n" + _STEPS,
        right="runbook: example\nvars: {port: 5432, name: app}\n" + _STEPS,
        next="Write the keys out.",
    ),
    "E105": Explanation(
        why="Of two equal keys most readers keep the last and say nothing: half of what was approved is not there.",
        wrong="- {id: look, run: uptime, effect: read, timeout: 5s, timeout: 50s}",
        right="- {id: look, run: uptime, effect: read, timeout: 5s}",
        next="Delete one of the two.",
    ),
    "E106": Explanation(
        why="A key is a plain text. A list or a map as a key is nearly always a bracket or a `?` at the wrong place.",
        form=Form.RUNBOOK,
        wrong="runbook: example\nvars: {[port]: 5432}\n" + _STEPS,
        right="runbook: example\nvars: {port: 5432}\n" + _STEPS,
        next="Write the key without brackets.",
    ),
    "E107": Explanation(
        why="A file is one document. What stands behind a line `---` would be approved and never run.",
        form=Form.RUNBOOK,
        wrong="runbook: example\n" + _STEPS + "---\nrunbook: another\n" + _STEPS,
        right="runbook: example\n" + _STEPS,
        next="Put the second document into a file of its own, and delete the line `---`.",
    ),
    "E108": Explanation(
        why="A document nested deeper than 32 levels, or with more than 100,000 values, was made by a program that"
        " went wrong, or by somebody who wants to stop this one.",
        form=Form.RUNBOOK,
        wrong=f"runbook: example\nvars: {{deep: {'[' * 40}1{']' * 40}}}\n" + _STEPS,
        right="runbook: example\nvars: {deep: [1]}\n" + _STEPS,
        next="Divide it into several runbooks, or look at the program that wrote it.",
    ),
    "E109": Explanation(
        why="Only the first 200 problems are shown; the others are there all the same, and the document is refused.",
        form=Form.WORDS,
        wrong="a file with 201 mistakes",
        right="the same file with the first 200 mended, checked again",
        next="Correct those that are shown, then: drctl check RUNBOOK",
    ),
    "E110": Explanation(
        why="Inside [] and {} one reader of YAML takes a `?` for a part of the text, and another ends the text there or"
        " gives up. What a document says must not depend on who reads it.",
        wrong="- {id: logs, run: ls /var/log/app.?, effect: read}",
        right='- {id: logs, run: "ls /var/log/app.?", effect: read}',
        next="Put the text in quotes.",
    ),
}
