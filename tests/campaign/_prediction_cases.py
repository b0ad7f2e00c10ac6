"""What the campaign `predictions` plays: for each step kind, steps in the lab and what they touch.

`touches` is a command whose output shows all that the step could change; drctl has no part in it. In the texts,
`<name>` stands for a figure of the running lab.
"""

from dataclasses import dataclass

IT = "it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A phase whose step `it` is of the kind.

    Attributes:
        steps: the phase's steps as YAML, one a line.
        host: where `before`, `touches` and `after` run; empty for the one of the inbox.
        before: what makes the lab ready; it runs once.
        after: what puts it back.
        volatile: outputs that are another at every look.
        again: whether the same steps are planned and run a second time, when all is done already.
    """

    kind: str
    steps: str
    host: str = "gw"
    before: str = ""
    touches: str = "true"
    after: str = ""
    volatile: tuple[str, ...] = ()
    again: bool = False


_PING = "3 packets transmitted, 2 received, 33% packet loss"
_MAKE_PING = f"printf '#!/bin/sh\\necho {_PING!r}\\n' >bin/ping && chmod 755 bin/ping"
_MAKE_REBOOT = (  # a lab host has no machine of its own to restart: another boot id is what it would show
    "mv bin/systemctl bin/systemctl.lab && "
    """printf '#!/bin/sh\\ncat /proc/sys/kernel/random/uuid >"%s/etc/boot-id"\\n' "$PWD" >bin/systemctl && """
    "chmod 755 bin/systemctl"
)
_ARCHIVE = "mkdir -p tmp/p/in && echo x >tmp/p/in/f && tar -czf tmp/p/a.tgz -C tmp/p/in f"
_UNIT = "systemctl show -p MainPID -p ActiveState -p UnitFileState"
_ROUTE = "nginx/routes/invoices.conf"
_TREE = "find tmp/p -type f -exec sha256sum {} + 2>/dev/null; ls -lR tmp/p 2>/dev/null | grep -v total || :"
_BACKUP = "first(steps.listed.backups)"

LOOKS = (
    Case(kind="shell", steps="- {id: it, on: gw, run: cat etc/boot-id, effect: read}"),
    Case(kind="http.check", steps="- {id: it, on: gw, do: http.check, with: {url: '<power>/inv-a'}}",
         volatile=("latency", "headers")),
    Case(kind="http.check", steps="- {id: it, do: http.check, with: {url: '<power>/nothing'}}",
         volatile=("latency", "headers")),
    Case(kind="http.request", steps="- {id: it, do: http.request, with: {url: '<power>/inv-b'}, effect: read}",
         volatile=("latency", "headers")),
    Case(kind="tcp.check", steps="- {id: it, do: tcp.check, with: {host: inv-a, port: <port>}}", volatile=("latency",)),
    Case(kind="tcp.check", steps="- {id: it, do: tcp.check, with: {host: 127.0.0.1, port: 1}, expect: refused}",
         volatile=("latency",)),
    Case(kind="tcp.check", steps="- {id: it, do: tcp.check, with: {host: 127.0.0.1, port: 1}}", volatile=("latency",)),
    Case(kind="ping.check", steps="- {id: it, on: gw, do: ping.check, with: {host: inv-a}}", before=_MAKE_PING),
    Case(kind="ping.check", steps="- {id: it, do: ping.check, with: {host: no-such-host.invalid}}"),
    Case(kind="dns.check", steps="- {id: it, do: dns.check, with: {name: far.example, server: 127.0.0.1, port: <dns>}}",
         volatile=("latency",)),
    Case(kind="dns.check", volatile=("latency",),
         steps="- {id: it, do: dns.check, with: {name: gone.example, server: 127.0.0.1, port: <dns>}}"),
    Case(kind="host.status", steps="- {id: it, on: gw, do: host.status}",
         volatile=("uptime", "load", "memory_free", "disks", "processes")),
    Case(kind="host.reboot", steps="- {id: it, on: gw, do: host.reboot, timeout: 60s}", before=_MAKE_REBOOT,
         touches="cat etc/boot-id", after="mv bin/systemctl.lab bin/systemctl"),
    Case(kind="log.scan", volatile=("size",),
         steps="- {id: it, on: inv-a, do: log.scan, with: {path: log/invoices.log, patterns: {odd: no such words}}}"),
    Case(kind="file.read", steps="- {id: it, on: inv-a, do: file.read, with: {path: etc/machine-id}}"),
    Case(kind="file.read", steps="- {id: it, on: inv-a, do: file.read, with: {path: etc/nothing}}"),
    Case(kind="postgres.status", steps="- {id: it, on: inv-b, do: postgres.status}",
         volatile=("lag", "replayed_at", "lsn")),
    Case(kind="postgres.query", steps="- {id: it, on: inv-b, do: postgres.query, with: {sql: SELECT 1 AS n}}"),
    Case(kind="backup.list",
         steps="- {id: it, do: backup.list, with: {bucket: backups, name: 'base/{time}/manifest.json'}}"),
    Case(kind="records.compare",
         steps="- {id: it, do: records.compare, with: {left: [{n: 1}, {n: 2}], right: [{n: 2}], key: n}}"),
)  # fmt: skip

VALUES = (
    Case(kind="check", steps="- {id: it, do: check, expect: run.mode == 'live'}"),
    Case(kind="check", steps="- {id: it, do: check, expect: run.mode == 'drill'}"),
    Case(kind="set", steps="- {id: it, do: set, with: {n: '${{ 1 + 1 }}'}}"),
    Case(kind="decide",
         steps="- {id: it, do: decide, with: {rules: [{if: run.mode == 'live', then: a}], otherwise: b}}"),
    Case(kind="wait", steps="- {id: it, do: wait, with: {for: 100ms}}"),
    Case(kind="manual", steps="- {id: it, do: manual, with: {say: Look at the lamp.}}"),
)  # fmt: skip

ACTS = (
    Case(kind="shell", steps="- {id: it, on: gw, run: mkdir -p tmp/p && date >tmp/p/d, effect: idempotent}",
         touches=_TREE, after="rm -rf tmp/p"),
    Case(kind="http.request", host="traffic",
         steps="- {id: it, do: http.request, with: {url: '<traffic>/pause', method: POST}, effect: idempotent}"),
    Case(kind="postgres.exec", host="inv-a", touches="psql -Atc \"SELECT to_regclass('predicted')\"",
         after="psql -c 'DROP TABLE predicted'",
         steps="- {id: it, on: inv-a, do: postgres.exec, with: {sql: CREATE TABLE predicted ()}, effect: idempotent}"),
    Case(kind="postgres.set", host="inv-b", touches="cat pg/data/postgresql.auto.conf", again=True,
         steps="- {id: it, on: inv-b, do: postgres.set, with: {setting: work_mem, value: 5MB}}",
         after="psql -c 'ALTER SYSTEM RESET work_mem'"),
    Case(kind="postgres.start", host="inv-b", touches=f"{_UNIT} postgresql",
         steps="- {id: it, on: inv-b, do: postgres.start, with: {service: postgresql}}"),
    Case(kind="postgres.start", host="inv-b", touches=f"{_UNIT} postgresql", before="systemctl stop postgresql",
         steps="- {id: it, on: inv-b, do: postgres.start, with: {service: postgresql}}", again=True),
    Case(kind="service", host="inv-b", touches=f"{_UNIT} invoices",
         steps="- {id: it, on: inv-b, do: service, with: {name: invoices, state: restarted}}"),
    Case(kind="service", host="inv-b", touches=f"{_UNIT} invoices", again=True, after="systemctl start invoices",
         steps="- {id: it, on: inv-b, do: service, with: {name: invoices, state: stopped, enabled: true}}"),
    Case(kind="file.put", touches=_TREE, after="rm -rf tmp/p", before="mkdir -p tmp/p", again=True,
         steps="- {id: it, on: gw, do: file.put, with: {path: tmp/p/f, text: \"down\\n\", mode: '640'}}"),
    Case(kind="file.put", touches=_TREE, after="rm -rf tmp/p", again=True,
         before="mkdir -p tmp/p && echo old >tmp/p/f",
         steps="- {id: it, on: gw, do: file.put, with: {path: tmp/p/f, text: new}}"),
    Case(kind="archive.unpack", touches=_TREE, before=_ARCHIVE, after="rm -rf tmp/p", again=True,
         steps="- {id: it, on: gw, do: archive.unpack, with: {from: tmp/p/a.tgz, to: tmp/p/out}}"),
    Case(kind="backup.fetch", host="inv-b", touches=_TREE, after="rm -rf tmp/p", again=True, steps=f"""\
- id: listed
  do: backup.list
  with: {{bucket: backups, name: "base/{{time}}/manifest.json", manifest: true}}
- id: it
  on: inv-b
  do: backup.fetch
  with:
    bucket: backups
    key: "${{{{ {_BACKUP}.key }}}}"
    version: "${{{{ {_BACKUP}.version }}}}"
    sha256: "${{{{ {_BACKUP}.sha256 }}}}"
    to: tmp/p/base.tar.gz"""),
    Case(kind="traffic.switch", touches=f"cat {_ROUTE}", before=f"cp {_ROUTE} tmp/route", again=True,
         steps=f"- {{id: it, on: gw, do: traffic.switch, with: {{route: {_ROUTE}, to: '<upstream>'}}}}",
         after=f"cat tmp/route >{_ROUTE} && nginx -s reload"),
    Case(kind="notify", host="", steps="- {id: it, do: notify, with: {to: [oncall], text: A prediction.}}"),
    Case(kind="restore", touches="cat tmp/back 2>/dev/null || :", after="rm -f tmp/back", steps="""\
- id: held
  on: gw
  run: "true"
  effect: idempotent
  restore: {run: echo back >>tmp/back}
- {id: it, do: restore, with: {steps: [held]}}"""),
)  # fmt: skip

LAST = Case(
    kind="postgres.promote", host="inv-b", touches="psql -Atc 'SELECT pg_is_in_recovery()'", again=True, steps="""\
- id: fence
  do: fence.host
  on: inv-a
  with:
    methods: [{do: service, with: {name: postgresql, state: stopped, enabled: false}}]
    proof: [{do: postgres.status, expect: not accepting}]
- {id: it, on: inv-b, do: postgres.promote}"""
)  # fmt: skip
"""The one that cannot be put back: it is played last, and only when all are."""

ALL = (*LOOKS, *VALUES, *ACTS)
