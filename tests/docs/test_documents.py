"""Every document is true: its commands run, its YAML loads, its links lead somewhere, its tables are the code's."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.cli.app import COMMANDS, run
from drctl.errors import Exit
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from tests.docs.blocks import DOCUMENTS, ROOT, Block, Command, blocks, prose

TUTORIAL = ROOT / "docs" / "tutorial.md"
EVERY = [block for document in DOCUMENTS for block in blocks(document)]
SHELL = [
    block
    for block in EVERY
    if block.language in {"sh", "console"} and block.document != TUTORIAL  # played as a whole, by test_tutorial.py
]
YAML = [block for block in EVERY if block.language == "yaml"]
PLAIN = {"text", "json"}
"""Blocks that claim nothing."""

COVERED_ELSEWHERE = {
    "python3 -m drctl.bootstrap demo": [("tests/test_bootstrap.py", "demo"), ("tests/e2e/test_demo.py", "demo")],
    "python3 -m drctl.bootstrap test": [("tests/test_bootstrap.py", "test"), (".ci/run", "drctl\\.bootstrap test")],
    ".venv/bin/ruff check .": [(".ci/run", 'ruff" check .')],
    ".venv/bin/ruff format .": [(".ci/run", 'ruff" format --check .')],
    ".venv/bin/mypy": [(".ci/run", 'bin/mypy"')],
    ".venv/bin/pytest": [("drctl/bootstrap.py", "pytest")],
    ".venv/bin/python -m tests.campaign lab-kills --count 40": [("tests/campaign/test_campaigns.py", "lab_kills")],
    ".venv/bin/python -m tests.campaign ways-back --seed 7": [("tests/campaign/test_campaigns.py", "ways_back")],
    ".ci/run": [(".ci/run", "#!/usr/bin/env bash")],  # running it from here would be running ourselves
}
"""Commands that are not run here: the files that run them, and a text of each that shows it."""

GENERATED = {
    "docs/step-kinds.md": "tests/kinds/test_contract.py",  # the examples of the kinds, loaded there one by one
    "docs/language.md": "tests/loading/test_language.py",
}

SECONDS = 240


def named(block: Block) -> str:
    return block.name


# -- commands ---


def is_lab(block: Block) -> bool:
    return any("drctl lab up" in command.typed for command in block.commands)


def to_run(block: Block) -> list[Command]:
    return [command for command in block.commands if command.typed not in COVERED_ELSEWHERE]


LAB = [block for block in SHELL if is_lab(block)]
LOCAL = [block for block in SHELL if not is_lab(block) and to_run(block)]


def test_there_is_something_to_test() -> None:
    assert LAB
    assert LOCAL
    assert YAML


@pytest.mark.parametrize("typed", COVERED_ELSEWHERE)
def test_what_is_covered_elsewhere_is_in_the_documents_and_there(typed: str) -> None:
    assert any(typed == command.typed for block in SHELL for command in block.commands), "drop it from the list"
    for name, text in COVERED_ELSEWHERE[typed]:
        assert text in (ROOT / name).read_text("utf-8"), f"{name} does not run it"


def test_every_block_has_a_language_that_is_known() -> None:
    unknown = [block.name for block in EVERY if block.language not in {"sh", "console", "yaml", *PLAIN}]
    assert unknown == []


def test_no_command_hides_in_an_indented_block() -> None:
    hidden = [
        f"{document.name}: {line}"
        for document in DOCUMENTS
        for line in prose(document).splitlines()
        if re.match(r" {4,}(\$ |drctl |python3? -m|\.venv/bin/|\.ci/)", line)
    ]
    assert hidden == []


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with what a checkout has; a short name, for a lab's sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="dd", dir="/tmp") as made:
        here = Path(made)
        for name in ("runbooks", "docs"):
            shutil.copytree(ROOT / name, here / name)
        shutil.copy(ROOT / "inventory.example.yaml", here)
        shims = here / "bin"
        shims.mkdir()
        (shims / "drctl").write_text(f'#!/bin/sh\nexec {sys.executable} -m drctl "$@"\n')
        (shims / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        for shim in shims.iterdir():
            shim.chmod(0o755)
        yield here


RUN_ID = 'RUN=$(ls -t "$DRCTL_STATE/runs" 2>/dev/null | head -n 1)'


def play(block: Block, here: Path) -> list[tuple[str, int, int]]:
    """Type a block's commands into one shell; gives each with its exit code and the one that was promised."""
    lines = []
    for number, command in enumerate(to_run(block)):
        typed = re.sub(r"\bRUN\b", '"$RUN"', command.typed.replace(".venv/bin/", ""))
        lines += [f"{typed}\n", f'echo "@@ {number} $?" >&3\n', f"{RUN_ID}\n"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DRCTL_", "XDG_"))}
    env |= {
        "PATH": f"{here / 'bin'}{os.pathsep}{env['PATH']}", "DRCTL_STATE": str(here / "state"), "TMPDIR": str(here),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", "exec 3>&1 >&2\n" + "".join(lines)], cwd=here, env=env, stdin=subprocess.DEVNULL, timeout=SECONDS,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    codes = {int(n): int(code) for n, code in re.findall(r"^@@ (\d+) (\d+)$", done.stdout, re.MULTILINE)}
    assert "Traceback" not in done.stderr
    sys.stderr.write(done.stderr)  # pytest shows it when the test fails
    return [(command.typed, codes.get(number, -1), command.exit) for number, command in enumerate(to_run(block))]


@pytest.mark.parametrize("block", LOCAL, ids=named)
def test_commands_run_and_end_as_they_say(block: Block, folder: Path) -> None:
    wrong = [one for one in play(block, folder) if one[1] != one[2]]
    assert wrong == []


@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", LAB, ids=named)
def test_commands_in_the_lab_run_and_end_as_they_say(block: Block, folder: Path) -> None:
    try:
        wrong = [one for one in play(block, folder) if one[1] != one[2]]
        assert wrong == []
    finally:
        subprocess.run(
            [sys.executable, "-m", "drctl", "lab", "down"], check=False, capture_output=True, timeout=SECONDS,
            env={**{n: v for n, v in os.environ.items() if not n.startswith("XDG_")}, "TMPDIR": str(folder)},
        )  # fmt: skip


INLINE = sorted(
    {
        (document.relative_to(ROOT).as_posix(), code)
        for document in DOCUMENTS
        for code in re.findall(r"`(drctl [^`\n]+)`", prose(document))
    }
)


@pytest.mark.parametrize(("document", "code"), INLINE)
def test_a_command_named_in_a_sentence_is_one(document: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = code.split()[1:]
    command = next((word for word in words if not word.startswith("-")), None)
    below = [word for word in words[words.index(command) + 1 :] if command] if command else []
    if command is not None:
        assert command in COMMANDS, f"{document}: {code}"
    path = [command, *below[:1]] if command in {"audit", "lab"} else [command] if command else []
    assert run([*path, "--help"]) == 0
    said = capsys.readouterr().out
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", code.split("#", maxsplit=1)[0]):
        if words.index(command or words[0]) < next((i for i, w in enumerate(words) if w.startswith(option)), -1):
            assert option in said, f"{document}: {code}: no {option}"


# -- YAML ---


@pytest.mark.parametrize(
    "block", [block for block in YAML if str(block.document.relative_to(ROOT)) not in GENERATED], ids=named
)
def test_yaml_loads(block: Block) -> None:
    inventory = load_inventory("inventory.example.yaml", lambda path: (ROOT / path).read_bytes())
    assert inventory.value is not None
    if re.search(r"^inventory:", block.text, re.MULTILINE):
        assert load_inventory("block", lambda _: block.text.encode()).diagnostics == ()
        return
    loaded = load_runbook("block", lambda _: block.text.encode(), registry(), inventory.value)
    assert list(loaded.diagnostics) == []


def test_the_documents_that_are_shipped_load() -> None:
    inventory = load_inventory("inventory.example.yaml", lambda path: (ROOT / path).read_bytes())
    assert list(inventory.diagnostics) == []
    for path in (ROOT / "runbooks").glob("*.yaml"):
        loaded = load_runbook(str(path), lambda p: Path(p).read_bytes(), registry(), inventory.value)
        assert list(loaded.diagnostics) == [], path
        named_schema = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text("utf-8"))
        assert named_schema, "an editor is told the schema"
        assert (path.parent / named_schema[1]).is_file()


@pytest.mark.parametrize("document", GENERATED)
def test_generated_documents_are_compared_where_it_says(document: str) -> None:
    assert (ROOT / document).is_file()
    assert "EXAMPLE" in (ROOT / GENERATED[document]).read_text("utf-8")


# -- links, tables, promises ---


def test_links_lead_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (document.parent / path) if path else document
            if not there.exists():
                broken.append((document.name, target))
            elif anchor:
                titles = {
                    re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
                    for title in re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
                }
                if anchor not in titles:
                    broken.append((document.name, target))
    assert broken == []


def test_the_pictures_load_nothing_and_name_no_machine() -> None:
    for picture in (ROOT / "docs" / "pictures").iterdir():
        data = picture.read_bytes()
        assert len(data) > 10_000
        if picture.suffix == ".svg":
            assert not re.search(rb"url\(\s*['\"]?http|<image|<script|xlink:href|@import", data)
            assert not re.search(rb"/(home|root|tmp|work)/", data)


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| (.+) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [(int(code), name) for code, name, _ in rows] == [(int(code), code.name) for code in Exit]
    assert [meaning for _, _, meaning in rows] == [code.meaning for code in Exit]
    assert len({meaning for _, _, meaning in rows}) == len(rows)
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "drctl").rglob("*.py") if path.name != "errors.py")
    for code, name, meaning in rows:
        if "not given by this version" in meaning and int(code) != Exit.AUDIT_TRUNCATED:
            assert not re.search(rf"(exit|code)=(int\()?Exit\.{name}\b|return int\(Exit\.{name}\)", source), name


def test_the_readme_begins_with_what_it_does_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert (
        text.index("docs/pictures/live.svg")
        < text.index("python3 -m drctl.bootstrap demo")
        < text.index("## What the demo")
    )
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "sh")
    assert [command.typed for command in first.commands] == [
        "python3 -m drctl.bootstrap demo",
        "python3 -m drctl.bootstrap test",
    ]
