"""The tutorial, typed from its first block to its last into one shell, against one real lab."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.blocks import Block, blocks
from tests.docs.test_documents import RUN_ID, SECONDS, TUTORIAL, folder

__all__ = ["folder"]

BLOCKS = list(blocks(TUTORIAL))
COMMANDS = [command for block in BLOCKS if block.language == "sh" for command in block.commands]


def script(parts: list[Block]) -> str:
    """Every block as a piece of one script: YAML is written to the file it names, commands tell their exit codes."""
    lines, number = [], 0
    for block in parts:
        if block.language == "yaml":
            name = block.text.split("\n", 1)[0].removeprefix("# ")
            lines.append(f"cat > {name} <<'END-OF-BLOCK'\n{block.text}END-OF-BLOCK\n")
        for command in block.commands if block.language == "sh" else ():
            typed = re.sub(r"\bRUN\b", '"$RUN"', command.typed)
            lines.append(f'{typed}\necho "@@ {number} $?" >&3\n{RUN_ID}\n')
            number += 1
    return "exec 3>&1 >&2\n" + "".join(lines)


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_the_tutorial_can_be_followed(folder: "os.PathLike[str]") -> None:
    here = os.fspath(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DRCTL_", "XDG_"))}
    env = kept | {
        "PATH": f"{here}/bin{os.pathsep}{kept['PATH']}", "DRCTL_STATE": f"{here}/state", "TMPDIR": here,
        "PYTHONPATH": str(TUTORIAL.parents[1]),
    }  # fmt: skip
    try:
        done = subprocess.run(
            ["sh", "-c", script(BLOCKS)], cwd=here, env=env, stdin=subprocess.DEVNULL, timeout=SECONDS,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(
            [sys.executable, "-m", "drctl", "lab", "down"], env=env, check=False, capture_output=True, timeout=SECONDS
        )
    sys.stderr.write(done.stderr)  # pytest shows it when the test fails
    codes = {int(n): int(code) for n, code in re.findall(r"^@@ (\d+) (\d+)$", done.stdout, re.MULTILINE)}
    ended = [(command.typed, codes.get(number, -1), command.exit) for number, command in enumerate(COMMANDS)]
    assert [one for one in ended if one[1] != one[2]] == []
    assert "Traceback" not in done.stderr
    for block in BLOCKS:
        if block.language == "text":
            assert block.text.strip() in done.stderr, block.name


def test_the_tutorial_has_files_and_commands() -> None:
    assert [block.text.split("\n", 1)[0] for block in BLOCKS if block.language == "yaml"] == [
        "# look.yaml",
        "# notice.yaml",
    ]
    assert COMMANDS[0].typed == 'eval "$(drctl lab up)"'
    assert COMMANDS[-1].typed == "drctl lab down"
