"""E2xx: the shape of a document."""

from __future__ import annotations

from typing import Final

from drctl.loading.explanations.form import Explanation, Form

_STEPS = "phases:\n  - id: only\n    steps:\n      - {id: up, do: check, expect: true}\n"

SHAPES: Final[dict[str, Explanation]] = {
    "E201": Explanation(
        why="A key that is not known might be the one that mattered: a misspelled `timeout` would leave a step"
        " without its limit, and nobody would notice before the night it is needed. drctl never ignores what it"
        " does not know.",
        wrong="- {id: load, run: uptime, effect: read, timout: 5s}",
        right="- {id: load, run: uptime, effect: read, timeout: 5s}",
        next="Write the key that the hint names. `drctl kinds KIND` shows the fields of a kind.",
    ),
    "E202": Explanation(
        why="Without this key it is not known what is meant, and drctl does not guess.",
        wrong="- {run: uptime, effect: read}",
        right="- {id: load, run: uptime, effect: read}",
        next="Add the key; the hint says what it is for.",
    ),
    "E203": Explanation(
        why="A list, a map or a text stands where another is expected. Often an indentation is wrong, or a number"
        " has lost its unit. `yes` and `on` are texts here; the words for yes and no are `true` and `false`.",
        wrong='- {id: web, do: http.check, with: {url: "http://app.example"}, observe: yes}',
        right='- {id: web, do: http.check, with: {url: "http://app.example"}, observe: true}',
        next="Write the value in the form that the message names.",
    ),
    "E204": Explanation(
        why="The value is of the right form, and is none that this key can have: out of its range, not among the"
        " choices, or not of its type.",
        wrong="- {id: pause, do: wait, with: {for: 30}}",
        right="- {id: pause, do: wait, with: {for: 30s}}",
        next="Take one of the values that the message names.",
    ),
    "E205": Explanation(
        why="The language has this, and this version of drctl cannot do it yet. It would be worse to leave it out"
        " silently than to refuse the document.",
        form=Form.INVENTORY,
        wrong="inventory: example\nenvironment: lab\nhosts:\n  db1:\n    address: 192.0.2.1\n    login: {user: ops}\n"
        "    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkhtwiHTsHGRkKTfk4oW2M5VTztKmRxuX5k/2ka3LCq\n"
        "    spare_for: db2\n",
        right="inventory: example\nenvironment: lab\nhosts:\n  db1:\n    address: 192.0.2.1\n    login: {user: ops}\n"
        "    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkhtwiHTsHGRkKTfk4oW2M5VTztKmRxuX5k/2ka3LCq\n",
        next="Do without it, in the way that the hint names.",
    ),
    "E206": Explanation(
        why="Names stand in expressions, in addresses of steps and in file names: small letters, digits, `_` and"
        " `-` between them, at most 60 characters, a letter first; and none of the words that the language uses"
        " itself (`run`, `steps`, `in` ...).",
        wrong="- {id: Look-1, do: check, expect: true}",
        right="- {id: look-1, do: check, expect: true}",
        next="Take another name.",
    ),
    "E207": Explanation(
        why="`steps.look` would mean two things, and a report could not tell them apart.",
        wrong="- {id: look, run: uptime, effect: read}\n- {id: look, run: df, effect: read}",
        right="- {id: load, run: uptime, effect: read}\n- {id: disk, run: df, effect: read}",
        next="Give one of the two another name; the hint says where the first stands.",
    ),
    "E208": Explanation(
        why="A step does one thing: a kind (`do`), a script (`run`), a block (`steps`), or branches side by side"
        " (`parallel`). With two it is not known which comes first, with none there is nothing to do.",
        wrong="- {id: load, do: check, run: uptime}",
        right="- {id: load, run: uptime, effect: read}",
        next="Keep one of them; make two steps of it when both are meant.",
    ),
    "E209": Explanation(
        why="The key exists and means nothing here: a look changes nothing, so there is nothing to undo, and an act"
        " is not observed. It was probably meant for another step.",
        wrong="- {id: load, run: uptime, effect: read, undo: {none: it only looks}}",
        right="- {id: load, run: uptime, effect: read}",
        next="Move the key to the step that it belongs to, or delete it; the hint gives the reason.",
    ),
    "E210": Explanation(
        why="Two keys contradict each other, or one has no meaning without another. `until` without a limit would"
        " look for ever.",
        wrong="- {id: up, run: test -e /ready, effect: read, until: {every: 5s}}",
        right="- {id: up, run: test -e /ready, effect: read, until: {every: 5s, within: 2m}}",
        next="Add the key that is missing, or delete one of the two.",
    ),
    "E211": Explanation(
        why="What a second time would do must be known before a step runs: a plan takes looks only, and a run that"
        " was interrupted repeats nothing that must happen once. What a script does, only its author can say. A"
        " kind with an effect of its own cannot be given another.",
        wrong="- {id: load, run: uptime}",
        right="- {id: load, run: uptime, effect: read}",
        next="Write effect: read (only looks), idempotent (twice is as once), once (must not happen twice), or"
        " irreversible.",
    ),
    "E212": Explanation(
        why="An act that must not happen twice can break off at any moment. Then only a `verify` can tell whether"
        " it happened, and only an `undo` (or the reason why there is none) says how it is taken back.",
        wrong="- {id: note, run: echo switched >> log.txt, effect: once}",
        right="- id: note\n  run: echo switched >> log.txt\n  effect: once\n  verify: {run: grep -q switched log.txt}\n"
        "  undo: {none: a line in a log does no harm}",
        next="Add verify: with a look, and undo: with a step or {none: WHY}.",
    ),
    "E213": Explanation(
        why="There is no step kind of this name, so drctl cannot know what it would do.",
        wrong="- {id: db, on: standby, do: postgres.statsu, observe: true}",
        right="- {id: db, on: standby, do: postgres.status, observe: true}",
        next="drctl kinds   (lists them all)",
    ),
    "E214": Explanation(
        why="Some kinds act on a host and need one; others run on the machine of drctl only. On the wrong machine"
        " an act can do harm.",
        wrong="- id: fence\n  do: fence.host\n  with:\n    methods: [{run: stop-app}]\n"
        "    proof: [{run: pgrep app, on: local, expect: exit == 1}]",
        right="- id: fence\n  on: primary\n  do: fence.host\n  with:\n    methods: [{run: stop-app}]\n"
        "    proof: [{run: pgrep app, on: local, expect: exit == 1}]",
        next="Write on: HOST, on: ROLE or on: local, on the step, its block or its phase.",
    ),
    "E215": Explanation(
        why="A look whose result nobody judges is always ok. Then a run goes on whatever was seen, and looks checked.",
        form=Form.WORDS,
        wrong="a look of a kind without a criterion of its own, with neither `expect` nor `observe`",
        right="the same with `expect: EXPRESSION`, or with `observe: true` when a later step judges it",
        next="Add expect: with what must be true.",
    ),
    "E216": Explanation(
        why="Branches run side by side. Two that act on one host can meet there in any order, and each is right"
        " only alone.",
        wrong="- id: both\n  parallel:\n    - {id: stop, on: primary, run: stop-app, effect: idempotent}\n"
        "    - {id: clear, on: primary, run: clear-cache, effect: idempotent}",
        right="- id: both\n  on: primary\n  steps:\n    - {id: stop, run: stop-app, effect: idempotent}\n"
        "    - {id: clear, run: clear-cache, effect: idempotent}",
        next="Put the two into one branch, or use steps: instead of parallel:",
    ),
    "E217": Explanation(
        why="A `first_ok` loop tries one member after another until one is ok. A step in it is thus begun several"
        " times, and one that must not happen twice cannot stand there.",
        wrong="- id: load\n  foreach: {backup: [new, old]}\n  first_ok: true\n  run: load-backup\n  effect: once\n"
        "  verify: {run: test -e loaded}\n  undo: {none: a copy}",
        right="- id: load\n  foreach: {backup: [new, old]}\n  first_ok: true\n  run: load-backup\n  effect: idempotent",
        next="Choose the member in the loop, and act on it in a step after it.",
    ),
}
