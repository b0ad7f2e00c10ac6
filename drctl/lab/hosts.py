"""One host of the lab: its first process, its services, its SSH server. Run as `python -m drctl.lab.hosts HOST.json`.

The first process only reaps (see `processes`); its child serves. A host knows nothing of the lab around it: what it
needs stands in its configuration, and whoever wants something of it asks over SSH or, for provisioning, its socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drctl.lab import control, systemctl
from drctl.lab.processes import run_under_reaper
from drctl.lab.units import Definition, Unit

_FOLDERS = ("bin", "etc/units", "log", "run", "tmp", "run/user", "run/pg")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """A host's configuration, written by the supervisor at every power-on.

    Attributes:
        boot_id: new at every power-on.
        env: the environment of services and commands.
        forwards: ports that may be reached through its SSH server.
        units: services by name.
        login_key: when set, this host makes the lab's login key there (one host does, so that it is made once).
    """

    name: str
    home: Path
    user: str
    boot_id: str
    machine_id: str
    env: dict[str, str]
    forwards: tuple[int, ...]
    units: dict[str, dict[str, Any]]
    login_key: str = ""

    @classmethod
    def read(cls, path: Path) -> HostConfig:
        """Read a configuration file."""
        value = json.loads(path.read_text())
        return cls(**{**value, "home": Path(value["home"]), "forwards": tuple(value["forwards"])})


class Host:
    """The serving process of a host."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._home = config.home
        definitions = [Definition.from_json(name, value) for name, value in config.units.items()]
        self._units = {d.name: Unit(d, config.home, config.env) for d in definitions}
        self._ssh_is_up = False
        self._background: set[asyncio.Task[None]] = set()

    def boot(self) -> None:
        """Do what a boot does before anything runs: empty what does not survive, and note who this is."""
        shutil.rmtree(self._home / "run", ignore_errors=True)
        for folder in _FOLDERS:
            (self._home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        # No server survived the boot, yet in a fresh PID namespace its number may belong to another process by now, and
        # PostgreSQL would believe itself running.
        for stale in self._home.glob("pg/*/postmaster.pid"):
            stale.unlink()
        (self._home / "etc" / "boot-id").write_text(f"{self._config.boot_id}\n")
        (self._home / "etc" / "machine-id").write_text(f"{self._config.machine_id}\n")

    async def serve(self) -> None:
        """Serve until killed: a host has no other end."""
        server = await control.serve(self._home / "run" / "host.sock", self._answer)
        self._in_background(self._start_ssh())
        self._in_background(self._start_enabled())
        async with server:
            await server.serve_forever()

    async def _start_ssh(self) -> None:
        # Here and not at the top: the import takes longer than all the rest, and provisioning can begin without it.
        from drctl.lab import ssh  # noqa: PLC0415

        etc = self._home / "etc"
        if self._config.login_key:
            ssh.make_key(Path(self._config.login_key), "drctl-lab-login")
        ssh.make_key(etc / "ssh_host_ed25519_key", self._config.name)
        account = ssh.Account(
            user=self._config.user,
            authorized_keys=etc / "authorized_keys",
            home=self._home,
            env=self._config.env,
            forwards=frozenset(self._config.forwards),
        )
        await ssh.listen(self._home / "run" / "ssh.sock", etc / "ssh_host_ed25519_key", account)
        self._ssh_is_up = True

    async def _start_enabled(self) -> None:
        for unit in self._units.values():
            if unit.enabled_file.exists():
                problem = await unit.start()
                if problem:
                    sys.stderr.write(f"{problem}\n")

    async def _answer(self, request: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        op = request["op"]
        if op == "status":
            return {
                "ssh": self._ssh_is_up,
                "boot_id": self._config.boot_id,
                "units": {name: unit.properties() for name, unit in self._units.items()},
            }
        if op == "systemctl":
            return await systemctl.run(self._units, list(request["args"]))
        if op == "run":
            return await self._run(request)
        raise ValueError(f"a host does not know the request {op!r}")

    async def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one provisioning command to its end and give all it said."""
        process = await asyncio.create_subprocess_exec(
            *request["argv"],
            cwd=self._home,
            env={**self._config.env, **request.get("env", {})},
            start_new_session=True,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(request.get("input", "").encode())
        return {"rc": process.returncode, "out": out.decode(errors="replace"), "err": err.decode(errors="replace")}

    def _in_background(self, work: Any) -> None:  # noqa: ANN401 - a coroutine of any kind
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception():
            # A host whose SSH server cannot start is no host: end, and let the log say why.
            sys.stderr.write(f"{self._config.name}: {task.exception()!r}\n")
            os._exit(1)


def main() -> int:
    """Be a host until killed."""
    config = HostConfig.read(Path(sys.argv[1]))
    # A lab started from a shell's background list would hand ignored signals down to every command on every host.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    host = Host(config)
    host.boot()

    def serve() -> int:
        asyncio.run(host.serve())
        return 0

    return run_under_reaper(serve, adopts=True, on_reaper_death=signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
