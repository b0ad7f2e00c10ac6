"""The `needs` marker itself: a missing program leaves tests out by name and count, or fails them when none may be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import pytest

@pytest.mark.needs("strace")
def test_one(): pass

@pytest.mark.needs("strace")
def test_two(): pass

def test_other(): pass
"""


def run_probe(
    folder: Path, *args: str, programs: tuple[str, ...] = (), probe: str = PROBE, **env: str
) -> tuple[int, str]:
    """Run pytest over a probe file, with this project's conftest and a PATH that has only `programs`."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder / "conftest.py")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs(package): x\n")
    (folder / "test_probe.py").write_text(probe)
    (folder / "bin").mkdir()
    for program in programs:
        (folder / "bin" / program).symlink_to("/bin/true")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(folder / "bin"), "DRCTL_TEST_REQUIRE_ALL": "0", **env},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_without_the_program_the_tests_are_left_out_named_and_counted(tmp_path: Path, args: tuple[str, ...]) -> None:
    code, output = run_probe(tmp_path, *args)
    assert code == 0, output
    assert "2 tests need strace:" in output
    assert "test_probe.py::test_one" in output
    assert "test_probe.py::test_two" in output
    assert "1 passed" in output.splitlines()[-1]


def test_with_the_program_they_run(tmp_path: Path) -> None:
    code, output = run_probe(tmp_path, programs=("strace",))
    assert (code, output.splitlines()[-1].split(" in ")[0]) == (0, "3 passed")
    assert "left out" not in output


def test_where_none_may_be_left_out_they_fail(tmp_path: Path) -> None:
    code, output = run_probe(tmp_path, DRCTL_TEST_REQUIRE_ALL="1")
    assert code == 1
    assert "1 passed, 2 errors" in output
    assert "needs the Debian package strace" in output


def test_a_package_nobody_knows_is_refused(tmp_path: Path) -> None:
    code, output = run_probe(tmp_path, probe=PROBE.replace("strace", "stracce"))
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "needs('stracce') is not known" in output
