"""The documents that `drctl new` writes: they load as they stand, and their comments teach.

The names of hosts, roles and people are those of the two skeletons together; nothing in them exists anywhere. The host
keys are of 32 zero bytes: no machine can have them, so no run can reach a machine by mistake.
"""

from __future__ import annotations

from typing import Final

RUNBOOK_SCHEMA: Final = "drctl-runbook.schema.json"
INVENTORY_SCHEMA: Final = "drctl-inventory.schema.json"
"""The names of the schemas that are written beside a new document; its first line names it to an editor."""


def runbook_skeleton(name: str, schema: str = RUNBOOK_SCHEMA) -> str:
    """A runbook of this name, with the six phases of an emergency."""
    return _RUNBOOK.replace("@NAME@", name).replace("@SCHEMA@", schema)


def inventory_skeleton(name: str, schema: str = INVENTORY_SCHEMA) -> str:
    """An inventory of this name, with every host, role and channel that the runbook's skeleton uses."""
    return _INVENTORY.replace("@NAME@", name).replace("@SCHEMA@", schema)


_RUNBOOK: Final = """\
# yaml-language-server: $schema=@SCHEMA@
# A runbook. Phases and steps run in the order written; nothing jumps. Replace what is not yours, then:
#   drctl check FILE     says everything that is wrong       drctl kinds      lists what a step can do
#   drctl plan FILE      looks only, and shows what would run    drctl explain CODE   says more of a problem
runbook: @NAME@
title: Bring the service back
description: What this is for, and when it is used. People read it at 3 a.m.
objectives: {rto: 30m, rpo: 5m}          # what is promised: how long it may take, how much may be lost

inputs:                                  # asked for before the run starts, never later
  reporter: {type: text, ask: "Who reports the fault?"}
  noticed_at: {type: time, optional: true, ask: "When was it noticed?"}

vars:                                    # constants; texts may hold templates, as below
  health: "${{ hosts['primary'].facts.app_url }}/healthz"

phases:
  # 1. Report: write down what is known. A mark sets a clock; the recovery time counts from `declared`.
  - id: report
    title: Report
    steps:
      - id: incident
        do: set
        with: {reporter: "${{ inputs.reporter }}"}
        marks: {detected: "default(inputs.noticed_at, run.started_at)", declared: run.started_at}

  # 2. Diagnose: look only, from all sides. `observe` lets the run go on whatever is seen; `decide` judges it.
  - id: diagnose
    title: Find the kind of fault
    steps:
      - id: probes
        parallel:                        # branches, side by side
          - {id: web, do: http.check, with: {url: "${{ vars.health }}"}, observe: true}
          - {id: machine, on: primary, do: host.status, observe: true}
          - {id: spare, on: standby, do: host.status, observe: true}
      - id: fault
        title: The kind of fault
        do: decide                       # the first true rule wins; a person is asked when none can be judged
        with:
          rules:
            - {if: steps.machine.failed, then: machine}
            - {if: steps.web.failed, then: software}
          otherwise: none

  # 3. Activate: is this an emergency? Then tell people, and let one of them agree.
  - id: activate
    title: Activate the plan
    steps:
      - id: criterion
        do: check
        expect: steps.fault.value != 'none'
        hint: Nothing is wrong that this runbook could mend. Close the run with drctl abort.
      - id: tell
        do: notify
        with: {to: [oncall], text: "Fault: ${{ steps.fault.value }}. Run ${{ run.id }} has begun."}

  # 4. Act: every act says what it does to the world (effect), how it is known to have worked (verify), and how it is
  #    taken back (undo). Effects: read, idempotent (twice is as once), once (must not happen twice), irreversible.
  - id: act
    title: Move to the standby
    when: steps.fault.value == 'machine'
    steps:
      - {id: fit, on: standby, do: host.status, expect: memory_free > 512MiB}
      - id: activate_standby
        title: Start the service on the standby
        on: standby
        caution: From now on the standby takes the writes.
        approve: {by: [commander], within: 10m}
        recheck: [fit]                   # looked at again after the approval, right before the act
        do: service
        with: {name: app, state: started}
        undo: auto                       # the kind knows its own way back
      - id: note
        title: Leave a note for those who come after
        on: standby
        run: printf '%s\\n' "$WHO" >> switched.txt
        with: {env: {WHO: "${{ inputs.reporter }}"}}    # values reach a script as environment, never as its text
        effect: once
        verify: {run: test -s switched.txt}             # after a crash this tells whether it happened
        undo: {none: a note does no harm}

  # 5. Verify: look until it is well, and set the clock that ends the outage.
  - id: verify
    title: Is it back?
    steps:
      - id: up
        do: http.check
        with: {url: "${{ hosts['standby'].facts.app_url }}/healthz"}
        until: {every: 5s, within: 5m, in_a_row: 3}
        marks: [service_restored, outage_end]

  # 6. Follow up: what people have to do, and what they found.
  - id: follow-up
    title: Follow up
    steps:
      - id: review
        do: manual
        with:
          say: Write down the cause, and who mends what was only got around.
          ask: {cause: {type: text, ask: "What was the cause?"}}
          by: [commander]
"""

_INVENTORY: Final = """\
# yaml-language-server: $schema=@SCHEMA@
# An inventory: where things are, how to log in, who may decide. No templates, and never a secret: only where it is.
# drctl finds it by --inventory, by DRCTL_INVENTORY, or as inventory.yaml in the current folder.
inventory: @NAME@
environment: staging                     # lab, staging or production; production plans with more care
zone: UTC                                # time zone of calendars, such as Asia/Shanghai

sites:
  a: {title: First site}
  b: {title: Second site}

hosts:
  app-a:                                 # replace this name, the address, and above all the host key
    address: 192.0.2.10
    site: a
    role: primary                        # one host holds a role; a runbook says `on: primary`
    groups: [app]
    facts: {app_url: "http://192.0.2.10:8080"}    # constants: hosts['primary'].facts.app_url
    # The first two words of /etc/ssh/ssh_host_ed25519_key.pub, read on the machine's console, not over the network.
    # This one belongs to no machine.
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
  app-b:
    address: 192.0.2.20
    site: b
    role: standby
    groups: [app]
    facts: {app_url: "http://192.0.2.20:8080"}
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA

defaults:                                # for every host that does not say otherwise
  login: {user: ops, key: ~/.ssh/id_ed25519}

channels:                                # ways to tell people; `secret` says where a token is: env:NAME, file:PATH
  oncall: {type: webhook, url: "https://hooks.example/oncall", secret: "env:ONCALL_TOKEN"}

people:
  li: {name: Li Na, logins: [lina]}
  wang: {name: Wang Wei, logins: [wangwei]}

roles:                                   # roles of people: who may approve and answer
  commander: [li, wang]
"""
