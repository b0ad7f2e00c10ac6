"""The clients of the bench `ssh`, each a whole process: how one is started, and what it says became of each host."""

import base64
import getpass
import hmac
import json
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.farm import Word, address
from bench.measure import ROOT
from bench.process_tree import Ended, measured
from bench.ssh_peers import Task
from drctl.adapters.journal import NAME as JOURNAL
from drctl.adapters.journal_reader import read
from drctl.core.records import Record
from tests.fakes.sshservers import Keys

Outcomes = Mapping[str, str]
"""What became of each host: `ok`, or a fault whose first word is its kind."""
_LONG = 60
_SSH = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A workload on hosts of a farm.

    Attributes:
        words: what each host does, host 1 first.
        effect: of drctl's steps.
        limit: seconds that connecting to a host may take; None = long enough for the good hosts of a busy machine.
        size: bytes that each step writes.
        verified: drctl looks after each act whether its effect is there.
        transport: drctl's, as in `--transport`; its own when empty.
    """

    folder: Path
    keys: Keys
    tree: Path
    port: int
    words: Sequence[Word]
    steps: int = 1
    at_once: int = 50
    limit: int | None = None
    size: int = 0
    effect: str = "read"
    verified: bool = False
    transport: str = ""

    @property
    def hosts(self) -> Mapping[str, str]:
        """Name to address."""
        return {f"h{number}": address(number) for number, _ in enumerate(self.words, 1)}

    @property
    def command(self) -> str:
        """What each step runs: nothing, or so many bytes on stdout."""
        return f"head -c {self.size} /dev/zero" if self.size else "true"

    def own(self) -> Path:
        """A new folder."""
        made = self.folder / secrets.token_hex(4)
        made.mkdir()
        return made

    def known_hosts(self) -> Path:
        """A file with the key of each host."""
        file, key = self.folder / f"known-{self.port}", self.keys.public("host")
        file.write_text("".join(f"[{at}]:{self.port} {key}\n" for at in self.hosts.values()))
        return file

    def hashed(self, entries: int) -> Path:
        """The same as OpenSSH's HashKnownHosts writes it, among so many entries."""
        file, key = self.folder / f"hashed-{self.port}", self.keys.public("host")
        others = [f"10.0.{number // 250}.{number % 250}" for number in range(entries - len(self.hosts))]
        lines = []
        for at in (*others, *self.hosts.values()):
            name, salt = at if self.port == _SSH else f"[{at}]:{self.port}", secrets.token_bytes(20)
            mac = hmac.digest(salt, name.encode(), "sha1")
            lines.append(f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(mac).decode()} {key}\n")
        file.write_text("".join(lines))
        return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A client's run: its figures, and what it says of each host."""

    ended: Ended
    outcomes: Outcomes
    records: Sequence[Record] = ()


# --- drctl ------------------------------------------------------------------------------------------------------------


def drctl(work: Work, *, memory: bool = False) -> Done:
    """`drctl run`, its journal on, from a copy of the package with bytecode."""
    own = work.own()
    over = ("--transport", work.transport) if work.transport else ()
    words = ("run", "--no-live", "--fan-out", str(work.at_once), *over)
    ended = _drctl(work, own, {"host_key": work.keys.public("host")}, *words, memory=memory)
    journals = list((own / "state").rglob(JOURNAL))
    records = [record for file in journals for record in read(file)]
    found = dict.fromkeys(work.hosts, "nothing")
    steps = dict.fromkeys(work.hosts, 0)
    for record in records:
        host, path = str(record.body.get("host", "")), str(record.body.get("path", ""))
        if record.type == "step_finished" and host in found and path.endswith(f"/@{host}"):  # not its verify's
            steps[host] += 1
            outcome, because = str(record.body["outcome"]), str(record.body.get("because", ""))
            found[host] = outcome if outcome == "ok" else f"{outcome}: {because}"
    short = {name: f"{count} steps of {work.steps}" for name, count in steps.items() if count != work.steps}
    return Done(ended=ended, outcomes=found | short, records=records)


def drctl_check(work: Work, own: Path, keys: Mapping[str, object]) -> Ended:
    """`drctl check`, the inventory's hosts with these host keys."""
    return _drctl(work, own, keys, "check")


def _drctl(work: Work, own: Path, keys: Mapping[str, object], *words: str, memory: bool = False) -> Ended:
    (own / "book.yaml").write_text(_runbook(work))
    (own / "inventory.yaml").write_text(json.dumps(_inventory(work, keys)))
    env = _environment(own) | {
        "PYTHONPATH": str(work.tree), "PYTHONDONTWRITEBYTECODE": "1", "DRCTL_STATE": str(own / "state"),
    }  # fmt: skip
    argv = [sys.executable, "-m", "drctl", *words, "book.yaml", "--inventory", "inventory.yaml"]
    return measured(argv, env=env, cwd=own, memory=memory)


def _runbook(work: Work) -> str:
    step: dict[str, object] = {"on": {"group": "fleet"}, "run": work.command, "effect": work.effect}
    if work.limit is not None:
        step |= {"timeout": f"{work.limit}s", "observe": True}
    if work.effect != "read":
        step |= {"undo": {"none": "nothing is there to be taken back"}}
    if work.verified:
        step |= {"verify": {"run": "true"}}
    lines = "".join(f"      - {json.dumps({'id': f's{n}'} | step)}\n" for n in range(1, work.steps + 1))
    return f"runbook: fleet\nphases:\n  - id: p\n    steps:\n{lines}"


def _inventory(work: Work, keys: Mapping[str, object]) -> dict[str, object]:
    hosts = {name: {"address": at, "state_dir": str(work.folder / "claims" / name)} for name, at in work.hosts.items()}
    login = {"user": getpass.getuser(), "key": str(work.keys.folder / "client")}
    defaults = {"port": work.port, "groups": ["fleet"], "login": login, **keys}
    return {"inventory": "farm", "environment": "lab", "zone": "UTC", "hosts": hosts, "defaults": defaults}


# --- peers ------------------------------------------------------------------------------------------------------------


def python_client(name: str, work: Work, *, memory: bool = False) -> Done:
    """A client of `bench.ssh_peers`."""
    own = work.own()
    task = Task(
        hosts=work.hosts, port=work.port, user=getpass.getuser(), key=str(work.keys.folder / "client"),
        host_key=work.keys.public("host"), known_hosts=str(work.known_hosts()), command=work.command, bytes=work.size,
        steps=work.steps, at_once=work.at_once, limit=work.limit or _LONG,
    )  # fmt: skip
    task.write(own / "task.json")
    env = _environment(own) | {"PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "bench.ssh_peers", name, str(own / "task.json")]
    ended = measured(argv, env=env, cwd=own, memory=memory)
    return Done(ended=ended, outcomes=json.loads(ended.stdout) if ended.code == 0 else _none(work, ended))


def openssh(work: Work, *, memory: bool = False) -> Done:
    """`xargs -P 50 ssh` for each step; with more than one, by a ControlMaster for each host, in the background."""
    own = work.own()
    options = _openssh_options(work)
    if work.steps > 1:
        options |= {"ControlMaster": "auto", "ControlPersist": "600", "ControlPath": str(own / "%h")}
    (own / "config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    (own / "hosts").write_text("".join(f"{at}\n" for at in work.hosts.values()))
    ssh = f"ssh -F config {{}} {shlex.quote(work.command)}"
    at_once = f"xargs -P {work.at_once} -I {{}}"
    if work.limit is not None:  # xargs stops at the first 255 that ssh itself gives
        script = f"{at_once} sh -c '{ssh} 2>/dev/null; echo {{}} $?' <hosts"
    elif work.size:
        script = f"{at_once} {ssh} <hosts >stdout"
    else:
        script = f"for n in $(seq {work.steps}); do {at_once} {ssh} <hosts || exit 1; done"
    ended = measured(["/bin/sh", "-c", script], env=_environment(own), cwd=own, memory=memory)
    if work.limit is not None:
        exits = dict(line.split() for line in ended.stdout.splitlines())
        found = {name: exits.get(at, "nothing") for name, at in work.hosts.items()}
        return Done(ended=ended, outcomes={n: "ok" if code == "0" else f"exit {code}" for n, code in found.items()})
    size = (own / "stdout").stat().st_size if work.size else 0
    said = "ok" if size == work.size else f"{size} bytes"
    return Done(ended=ended, outcomes=dict.fromkeys(work.hosts, said) if ended.code == 0 else _none(work, ended))


def ansible(work: Work, *, memory: bool = False) -> Done:
    """`ansible-playbook` of raw steps, with the connections it keeps by itself (ControlPersist)."""
    own = work.own()
    options = _openssh_options(work)
    said = " ".join(f"-o {name}={value}" for name, value in options.items())
    common = f"ansible_port={work.port}\nansible_user={options['User']}\nansible_ssh_common_args='-F none {said}'"
    lines = "".join(f"{name} ansible_host={at}\n" for name, at in work.hosts.items())
    (own / "hosts").write_text(f"[fleet]\n{lines}[fleet:vars]\n{common}\n")
    tasks = [{"name": f"s{n}", "raw": work.command} for n in range(work.steps)]
    play = {"hosts": "fleet", "gather_facts": False, "tasks": tasks}
    (own / "play.yaml").write_text(json.dumps([play]))
    env = _environment(own) | {
        "ANSIBLE_FORKS": str(work.at_once), "ANSIBLE_TIMEOUT": str(work.limit or _LONG), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_PIPELINING": "1", "ANSIBLE_SSH_CONTROL_PATH_DIR": str(own / "cp"), "ANSIBLE_HOME": str(own),
        "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    ended = measured(["ansible-playbook", "-i", "hosts", "play.yaml"], env=env, cwd=own, memory=memory)
    recap = re.findall(r"^(h\d+) +: ok=(\d+) .*?unreachable=(\d+) +failed=(\d+)", ended.stdout, re.MULTILINE)
    good = (str(work.steps), "0", "0")
    found = {name: "ok" if tuple(counts) == good else f"unreachable={counts[1]}" for name, *counts in recap}
    return Done(ended=ended, outcomes=_none(work, ended) | found)


def version(command: str) -> str:
    """The first line of what a command says of itself, or nothing when it is not here."""
    if not shutil.which(command):
        return ""
    ended = measured([command, "-V" if command == "ssh" else "--version"], env=dict(os.environ), cwd=ROOT)
    return (ended.stdout or ended.stderr).partition("\n")[0].strip()


def _openssh_options(work: Work) -> dict[str, str]:
    return {
        "Port": str(work.port), "User": getpass.getuser(), "IdentityFile": str(work.keys.folder / "client"),
        "UserKnownHostsFile": str(work.known_hosts()), "GlobalKnownHostsFile": "/dev/null", "IdentitiesOnly": "yes",
        "IdentityAgent": "none", "BatchMode": "yes", "StrictHostKeyChecking": "yes", "LogLevel": "ERROR",
        "KexAlgorithms": "curve25519-sha256", "ConnectTimeout": str(work.limit or _LONG),
    }  # fmt: skip


def _none(work: Work, ended: Ended) -> dict[str, str]:
    words = (ended.stderr or ended.stdout).strip().splitlines()
    return dict.fromkeys(work.hosts, f"exit {ended.code}: {words[-1] if words else 'nothing said'}")


def _environment(home: Path) -> dict[str, str]:
    dropped = ("DRCTL_", "PYTHON", "XDG_", "ANSIBLE_", "SSH_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | {"HOME": str(home)}
