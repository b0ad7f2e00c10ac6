"""Runbooks of any length for the benches, written as people write them, with the inventory they need.

The steps are of the forms of the runbook that comes with drctl: maps over several lines and in one, scripts, templates,
conditions on earlier steps, texts in two languages, ways back, blocks. `{n}` makes every id unique. How many bytes and
nodes a line has on average is told by the bench.
"""

HEAD = """\
runbook: generated
title: {en: A long failover, zh: 长切换}
description: Made up; nothing of it is a recovery.
objectives: {rto: 1h, rpo: 5m}
inputs:
  limit: {type: duration, default: 10s, max: 5m, ask: "How much loss is acceptable?"}
  target: {type: host, default: app1, of: {group: app}}
  severity: {type: choice, of: [sev1, sev2], default: sev1}
vars:
  url: "http://${{ inputs.target }}.example"
  health: "${{ vars.url }}/healthz"
phases:
"""

INVENTORY = """\
inventory: generated
environment: lab
zone: Asia/Shanghai
sites: {a: {title: A}, b: {title: B}}
defaults:
  login: {user: ops, key: keys/ops}
  host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA5HN9fWIaTnGdf5hAyuk/SjMbMAoCXzZAcuGqZkSj1M
hosts:
  db1: {address: 192.0.2.11, site: a, role: db-primary, groups: [database], facts: {power: "http://power.example/db1"}}
  db2: {address: 192.0.2.12, site: b, role: db-standby, groups: [database]}
  app1: {address: 192.0.2.21, site: a, groups: [app]}
  app2: {address: 192.0.2.22, site: b, groups: [app]}
buckets: {backups: {bucket: backups, endpoint: "http://127.0.0.1:9000", region: eu-west-1, keys: {file: keys/s3}}}
channels: {oncall: {type: webhook, url: "http://hook.example/oncall"}}
people: {li: {name: Li Na, logins: [li]}, wang: {logins: [wang]}}
roles: {commander: [li, wang]}
"""

PHASE = """\

  # {n} -- look, decide, hold, act, prove
  - id: phase{n}
    title: {{en: "Part {n}", zh: "第 {n} 部分"}}
    when: inputs.severity == 'sev1'
    on_failure: pause
    steps:
      - id: look{n}
        title: Look from every side
        parallel:
          - id: web{n}
            title: The service from outside
            do: http.check
            with:
              url: "${{{{ vars.health }}}}?{n}"
              headers: {{X-Run: "${{{{ run.id }}}}"}}
            expect: status == 200 and latency < 2s
            observe: true
          - {{id: port{n}, do: tcp.check, with: {{host: db1, port: 5432}}, observe: true, timeout: 3s}}
          - id: disk{n}
            title: {{en: Room on the disk, zh: 磁盘空间}}
            on: db-standby
            run: |
              df -Pk / | tail -1
              echo "seen by ${{{{ run.operator }}}}"
            effect: read
            capture:
              free: int(columns(first(lines(stdout)), 'fs blocks used free')[0].free)
            expect: free > 1000
            tolerate: [unreachable, timeout]
      - id: standby{n}
        title: Is the standby fit?
        on: db-standby
        do: postgres.status
        expect: [in_recovery, lag <= inputs.limit]
        until:
          every: 2s
          within: 1m
          in_a_row: 3
        hint: "The lag is too large on ${{{{ host.name }}}}; wait, or ask the commander."
      - id: fault{n}
        title: Which kind of fault is it?
        do: decide
        with:
          rules:
            - {{if: steps.port{n}.failed and steps.web{n}.failed, then: database}}
            - {{if: steps.web{n}.failed, then: web}}
            - {{if: "default(steps.disk{n}.free, 0) < 5000", then: disk}}
          otherwise: none
      - id: named{n}
        title: Names for what follows
        do: set
        with:
          fault: "${{{{ steps.fault{n}.value }}}}"
          bad: "${{{{ steps.fault{n}.value in ['database', 'web', 'disk'] }}}}"
      - id: hold{n}
        title: Hold the writers
        when: steps.named{n}.bad
        on: app1
        as: deploy
        # Others may write again as soon as the run is over, in whatever way.
        run: |
          set +e
          test -e /run/hold-{n} && exit 0
          touch /run/hold-{n}
          systemctl kill -s HUP writer-{n}
          echo held ${{{{ steps.named{n}.fault }}}} "by ${{{{ run.id }}}}"
        effect: once
        timeout: 30s
        unless: {{run: test -e /run/hold-{n}}}
        verify:
          run: test -e /run/hold-{n}
          timeout: 5s
        undo: {{run: rm -f /run/hold-{n}}}
        restore: {{run: rm -f /run/hold-{n}}}
        marks: outage_start
      - id: change{n}
        title: {{en: Change over, zh: 切换}}
        caution: "Users of ${{{{ hosts['db1'].site }}}} are cut off for a minute."
        approve:
          by: [commander]
          within: 10m
          show: [steps.standby{n}.lag, steps.fault{n}.value]
        recheck: [standby{n}]
        on: db-standby
        do: service
        with:
          name: app-{n}
          state: restarted
          enabled: true
        retry: {{times: 3, every: 5s, backoff: 2}}
      - id: rows{n}
        title: Nothing was lost
        on: db-standby
        do: postgres.query
        with:
          sql: |
            SELECT count(*) AS n, max(issued_at) AS newest
            FROM invoices
            WHERE issued_at > now() - interval '1 hour' AND part = :'part';
          args: {{part: "${{{{ steps.named{n}.fault }}}}"}}
        capture: {{n: "rows[0].n"}}
        expect:
          - count == 1
          - "any(row in rows, row.n >= 0)"
      - id: after{n}
        title: What people do by hand
        when: steps.named{n}.fault == 'web'
        steps:
          - id: call{n}
            do: manual
            with:
              say:
                en: "Call the provider about ${{{{ steps.named{n}.fault }}}}."
                zh: 打电话给供应商
              ask: {{ticket: {{type: text, ask: "Number?"}}}}
              by: [commander]
              within: 30m
            expect: starts_with(ticket, 'INC')
          - {{id: tell{n}, do: notify, with: {{to: [oncall], text: "Part {n}, ${{{{ inputs.severity }}}}"}}}}
      - {{id: settle{n}, do: wait, with: {{for: 5s}}}}
      - id: well{n}
        title: Does it work again?
        do: check
        expect: not steps.hold{n}.failed and (steps.rows{n}.ok or steps.standby{n}.lag < 1m)
        hint: Look at the application's log on app1.
"""


def long_runbook(lines: int) -> str:
    """A runbook that ends with the first step that reaches so many lines."""
    found = HEAD.splitlines()
    number = 0
    while len(found) < lines:
        for line in PHASE.format(n=number).splitlines():
            if len(found) >= lines and line.startswith("      - "):
                break
            found.append(line)
        number += 1
    return "\n".join(found) + "\n"
