"""The examples of `docs/language.md`, by name: whole runbooks, or lists of steps as they stand under `steps:`.

A test loads each of them with `inventory.example.yaml`, and none may draw a warning.
"""

from __future__ import annotations

from typing import Final

INCLUDED: Final = "restart-web.yaml"
"""The file that an example includes; its text is the example `included`."""

EXAMPLES: Final[dict[str, str]] = {
    "yaml": """\
runbook: plain
title: {en: "Is it up?", zh: 服务是否正常}
phases:
  - id: all
    steps:
      - {id: logs, run: "ls /var/log/app.?", effect: read}
      - id: kept
        run: |
          ! test -e stopped
        effect: read
""",
    "document": """\
runbook: invoice-outage
title: Bring the invoice system back
objectives: {rto: 15m, rpo: 5m}
drill: {every: 90d, never_on: [month-end, friday]}
scenario: {lost: [sso]}
locks: [invoice-traffic]
inputs:
  severity: {type: choice, of: [sev1, sev2], default: sev2, ask: "How bad is it?"}
vars: {url: "http://127.0.0.1:8080"}
phases:
  - id: diagnose
    title: Find the kind of fault
    steps:
      - {id: web, do: http.check, with: {url: "${{ vars.url }}/healthz"}, observe: true}
  - id: tell
    when: steps.web.failed and inputs.severity == 'sev1'
    caution: This wakes people up.
    steps:
      - {id: call, do: notify, with: {to: [oncall], text: "${{ vars.url }} is down."}}
outputs: {down: steps.web.failed}
""",
    "inputs": """\
runbook: inputs
inputs:
  target: {type: host, of: {group: database}, ask: "Which host?"}
  level: {type: int, default: 1, min: 1, max: 9}
  share: {type: decimal, default: 0.25, max: 1}
  room: {type: size, default: 4GiB}
  patience: {type: duration, default: 10m, max: 1h}
  seen_at: {type: time, optional: true, ask: "When was it last seen working?"}
  spares: {type: list, of: host, default: []}
  ticket: {type: text, pattern: "INC-[0-9]+", default: INC-0}
  token: {type: secret, from: "env:API_TOKEN"}
phases:
  - id: all
    when: known(inputs.seen_at) or empty(inputs.spares)
    steps:
      - id: look
        on: "${{ inputs.target }}"
        run: report --level ${{ inputs.level }} --ticket ${{ inputs.ticket }}
        with: {env: {TOKEN: "${{ inputs.token }}"}}
        effect: read
      - {id: disk, do: host.status, on: "${{ inputs.target }}", expect: memory_free > inputs.room * inputs.share}
      - {id: pause, do: wait, with: {for: "${{ inputs.patience }}"}}
""",
    "types": """\
- id: units
  do: check
  expect:
    - 1h30m > 5000s and 4KiB == 4096B and 1.5 == 1.50
    - now() - run.started_at < 7d
    - 90s / 1s == 90 and 3 * 1s == 3s
    - time('2026-01-31T23:59:59Z') > time('31.01.2026 23:59 +0800', '%d.%m.%Y %H:%M %z')
""",
    "names": """\
- {id: look, run: echo 3, effect: read, capture: {count: int(stdout)}}
- id: seen
  do: check
  expect: [steps.look.ok, steps.look.count == 3, "steps.look.elapsed < 10s", "hosts['primary'].port > 0"]
""",
    "step": """\
- {id: seen, run: "cat VERSION || true", effect: read, capture: {version: trim(stdout)}}
- id: mark
  title: Leave a mark
  hint: The folder may be full.
  takes: 1s
  run: printf '%s\\n' "$WHY" > marked.txt
  with: {env: {WHY: "${{ steps.seen.version }}"}}
  effect: once
  timeout: 30s
  unless: {run: test -s marked.txt}
  verify: {run: test -s marked.txt}
  undo: {run: rm -f marked.txt}
""",
    "effects": """\
- {id: looks, run: uptime, effect: read}
- {id: again, run: mkdir -p exports, effect: idempotent, verify: {run: test -d exports}}
- id: never-again
  run: destroy-volume old
  effect: irreversible
  verify: {run: "! volume-exists old"}
  undo: {none: the volume is gone}
""",
    "ends": """\
- {id: web, do: http.check, with: {url: "http://127.0.0.1/"}, observe: true}
- {id: closed, do: tcp.check, with: {host: primary, port: 5432}, expect: refused or silent, tolerate: [failed]}
- {id: clean, run: rm -f cache, effect: idempotent, on_failure: rollback, undo: {none: the cache fills by itself}}
- {id: judged, do: check, when: steps.web.failed, expect: "steps.web.outcome in ['failed', 'unreachable']"}
""",
    "places": """\
- id: load
  on: {group: database, take: 1}
  run: uptime
  effect: read
- id: each-load
  on: {hosts: "[hosts['primary'], hosts['standby'], hosts['gateway']]", except: "hosts['gateway']", max_failures: 1}
  as: postgres
  run: uptime
  effect: read
- id: quiet
  on: {group: database, where: steps.each-load.here.ok}
  run: pause-jobs
  effect: idempotent
  verify: {run: jobs-paused}
- id: rolling
  on: {group: database, batch: 1, canaries: 1, soak: 30s, all_or_none: true}
  steps:
    - {id: renew, run: renew-certificates, effect: idempotent, undo: {run: renew-certificates --old}}
    - {id: works, run: check-certificates, effect: read}
""",
    "blocks": """\
- id: both
  parallel:
    - {id: left, run: "true", effect: read}
    - id: right
      uninterruptible: true
      steps:
        - {id: first, run: "true", effect: read}
        - {id: second, run: "true", effect: read}
- {id: restart, include: restart-web.yaml, with: {patience: 2m}, timeout: 10m}
- {id: took, do: check, expect: steps.restart.waited < 2m}
""",
    "included": """\
runbook: restart-web
inputs: {patience: {type: duration}}
phases:
  - id: all
    steps:
      - id: up
        do: http.check
        with: {url: "http://127.0.0.1/healthz"}
        until: {every: 5s, within: "2m"}
        expect: latency < inputs.patience
outputs: {waited: steps.up.elapsed}
""",
    "loops": """\
- id: words
  foreach: {word: [one, two], number: "[1, 2]"}
  at_once: 2
  max_failures: 1
  run: printf '%s' "${{ word }}${{ number }}"
  effect: read
- id: newest
  foreach: {file: "['b.tar', 'a.tar']"}
  first_ok: true
  steps:
    - {id: sound, run: "tar -tf ${{ file }}", effect: read}
- {id: named, do: check, expect: "steps.newest.file == 'b.tar' and len(steps.words.each) == 4"}
- id: up
  do: http.check
  with: {url: "http://127.0.0.1/healthz"}
  until:
    every: 2s
    within: 5m
    in_a_row: 3
    escalate:
      - {after: 2m, steps: [{id: tell, do: notify, with: {to: [oncall], text: Still not up.}}]}
- {id: copy, run: copy-files, effect: idempotent, verify: {run: same-files}, retry: {every: 5s, times: 3, backoff: 2}}
""",
    "people": """\
- {id: lag, run: echo 3, effect: read, capture: {behind: int(stdout)}, expect: int(stdout) < 10}
- id: way
  do: decide
  with:
    rules: [{if: steps.lag.behind < 5, then: promote}]
    otherwise: wait
    ask: always
- id: agree
  do: manual
  with:
    say: Tell the users.
    ask: {told: {type: int, min: 0}}
    by: [commander]
    within: 30m
    evidence: optional
- {id: enough, do: check, expect: steps.agree.told > 0}
- id: switch
  when: steps.way.value == 'promote'
  run: switch-over
  effect: once
  caution: Users are sent away for a minute.
  approve: {by: [commander], within: 10m, show: [steps.lag.behind]}
  recheck: [lag]
  verify: {run: is-switched}
  undo: {run: switch-back}
""",
    "ways": """\
- id: pause
  run: touch paused
  effect: idempotent
  undo: {none: the restore below puts it back}
  restore: {run: rm -f paused, when: steps.pause.started}
- {id: cron, do: service, on: primary, with: {name: cron, state: stopped}, undo: auto, restore: auto}
- id: cut
  run: cut-over
  effect: irreversible
  verify: {run: is-cut-over}
  undo: {none: the old side no longer gets the writes}
  point_of_no_return: true
- {id: resume, do: restore, with: {steps: [pause]}}
""",
    "fences": """\
- id: fence
  do: fence.host
  on: primary
  with:
    methods: [{run: stop-database, timeout: 10s}, {run: power-off primary, on: local}]
    proof:
      - any:
          - {run: power-is-off primary}
          - {do: tcp.check, with: {host: primary, port: 5432}, expect: refused}
  marks: fenced
- {id: target, do: set, with: {unit: postgresql, since: "${{ marks.fenced }}"}}
- {id: settle, do: wait, with: {for: 30s}}
- {id: ours, do: check, expect: steps.target.unit == 'postgresql'}
- id: lift
  do: fence.lift
  on: primary
  with: {methods: [{run: power-on primary, on: local}], proof: [{run: power-is-on primary}]}
""",
    "clocks": """\
- {id: noticed, run: last-good-write, effect: read, marks: {fault: time(trim(stdout))}}
- {id: up, do: http.check, with: {url: "http://127.0.0.1/healthz"}, marks: [outage_end, service_restored]}
- {id: fast, do: check, expect: marks.service_restored - marks.fault < 1h}
""",
    "expressions": """\
- {id: sizes, run: printf '3\\n5\\n', effect: read, capture: {largest: "max(map(x in lines(stdout), int(x)))"}}
- {id: enough, do: check, expect: ["steps.sizes.largest >= 5", "run.elapsed < 30m"]}
""",
    "functions": """\
- id: table
  run: printf 'a 1\\nb 2\\n'
  effect: read
  capture:
    rows: columns(stdout, 'name count')
    total: "sum(map(r in columns(stdout, 'name count'), int(r.count)))"
    first: match(stdout, '^([a-z]+) ')
- {id: sure, do: check, expect: ["steps.table.total == 3", "any(r in steps.table.rows, r.name == 'b')"]}
""",
    "unknown": """\
- {id: maybe, when: run.drill, run: echo 3, effect: read, capture: {n: int(stdout)}}
- {id: used, do: check, expect: "default(steps.maybe.n, 0) < 5 and (known(steps.maybe.n) or not run.drill)"}
""",
}
