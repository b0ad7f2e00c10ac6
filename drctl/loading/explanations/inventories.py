"""E4xx: the inventory."""

from __future__ import annotations

from typing import Final

from drctl.loading.explanations.form import Explanation, Form

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkhtwiHTsHGRkKTfk4oW2M5VTztKmRxuX5k/2ka3LCq"
_HEAD = "inventory: example\nenvironment: lab\n"
_HOST = f"hosts:\n  db1:\n    address: 192.0.2.1\n    login: {{user: ops}}\n    host_key: {_KEY}\n"

INVENTORIES: Final[dict[str, Explanation]] = {
    "E401": Explanation(
        why="Two entries contradict each other, or one names another that is not there. A role held by two hosts"
        " could send a promotion to either.",
        form=Form.INVENTORY,
        wrong=_HEAD + "people: {li: {name: Li Na}}\nroles: {commander: [wang]}\n",
        right=_HEAD + "people: {li: {name: Li Na}}\nroles: {commander: [li]}\n",
        next="Mend one of the two entries. Hosts, roles of hosts and groups share one set of names.",
    ),
    "E402": Explanation(
        why="Without a host key drctl cannot know whether it speaks to the right machine, and in an outage the"
        " wrong one may answer. It never learns a key from the network. A known_hosts file is read strictly: a line"
        " with a marker that cannot be read may revoke the very key that is shown.",
        form=Form.INVENTORY,
        wrong=_HEAD + "hosts:\n  db1: {address: 192.0.2.1, login: {user: ops}}\n",
        right=_HEAD + _HOST,
        next="On the console of the host: cat /etc/ssh/ssh_host_ed25519_key.pub   (write its first two words as"
        " host_key)",
    ),
    "E403": Explanation(
        why="Documents are copied, approved, printed and kept with every run. A secret in one of them is a secret"
        " no more; take it for known, and change it.",
        form=Form.INVENTORY,
        wrong=_HEAD + "databases:\n  app: {user: postgres, password: correct-horse}\n",
        right=_HEAD + 'databases:\n  app: {user: postgres, password: "env:APP_PASSWORD"}\n',
        next="Write where it is: env:NAME, file:PATH, or {cmd: [PROGRAM, ARGUMENT]}.",
    ),
}
