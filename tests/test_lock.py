"""The lock files: hashed, free of addresses, complete, and in step with pyproject.toml.

No network: what a package requires is read from the metadata of the packages installed here.
"""

import ast
import importlib.metadata
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "drctl" / "_lock"
NAMES = ("demo", "test", "uv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    name: str
    version: str
    marker: Marker | None
    hashes: frozenset[str]


def read_lock(name: str) -> list[Pin]:
    """Every entry of a lock file; a line that is not part of one is an error, not skipped."""
    pins = []
    for entry in (LOCKS / f"{name}.txt").read_text("ascii").replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", entry.strip())
        parsed = Requirement(requirement)
        (specifier,) = parsed.specifier
        assert specifier.operator == "==", entry
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), entry
        pins.append(
            Pin(
                name=canonicalize_name(parsed.name),
                version=specifier.version,
                marker=parsed.marker,
                hashes=frozenset(hashes),
            )
        )
    return pins


def applying(name: str) -> dict[str, str]:
    """Name and version of every pin that applies to this Python on this machine."""
    return {pin.name: pin.version for pin in read_lock(name) if pin.marker is None or pin.marker.evaluate()}


def declared(group: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    texts = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["lab"]]
    if group == "test":
        texts += project["dependency-groups"]["test"]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_names_no_address_and_every_entry_is_hashed(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text("ascii")
    for trace in ("http", "://", "file:", "--index", "--find-links", "#", " @ "):
        assert trace not in text
    pins = read_lock(name)
    assert pins
    assert [pin.name for pin in pins if not pin.hashes] == []


@pytest.mark.parametrize("group", ["demo", "test"])
def test_the_lock_agrees_with_pyproject(group: str) -> None:
    pins = applying(group)
    disagreeing = [
        str(wanted)
        for wanted in declared(group)
        if canonicalize_name(wanted.name) not in pins
        or not wanted.specifier.contains(pins[canonicalize_name(wanted.name)], prereleases=True)
    ]
    assert disagreeing == [], "run .ci/lock"


@pytest.mark.parametrize("group", ["demo", "test"])
def test_the_lock_is_what_pyproject_needs_no_more_and_no_less(group: str) -> None:
    """The installers are told not to look for dependencies, so one that is missing from the lock would be missing."""
    pins = applying(group)
    needed: set[str] = set()
    waiting = [(canonicalize_name(wanted.name), frozenset(wanted.extras), wanted) for wanted in declared(group)]
    seen = set()
    while waiting:
        name, extras, wanted = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        needed.add(name)
        assert name in pins, f"{wanted} is needed, but not in {group}.txt: run .ci/lock"
        assert wanted.specifier.contains(pins[name], prereleases=True), f"{wanted}, but {group}.txt has {pins[name]}"
        for text in importlib.metadata.requires(name) or []:
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in ["", *extras]):
                waiting.append((canonicalize_name(further.name), frozenset(further.extras), further))
    assert set(pins) - needed == set()


def test_the_test_lock_is_the_demo_lock_and_more() -> None:
    """The bootstrap adds the test packages to a demo environment in place: that must replace nothing."""

    def entries(name: str) -> set[tuple[str, str, str, frozenset[str]]]:
        return {(pin.name, pin.version, str(pin.marker), pin.hashes) for pin in read_lock(name)}

    assert entries("demo") < entries("test")


def test_uv_is_pinned_for_the_platforms_drctl_runs_on() -> None:
    (pin,) = read_lock("uv")
    assert pin.name == "uv"
    assert len(pin.hashes) > 10, "the wheels of all platforms, not only of the machine that locked"


def third_party_imports(folder: Path) -> dict[str, str]:
    """Top-level modules that are neither the standard library's nor this project's, each with a file that wants it."""
    wanted: dict[str, str] = {}
    for file in sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"), filename=str(file))
        for node in ast.walk(tree):
            if _only_for_types(node):
                node.body = []  # what a type checker reads need not be there when the product runs
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for top in {module.split(".")[0] for module in modules}:
                if top not in sys.stdlib_module_names and top not in ("drctl", "tests", "bench"):
                    wanted.setdefault(top, str(file.relative_to(ROOT)))
    return wanted


def _only_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize(("folder", "group"), [("drctl", "demo"), ("tests", "test"), ("bench", "test")])
def test_every_import_is_declared_and_locked(folder: str, group: str) -> None:
    """Declared, not only locked: what another package happens to bring may be gone with its next version."""
    distributions = importlib.metadata.packages_distributions()
    direct = {canonicalize_name(wanted.name) for wanted in declared(group)}
    brought = {"botocore": "boto3", "werkzeug": "flask", "invoke": "fabric", "_pytest": "pytest"}  # parts of their API
    for module, file in third_party_imports(ROOT / folder).items():
        providers = {canonicalize_name(name) for name in distributions.get(brought.get(module, module), [])}
        assert providers & direct, f"{file} imports {module}, which pyproject.toml does not declare for {group}"
        assert providers & set(applying(group)), f"{file} imports {module}, which {group}.txt does not have"
