"""No value is ever executed: hostile values in every field of every kind, told to a fake and to the real shell.

The fields come from the registry, so a new kind is covered by itself. Three proofs: the scripts a kind sends are the
same whatever the value is (all values, a fake shell); a canary file that the values try to make and that must not be
there (the real shell: all values in fields that reach it, the sharpest in all others); and the value itself, which must
arrive unchanged or be refused with a reason. That the values are hostile is shown first.
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drctl.adapters.local import LocalShell
from drctl.core.holdings import LinkError
from drctl.core.kind import ActKind, EngineKind, FieldError, FieldSpec, Kind, LookKind
from drctl.core.ports import Claim, ClaimReply, Command, DatabaseFacts, HttpReply, PortReply, Probe, Reach, Reply
from drctl.core.scripts import ResolvedScript, Script
from drctl.core.values import Map
from drctl.engine.fields import coerce
from drctl.kinds import registry
from tests.fakes.hosts import FakeHost
from tests.fakes.scopes import Names
from tests.kinds.samples import FIELDS
from tests.kinds.worlds import ClaimedOnce, Facts, Machine, Notices, Objects, Ports, Web, act, probe

HOSTILE = (
    "'", '"', "`touch canary`", "$(touch canary)", "; touch canary", "a && touch canary", "| touch canary",
    "'; touch canary; '", '"; touch canary; "', "\\'; touch canary; \\'", "${x:-$(touch canary)}",
    "a\ntouch canary\n", "\r\ntouch canary", "EOF\ntouch canary\nEOF", "nul\0; touch canary", "-rf", "--help",
    "-e touch canary", "*", "~/../*", "\x1b[2J\x1b]0;touch canary\x07", "\u202e;touch canary", "\ud7ff\U0010ffff",
    "${{ inputs.x }}", "}}${{ run.id", "%s%n%d", "'; DROP TABLE invoices; --", "\\! touch canary",
    "\\set x `touch canary`", ":'x'", "$DRCTL_1", "x" * 40_000, "", " ", "> canary",
)  # fmt: skip
# one of each sort: every field of every kind is carried out with each of them
SHARP = (*[value for value in HOSTILE if "canary" in value][::2], "-rf", "*", "")
TEXTS = frozenset({"text", "host", "any", "list", "map", "script", "argv"})
AUTHORS = {("postgres.query", "sql"), ("postgres.exec", "sql")}
"""Fields whose text is code of the author: values come by another field (`args`), never into them."""
OWN = sorted(name for name, kind in registry().items() if not issubclass(kind, EngineKind))
CASES = [
    (name, spec.name)
    for name in OWN
    for spec in registry()[name].fields()
    if spec.type in TEXTS and not spec.choices and (name, spec.name) not in AUTHORS
]


MARK = "m4rk"
PLAIN = (MARK, "another", "a/b", "-x", "", " ", "two words", "line\nline\n", "*", "/abs/path", "x:y")
"""Values with nothing hostile in them, of every form that a kind may tell apart."""


class Kept:
    """A shell, with everything sent to it kept."""

    def __init__(self, shell: LocalShell | FakeHost) -> None:
        self._shell = shell
        self.sent: list[Command] = []

    def read(self, command: Command) -> Reply:
        self.sent.append(command)
        return self._shell.read(command)

    def run(self, claim: Claim, command: Command) -> ClaimReply:
        self.sent.append(command)
        return self._shell.run(claim, command)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the shell has
        return getattr(self._shell, name)


@dataclass
class World:
    """A shell, and recorders for everything else."""

    shell: Kept
    web: Web = field(default_factory=lambda: Web(HttpReply(reach=Reach.COMPLETE, status=200, body=b"{}")))
    ports: Ports = field(default_factory=lambda: Ports(PortReply(reach=Reach.UNREACHABLE, because="no route")))
    notices: Notices = field(default_factory=Notices)
    objects: Objects = field(default_factory=Objects)

    def key(self) -> str:
        """The key of a new claim."""
        return f"{len(self.shell.sent):064x}"

    def probe(self) -> Probe:
        databases = {"": DatabaseFacts(name="invoices", port=None, user="app", password=None)}
        return probe(shell=self.shell, http=self.web, dialer=self.ports, objects=self.objects, facts=Facts(databases))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    machine = Machine(tmp_path, monkeypatch)
    monkeypatch.chdir(machine.home)
    for name in ("psql", "systemctl", "nginx"):
        machine.program(name, "cat >/dev/null 2>&1; exit 0")
    return World(shell=Kept(LocalShell(tmp_path / "state")))


def told(name: str, wanted: str, value: str) -> list[Command]:
    """What a shell that runs nothing is told with this value in a field; nothing when it is refused."""
    world = World(shell=Kept(FakeHost().on("", 0)))  # content with everything
    try:
        carried_out(made(name, wanted, value), world)
    except FieldError as error:
        if not error.summary:
            pytest.fail("a refusal says why")
        return []
    return world.shell.sent


def reaches_a_shell(name: str, wanted: str) -> bool:
    """Whether the field's value is handed to a shell in any way."""
    found = told(name, wanted, MARK)
    return any(MARK in f"{one.script} {one.env} {one.stdin!r} {one.cwd}" for one in found)


def given(spec: FieldSpec, value: str) -> Any:  # noqa: ANN401 - what a field of any type takes
    """The hostile value in a field of its type, where a template may put it."""
    match spec.type:
        case "script":
            return Script.parse("printf %s ${{ x }}").resolve(Names(x=value))
        case "argv":
            return ("printf", "%s", value)
        case "list":
            return (value,)
        case "map":
            return Map({"x": value})
        case _:
            return value


def made(name: str, wanted: str, value: str) -> Kind:
    """The kind's sample with one field hostile.

    Raises:
        FieldError: the value was refused.
    """
    kind = registry()[name]
    spec = next(one for one in kind.fields() if one.name == wanted)
    fields: dict[str, Any] = dict(FIELDS[name])
    if wanted == "argv":
        fields.pop("run", None)
    if wanted == "json":
        fields.pop("body", None)
    put = given(spec, value)
    if wanted == "args":
        fields["sql"] = "SELECT :'x' AS x"
    fields[wanted] = put if isinstance(put, ResolvedScript) else coerce(spec, put)
    return kind(**fields)


def carried_out(kind: Kind, world: World) -> None:
    """Do everything with it that a run does."""
    looking = world.probe()
    kind.describe(looking.facts)
    if isinstance(kind, LookKind):
        kind.look(looking)
    if isinstance(kind, ActKind):
        kind.digest(looking.facts)
        kind.preview(looking)
        try:
            kind.execute(
                act(looking, shell=ClaimedOnce(world.shell, key=world.key()), http=world.web, notifier=world.notices)
            )
        except LinkError as error:
            if not str(error):
                pytest.fail("a failure has a reason")
        kind.verify(looking)


def canaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.strip() == "canary"]


def pasted(folder: Path) -> int:
    """How many of the values are executed when they are pasted into a script."""
    found = 0
    for number, value in enumerate(HOSTILE):
        own = folder / str(number)
        own.mkdir()
        for text in (f"echo {value}", f"echo '{value}'", f'echo "{value}"'):
            if "\0" not in text and len(text) < 1000:
                subprocess.run(
                    ["/bin/sh", "-c", text], cwd=own, check=False, capture_output=True, stdin=subprocess.DEVNULL
                )
        found += bool(canaries(own))
    return found


def test_the_values_are_hostile(tmp_path: Path) -> None:
    assert pasted(tmp_path) >= 14


def test_every_kind_has_a_sample() -> None:
    assert set(OWN) <= set(FIELDS), "give the new kind a sample in tests/kinds/samples.py"


@pytest.mark.parametrize(("name", "wanted"), CASES, ids=[f"{name}-{wanted}" for name, wanted in CASES])
def test_what_a_shell_is_told_to_do_is_the_same_whatever_the_value_is(
    name: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scripts = {one.script for value in PLAIN for one in told(name, wanted, value)}
    for value in HOSTILE:
        for command in told(name, wanted, value):
            assert command.script in scripts, f"{value!r} changed a script"


@pytest.mark.parametrize(("name", "wanted"), CASES, ids=[f"{name}-{wanted}" for name, wanted in CASES])
def test_a_hostile_value_is_data_or_refused(name: str, wanted: str, world: World, tmp_path: Path) -> None:
    for value in HOSTILE if reaches_a_shell(name, wanted) else SHARP:
        try:
            kind = made(name, wanted, value)
            carried_out(kind, world)
        except FieldError as error:
            if not error.summary:
                pytest.fail("a refusal says why")
            continue
        assert canaries(tmp_path) == [], f"{value!r} was executed"
        scripts = [one.script for one in world.shell.sent]
        if "touch canary" in value and wanted != "argv":
            assert not any("touch canary" in script for script in scripts), f"{value!r} stands in a script"
    assert canaries(tmp_path) == []


@pytest.mark.parametrize("value", [one for one in HOSTILE if "\0" not in one])
@pytest.mark.parametrize("wanted", ["run", "argv", "env", "stdin"])
def test_a_shell_step_gets_the_value_unchanged(world: World, wanted: str, value: str) -> None:
    script = {"env": 'printf %s "$x"', "stdin": "cat"}
    kind = registry()["shell"]
    spec = next(one for one in kind.fields() if one.name == wanted)
    fields = {wanted: given(spec, value)}
    if wanted in script:
        fields["run"] = Script.parse(script[wanted]).resolve(Names())
    if wanted == "run":
        fields["run"] = Script.parse("printf %s ${{ x }}").resolve(Names(x=value), allow_dash=True)
    shell = kind(**fields)
    assert isinstance(shell, LookKind)
    found = shell.look(world.probe())
    assert found.streams.get("stdout", b"").decode() == value
