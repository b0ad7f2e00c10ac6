"""What a person gets wrong at 3 a.m.: each is told in plain words, with its exit code, and nothing is changed."""

import base64
import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e import evidence, unchanged
from tests.e2e.commands import RUNBOOK, Commands, Done
from tests.lab.running import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

_SMALL = """\
runbook: small
title: A small change
phases:
  - id: only
    title: Only
    steps:
      - {id: look, on: inv-b, do: host.status}
      - {id: backups, do: backup.list, with: {bucket: backups, name: "base/{time}/manifest.json", manifest: true}}
      - {id: touch, on: inv-b, run: touch touched, effect: idempotent, undo: {none: a file}}
"""
_PRIVATE = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
_PUBLIC = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: the exit code, what the answer must hold, and the words typed."""

    code: int
    says: tuple[str, ...]
    words: tuple[object, ...]


class Papers:
    """Documents and keys, right and wrong, in one folder."""

    def __init__(self, folder: Path, lab: RunningLab) -> None:
        self.folder = folder
        self.lab = lab
        self.text = lab.info.inventory.read_text()
        key = Ed25519PrivateKey.generate()
        self.public = key.public_key().public_bytes(*_PUBLIC).decode()
        self.key = self.secret("key", key.private_bytes(*_PRIVATE).decode())
        self.small = self.write("small.yaml", _SMALL)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def secret(self, name: str, text: str) -> Path:
        path = self.write(name, text)
        path.chmod(0o600)
        return path

    def inventory(self, name: str, pattern: str, by: str) -> Path:
        """The lab's inventory with one thing wrong."""
        changed, times = re.subn(pattern, lambda _: by, self.text)
        assert times, pattern
        return self.write(f"{name}.yaml", changed)


def fingerprint(public: str) -> str:
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def mistakes(papers: Papers) -> Mapping[str, Mistake]:
    """Everything that is done wrong here."""
    lab, small = papers.lab, papers.small
    host_key = str(lab.host("inv-b")["host_key"])
    good = lab.info.inventory
    pinned = papers.inventory("pinned", re.escape(host_key), papers.public)
    dead = papers.inventory("dead", r'endpoint: "[^"]+"', 'endpoint: "http://127.0.0.1:1"')
    away = papers.inventory("away", r"(?m)^    port: \d+$", "    port: 1")
    keys = papers.secret("s3", "WRONGKEY:a-wrong-secret-key")
    strange = papers.inventory("strange", re.escape(str(lab.folder / "keys" / "s3")) + '"', f'{keys}"')
    public = papers.write("public", keys.read_text())
    public.chmod(0o644)
    shared = papers.inventory("shared", re.escape(str(lab.folder / "keys" / "s3")) + '"', f'{public}"')
    other = papers.inventory("other", re.escape(str(lab.folder / "keys" / "login")), str(papers.key))
    word = papers.secret("word", "a wrong password\n")
    said = papers.inventory(
        "said", r'"key": "' + re.escape(str(lab.folder / "keys" / "login")) + '"', f'"password": {{"file": "{word}"}}'
    )
    wrong = papers.write("wrong.yaml", _SMALL.replace("host.status", "host.statis"))
    envir = papers.inventory("envir", 'environment: "lab"', 'environment: "labb"')
    bare = papers.inventory("bare", rf'    host_key: "{re.escape(host_key)}"\n', "")
    both = (fingerprint(host_key), fingerprint(papers.public), "the inventory pins")
    run = ("run", small, "--no-live", "--inventory")
    outage = ("run", RUNBOOK, "--no-live", "--inventory", good)
    before, nothing, unknown = "BEFORE ANYTHING WAS CHANGED", "nothing so far", "There is no run 'ABCDE'."
    return {
        "runbook": Mistake(3, ("wrong.yaml:7:35: error", "mean 'host.status'?"), ("run", wrong, "--inventory", good)),
        "inventory": Mistake(3, ("envir.yaml:", "did you mean 'lab'?", "Nothing was changed."), (*run, envir)),
        "no host key": Mistake(3, ("'host_key' is missing in host 'inv-b'", "Nothing was changed."), (*run, bare)),
        "wrong host key": Mistake(4, (*both, before), (*run, pinned)),
        "wrong host key in a plan": Mistake(4, (*both, "would stop"), ("plan", small, "--inventory", pinned)),
        "dead object store": Mistake(7, ("endpoint does not answer", "http://127.0.0.1:1", nothing), (*run, dead)),
        "dead object store in a plan": Mistake(
            4, ("does not answer", "would stop"), ("plan", small, "--inventory", dead)
        ),
        "wrong keys of the object store": Mistake(
            7, ("the keys are not accepted", "`keys:`", nothing), (*run, strange)
        ),
        "keys open to others": Mistake(4, ("can be read by others (mode 644)", before), (*run, shared)),
        "wrong SSH key": Mistake(4, ("login: ", "refused ops", before), (*run, other)),
        "wrong SSH password": Mistake(4, ("login: ", "takes publickey", before), (*run, said)),
        "nobody there": Mistake(4, ("refused: nothing listens", before), (*run, away)),
        "nobody there in a plan": Mistake(4, ("nothing listens", "would stop"), ("plan", small, "--inventory", away)),
        "no such run: show": Mistake(2, (unknown, "drctl runs list"), ("show", "ABCDE")),
        "no such run: resume": Mistake(2, (unknown, "drctl runs list"), ("resume", "ABCDE")),
        "no such run: audit": Mistake(2, (unknown, "drctl runs list"), ("audit", "verify", "ABCDE")),
        "no such run: report": Mistake(2, (unknown, "drctl runs list"), ("report", "ABCDE")),
        "no such run: approve": Mistake(2, (unknown, "drctl runs list"), ("approve", "ABCDE", "x")),
        "no such run: abort": Mistake(2, (unknown, "drctl runs list"), ("abort", "ABCDE", "--reason", "x")),
        "no place for the state": Mistake(
            4, ("The state folder cannot be used", "--state-dir FOLDER"), ("--state-dir", small / "below", *run, good)
        ),
        "input missing": Mistake(2, ("Input reporter (text) is missing", "no terminal to ask on"), outage),
        "input unknown": Mistake(2, ("The runbook has no input 'sev'",), (*outage, "-i", "sev=1")),
        "input wrong": Mistake(2, ("sev1, sev2, sev3",), (*outage, "-i", "reporter=x", "-i", "severity=bad")),
        "no inventory": Mistake(2, ("There is no inventory", "--inventory FILE"), ("run", small)),
        "no such file": Mistake(2, ("nothing.yaml: It cannot be read",), ("run", "nothing.yaml", "--inventory", good)),
        "wait is no duration": Mistake(2, ("'soon' is not a duration",), (*run, good, "--wait", "soon")),
        "no such scenario": Mistake(2, ("no scenario 'x'",), ("lab", "demo", "--scenario", "x")),
        "no such command": Mistake(2, ("No such command 'runn'",), ("runn",)),
    }


NAMES = (
    "runbook", "inventory", "no host key", "wrong host key", "wrong host key in a plan", "dead object store",
    "dead object store in a plan", "wrong keys of the object store", "keys open to others", "wrong SSH key",
    "wrong SSH password", "nobody there", "nobody there in a plan", "no such run: show",
    "no such run: resume", "no such run: audit", "no such run: report", "no such run: approve",
    "no such run: abort", "no place for the state",
    "input missing", "input unknown", "input wrong", "no inventory", "no such file", "wait is no duration",
    "no such scenario", "no such command",
)  # fmt: skip


@pytest.fixture(scope="module")
def told(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, Mistake], Mapping[str, Done]]:
    """Every mistake made once, two at a time, while the lab is looked at from outside."""
    folder = tmp_path_factory.mktemp("wrong")
    wrong, commands = mistakes(Papers(folder, lab)), Commands(folder)
    before = (unchanged.files(lab), evidence.claims(lab), evidence.owners(lab), unchanged.objects(lab))
    with ThreadPoolExecutor(2) as pool:
        ended = dict(zip(wrong, pool.map(lambda one: commands.run(*one.words), wrong.values()), strict=True))
    assert (unchanged.files(lab), evidence.claims(lab), evidence.owners(lab), unchanged.objects(lab)) == before
    return wrong, ended


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_told_in_plain_words(told: tuple[Mapping[str, Mistake], Mapping[str, Done]], name: str) -> None:
    wrong, ended = told[0][name], told[1][name]
    seen = " ".join((ended.out + ended.err).split())  # however it was wrapped
    assert ended.code == wrong.code, str(ended)
    for words in wrong.says:
        assert words in seen, f"{words!r} is missing in {ended}"
    assert "Traceback" not in seen
    assert "has a defect" not in seen


def test_every_mistake_is_tried(told: tuple[Mapping[str, Mistake], Mapping[str, Done]]) -> None:
    assert set(told[0]) == set(NAMES)


def test_no_port_of_a_lab_was_chosen_by_hand(lab: RunningLab) -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [int(port) for port in re.findall(r'(?:127\.0\.0\.1:|"port": )(\d{2,5})\b', lab.info.inventory.read_text())]
    ports += [int(edge["port"]) for edge in lab.info.data["edges"].values()]
    assert len(ports) >= 15
    assert all(low <= port <= high for port in ports), ports
