"""The lab as the command line and the tests use it: up, status, break, down, find."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from drctl.errors import LabError
from drctl.lab import control, state, world
from drctl.lab.processes import is_running, send
from drctl.lab.scenarios import BY_NAME
from drctl.lab.state import LabInfo, Places, find

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["SCENARIOS", "LabInfo", "break_", "down", "find", "power", "set_edge", "status", "systemctl", "up"]

SCENARIOS: dict[str, str] = {name: scenario.description for name, scenario in BY_NAME.items()}
"""What `break_` can do: name to one line for a person."""

_PARTS = ("asyncssh", "moto", "flask", "pg8000", "aiosmtpd")
_START_SECONDS = 180.0
_STOP_SECONDS = 30.0


def up(
    *,
    folder: Path | None = None,
    async_replication: bool = False,
    ttl: float = 14400,
    hold: int | None = None,
    progress: Callable[[str], None] = lambda _line: None,
    namespaces: bool = True,
) -> LabInfo:
    """Start a lab and wait until it is ready.

    Args:
        folder: where it lies; None picks a new folder. It is removed when the lab ends.
        async_replication: commits do not wait for the standby, so that losing the primary loses some.
        ttl: seconds until it ends by itself.
        hold: file descriptor of a pipe's reading end: the lab ends when the writing end closes.
        progress: called with each line of progress, from the first second on.
        namespaces: False keeps hosts apart without namespaces, as where the system forbids them.

    Raises:
        LabError: it did not start; nothing is left of it.
    """
    _refuse_without_parts()
    made = state.make_folder(folder)
    ours, theirs = socket.socketpair()
    fds = [theirs.fileno(), *([hold] if hold is not None else [])]
    options = {
        "folder": str(made), "ttl": ttl, "link": theirs.fileno(), "hold": hold,
        "async_replication": async_replication, "namespaces": namespaces,
    }  # fmt: skip
    log = made / "supervisor.log"
    try:
        with log.open("ab") as output:
            subprocess.run(
                [sys.executable, "-m", "drctl.lab.supervisor", json.dumps(options)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=fds, start_new_session=True, cwd="/",
                env={**os.environ, **world.service_environment()}, check=True, timeout=_START_SECONDS,
            )  # fmt: skip
        theirs.close()
        _wait_until_ready(ours, log, progress)
        return state.read(made)
    except (LabError, OSError, subprocess.SubprocessError, KeyboardInterrupt):
        theirs.close()
        ours.close()
        _wait_gone(made)
        raise
    finally:
        theirs.close()
        ours.close()


def status(folder: Path) -> dict[str, Any]:
    """Give what `lab.json` says and what is true now (see `supervisor.Lab.status`).

    Raises:
        LabError: no lab runs there.
    """
    answer: dict[str, Any] = control.request(Places(folder).control, {"op": "status"})
    return answer


def break_(folder: Path, scenario: str) -> dict[str, Any]:
    """Bring about a fault; gives {"scenario", "fault", "description", "fault_at", "done_at"}, times RFC 3339 in UTC.

    Raises:
        LabError: no such scenario, no lab there, or the fault could not be brought about.
    """
    answer: dict[str, Any] = control.request(
        Places(folder).control, {"op": "break", "scenario": scenario}, within=180.0
    )
    return answer


def set_edge(folder: Path, name: str, mode: str) -> dict[str, Any]:
    """Set a wire's mode: pass, refuse, stall, reset or drop (see `relay`); in force when this returns."""
    answer: dict[str, Any] = control.request(Places(folder).control, {"op": "edge", "name": name, "mode": mode})
    return answer


def power(folder: Path, host: str, to: str) -> dict[str, Any]:
    """Switch a host `on` or `off`, or let it `crash` (dead, the switch still on); done when this returns."""
    answer: dict[str, Any] = control.request(
        Places(folder).control, {"op": "power", "host": host, "to": to}, within=120.0
    )
    return answer


def systemctl(folder: Path, host: str, *words: str) -> dict[str, Any]:
    """Drive a host's services from outside; gives {"rc", "out", "err"}."""
    what = {"op": "unit", "host": host, "args": list(words)}
    answer: dict[str, Any] = control.request(Places(folder).control, what, within=120.0)
    return answer


def down(folder: Path, *, keep: bool = False) -> None:
    """End a lab; everything of it is gone when this returns. No error when there is none.

    Args:
        folder: the lab's folder.
        keep: leave the folder with its logs and data.

    Raises:
        LabError: something of it could not be ended.
    """
    places = Places(folder)
    if not folder.exists():
        return
    try:
        data = state.read(folder).data
    except LabError:
        return  # No lab of ours lies there: nothing to end, and nothing of somebody else's to remove.
    processes = [(data[part]["pid"], data[part]["start"]) for part in ("supervisor", "reaper")]
    try:
        control.request(places.control, {"op": "stop", "keep": keep}, within=10.0)
        patience = _STOP_SECONDS
    except LabError:
        patience = 0.0
    if keep:
        places.keep_marker.touch()
    for pid, started in processes:
        _end(pid, started, patience)
    if folder.exists() and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    if any(is_running(pid, started) for pid, started in processes) or (folder.exists() and not keep):
        raise LabError(
            "the lab could not be ended whole", where=str(folder), next=f"look at {places.log}, then rm -r {folder}"
        )


def _end(pid: int, started: int | None, patience: float) -> None:
    """Wait for a process to end by itself, then end it; its reaper or its supervisor cleans up behind it."""
    deadline = time.monotonic() + patience
    killed = False
    while is_running(pid, started):
        if not killed and time.monotonic() > deadline:
            send(pid, signal.SIGKILL)
            killed, deadline = True, time.monotonic() + _STOP_SECONDS
        elif killed and time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _refuse_without_parts() -> None:
    if sys.platform != "linux":
        raise LabError(f"the embedded lab needs Linux, this is {sys.platform}", meaning="Nothing was started.")
    missing = [name for name in _PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise LabError(
            f"the lab needs Python packages that are not installed: {', '.join(missing)}",
            meaning="Nothing was started.",
            next="pip install 'drctl[lab]'",
        )


def _wait_until_ready(link: socket.socket, log: Path, progress: Callable[[str], None]) -> None:
    link.settimeout(_START_SECONDS)
    try:
        with link.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "progress" in message:
                    progress(message["progress"])
                elif "failed" in message:
                    raise LabError(message["failed"].pop("what"), **message["failed"])
                else:
                    return
    except TimeoutError:
        raise LabError(f"the lab was not ready within {_START_SECONDS:.0f} s", meaning="It is being ended.") from None
    try:
        tail = log.read_text(errors="replace")[-800:].strip()
    except OSError:
        tail = ""
    raise LabError(f"the lab ended while it started: {tail or 'it left no word'}", meaning="Nothing of it is left.")


def _wait_gone(folder: Path) -> None:
    """After a start that failed: the lab ends itself when its starter lets go; wait for it, then make sure."""
    deadline = time.monotonic() + _STOP_SECONDS
    reaper: dict[str, int] = {"pid": 0}
    while folder.exists() and time.monotonic() < deadline:
        try:
            reaper = state.read(folder).data["reaper"]
        except LabError:
            if reaper["pid"] == 0 and not _is_starting(folder):
                break
        time.sleep(0.02)
    if reaper["pid"]:
        _end(reaper["pid"], reaper["start"], _STOP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def _is_starting(folder: Path) -> bool:
    """Whether a supervisor may still be on its way: its log comes first, its description next."""
    log = folder / "supervisor.log"
    return log.exists() and log.stat().st_size == 0
