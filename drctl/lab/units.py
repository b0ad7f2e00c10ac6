"""A host's services: each a process that is started, watched and stopped the way systemd does it.

What a unit is comes from the host's configuration; whether it is enabled or masked is a file, as it is with systemd,
so that it outlives the host's power. The command line over it is `systemctl`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_SECONDS = 40.0
_STOP_SECONDS = 20.0
_POLL = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What the host's configuration says about a unit.

    Attributes:
        argv: the program; it stays in the foreground.
        ready: how readiness is seen: `postmaster:FOLDER`, `file:PATH` (written by the program) or `socket:PATH`.
        stop_signal: what a stop sends first; SIGKILL to its session follows after 20 s.
        reload_signal: what a reload sends; empty when the unit cannot reload.
        env: added to the host's environment.
    """

    name: str
    description: str
    argv: tuple[str, ...]
    ready: str
    stop_signal: str = "SIGTERM"
    reload_signal: str = ""
    env: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, name: str, value: dict[str, Any]) -> Definition:
        """Read one unit of a host's configuration."""
        return cls(
            name=name,
            description=value.get("description", name),
            argv=tuple(value["argv"]),
            ready=value["ready"],
            stop_signal=value.get("stop_signal", "SIGTERM"),
            reload_signal=value.get("reload_signal", ""),
            env=tuple(value.get("env", {}).items()),
        )


class Unit:
    """One service of a host: its process and its state in systemd's words."""

    def __init__(self, definition: Definition, home: Path, env: dict[str, str]) -> None:
        self.definition = definition
        self.active_state = "inactive"
        self.result = "success"
        self.main_pid = 0
        self.since = time.time()
        self._home = home
        self._env = {**env, **dict(definition.env)}
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()
        self._wanted_to_stop = False

    @property
    def log(self) -> Path:
        """Where the program's output goes."""
        return self._home / "log" / f"{self.definition.name}.log"

    @property
    def enabled_file(self) -> Path:
        """Present when the unit starts with the host."""
        return self._home / "etc" / "units" / f"{self.definition.name}.enabled"

    @property
    def masked_file(self) -> Path:
        """Present when the unit must not start at all."""
        return self._home / "etc" / "units" / f"{self.definition.name}.masked"

    async def start(self) -> str:
        """Start it and wait until it is ready; gives what went wrong, empty when nothing did."""
        async with self._busy:
            if self.active_state == "active":
                return ""
            if self.masked_file.exists():
                return f"Failed to start {self.definition.name}.service: Unit {self.definition.name}.service is masked."
            self._set("activating")
            self._wanted_to_stop = False
            self._forget_readiness()
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self.definition.argv, cwd=self._home, env=self._env, start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            self.main_pid = self._process.pid
            self._watch = asyncio.create_task(self._watch_end(self._process))
            deadline = time.monotonic() + _START_SECONDS
            while time.monotonic() < deadline and self._process.returncode is None:
                if await self._is_ready():
                    self._set("active")
                    return ""
                await asyncio.sleep(_POLL)
            await self._end(signal.SIGKILL)
            self._set("failed", "timeout" if time.monotonic() >= deadline else "exit-code")
            return (
                f"Job for {self.definition.name}.service failed ({self.result}).\n"
                f'See "systemctl status {self.definition.name}.service" and {self.log} for details.'
            )

    async def stop(self) -> None:
        """Stop it: its own signal first, SIGKILL when it does not follow."""
        async with self._busy:
            if self._process is None or self._process.returncode is not None:
                if self.active_state != "failed":
                    self._set("inactive")
                return
            self._set("deactivating")
            self._wanted_to_stop = True
            await self._end(signal.Signals[self.definition.stop_signal])
            self._set("inactive")

    def kill(self, name: str) -> None:
        """Send its main process a signal, as `systemctl kill` does."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])

    def properties(self) -> dict[str, str]:
        """Give what `systemctl show` prints."""
        stamp = time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        return {
            "Id": f"{self.definition.name}.service",
            "Description": self.definition.description,
            "LoadState": "masked" if self.masked_file.exists() else "loaded",
            "ActiveState": self.active_state,
            "SubState": {"active": "running", "activating": "start", "deactivating": "stop", "failed": "failed"}.get(
                self.active_state, "dead"
            ),
            "Result": self.result,
            "MainPID": str(self.main_pid),
            "UnitFileState": self.file_state(),
            "StateChangeTimestamp": stamp,
            "ActiveEnterTimestamp": stamp if self.active_state == "active" else "",
        }

    def file_state(self) -> str:
        """Give what `systemctl is-enabled` prints."""
        if self.masked_file.exists():
            return "masked"
        return "enabled" if self.enabled_file.exists() else "disabled"

    def _set(self, state: str, result: str = "success") -> None:
        self.active_state, self.result, self.since = state, result, time.time()
        if state in ("inactive", "failed"):
            self.main_pid = 0

    async def _end(self, first: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(first)
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
        # What it started shares its session; a unit that stopped leaves nothing of it.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def _watch_end(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if self.active_state == "active" and process is self._process and not self._wanted_to_stop:
            self._set(
                "inactive" if code == 0 else "failed", "success" if code == 0 else "signal" if code < 0 else "exit-code"
            )

    def _forget_readiness(self) -> None:
        how, _, where = self.definition.ready.partition(":")
        if how in ("file", "socket"):
            Path(where).unlink(missing_ok=True)

    async def _is_ready(self) -> bool:
        how, _, where = self.definition.ready.partition(":")
        if how == "socket":
            return await _accepts(where)
        return os.path.exists(where) if how == "file" else self._postmaster_is_ready(Path(where))  # noqa: PTH110, ASYNC240 - a stat of a local file

    def _postmaster_is_ready(self, data: Path) -> bool:
        """Read line 8 of postmaster.pid, as pg_ctl does: `ready` or `standby` once connections are accepted."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.main_pid) and lines[7].strip() in ("ready", "standby")  # noqa: PLR2004


async def _accepts(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
