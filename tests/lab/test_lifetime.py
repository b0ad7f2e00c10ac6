"""Nothing of a lab outlives it, whoever dies first and however: processes and folder are gone."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drctl.errors import LabError
from drctl.lab import api
from tests.lab.running import NAMESPACES, RunningLab, processes_of, running_lab, short_folder, wait_until

pytestmark = pytest.mark.lab

# Left on a host by a command that did all it could to get away.
_ESCAPE = "(setsid sh -c 'cd /; exec env -i setsid sleep {seconds}' >/dev/null 2>&1 </dev/null &)"
_SECONDS = "31536000.{number}"


@pytest.fixture
def escaped() -> str:
    """A sleep no other test run has: what escapes with an empty environment is known by it alone."""
    return _SECONDS.format(number=int.from_bytes(os.urandom(4), "big"))


def _sleeping(seconds: str) -> list[str]:
    return [p.parent.name for p in Path("/proc").glob("[0-9]*/cmdline") if seconds.encode() in _bytes(p)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _wait_until_nothing_is_left(lab: RunningLab, seconds: str) -> None:
    wait_until("every process of the lab is gone", lambda: processes_of(lab.folder) == [] and _sleeping(seconds) == [])
    wait_until("its folder is gone", lambda: not lab.folder.exists())


def _let_escape(lab: RunningLab, seconds: str) -> None:
    lab.ok("inv-a", _ESCAPE.format(seconds=seconds))
    wait_until("it escaped", lambda: len(_sleeping(seconds)) == 1)


@pytest.fixture
def doomed() -> Iterator[RunningLab]:
    with running_lab() as lab:
        yield lab


@pytest.mark.parametrize("part", ["supervisor", "reaper"])
def test_kill_9_of_the_labs_own_processes(doomed: RunningLab, escaped: str, part: str) -> None:
    _let_escape(doomed, escaped)
    os.kill(doomed.info.data[part]["pid"], signal.SIGKILL)
    _wait_until_nothing_is_left(doomed, escaped)


def test_kill_9_of_a_host_leaves_the_rest_running_and_down_ends_all(doomed: RunningLab, escaped: str) -> None:
    _let_escape(doomed, escaped)
    started = f"{doomed.home('inv-a')}/etc/host.json"
    one = next(line for line in processes_of(doomed.folder) if started in line)
    os.kill(int(one.split()[0]), signal.SIGKILL)
    wait_until("the host is dead with all it had", lambda: _sleeping(escaped) == [])
    wait_until("the lab knows", lambda: not doomed.status()["hosts"]["inv-a"]["alive"])
    assert doomed.status()["hosts"]["inv-b"]["alive"]
    api.down(doomed.folder)
    assert processes_of(doomed.folder) == []
    assert not doomed.folder.exists()
    api.down(doomed.folder)


def test_it_is_found_in_its_usual_place_and_ends_when_the_pipe_it_hangs_on_is_closed(
    escaped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = short_folder()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(usual))
    monkeypatch.setattr("tempfile.tempdir", str(usual))
    read, write = os.pipe()
    lab = RunningLab(api.up(hold=read, namespaces=NAMESPACES))
    os.close(read)
    assert lab.folder.parent == usual
    assert api.find() == lab.folder
    _let_escape(lab, escaped)
    lab.close()
    os.close(write)
    _wait_until_nothing_is_left(lab, escaped)
    assert api.find() is None
    usual.rmdir()


def test_it_ends_when_its_time_is_up() -> None:
    folder = short_folder()
    with pytest.raises(LabError, match="time to live"):
        api.up(folder=folder, ttl=0.3, namespaces=NAMESPACES)
    assert processes_of(folder) == []
    assert not folder.exists()


def test_it_ends_when_its_starter_is_killed_before_it_is_ready() -> None:
    folder = short_folder()
    program = (
        "import sys; from pathlib import Path; from drctl.lab import api; "
        "say = lambda line: print(line, flush=True); "
        "api.up(folder=Path(sys.argv[1]), progress=say, namespaces=sys.argv[2] == 'True')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(NAMESPACES)], stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline().split()[1] == b"s"
        starter.kill()
    wait_until("every process of the lab is gone", lambda: processes_of(folder) == [])
    wait_until("its folder is gone", lambda: not folder.exists())


def test_a_part_that_cannot_start_ends_the_lab_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os, sys\n'drctl.lab.tax' in sys.orig_argv and os._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = short_folder()
    with pytest.raises(LabError, match="tax"):
        api.up(folder=folder, namespaces=NAMESPACES)
    assert processes_of(folder) == []
    assert not folder.exists()


def test_a_folder_in_use_or_too_long_is_refused_and_left_alone(tmp_path: Path) -> None:
    used = short_folder()
    (used / "mine").write_text("x")
    with pytest.raises(LabError, match="not empty"):
        api.up(folder=used)
    api.down(used)
    assert (used / "mine").read_text() == "x"
    (used / "mine").unlink()
    used.rmdir()
    with pytest.raises(LabError, match="characters"):
        api.up(folder=tmp_path / ("x" * 80))


def test_down_can_keep_the_folder_for_a_look(doomed: RunningLab) -> None:
    api.down(doomed.folder, keep=True)
    assert processes_of(doomed.folder) == []
    assert (doomed.folder / "log").is_dir()
    assert json.loads((doomed.folder / "lab.json").read_text())["state"] == "ready"
    with pytest.raises(LabError, match="did not answer"):
        api.status(doomed.folder)


def test_an_ordinary_user_and_a_system_without_namespaces(request: pytest.FixtureRequest) -> None:
    """The same promises as another user, and by the second way of keeping hosts apart, in test runs of their own."""
    if os.environ.get("DRCTL_TEST_LAB_INNER"):
        pytest.skip("this is the inner run")
    become = [] if os.getuid() else ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    kinds = {"1": become, "0": become} if become else {"0": []}
    runs = {}
    for namespaces, prefix in kinds.items():
        chosen = "power_off or twenty or first_process or kill_9" if namespaces == "0" else "power_off"
        runs[namespaces] = _inner(request.config.rootpath, [*prefix], namespaces, chosen)
    for namespaces, (process, output) in runs.items():
        output[0].join(300)
        assert process.wait(60) == 0, f"namespaces={namespaces}\n{output[1]}"


def _inner(root: Path, prefix: list[str], namespaces: str, chosen: str) -> tuple[subprocess.Popen[str], list[Any]]:
    env = {**os.environ, "DRCTL_TEST_LAB_NAMESPACES": namespaces, "DRCTL_TEST_LAB_INNER": "1"}
    files = ["tests/lab/test_hosts.py", "tests/lab/test_lifetime.py"]
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "pytest", *files, "-k", chosen, "-q", "-x", "-n", "0"],
        cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    collected: list[Any] = [None, ""]

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            collected[1] = process.stdout.read()

    collected[0] = threading.Thread(target=read)
    collected[0].start()
    return process, collected
