"""A host seen from outside, as a hypervisor sees it: on, off, dead; and every process of it gone when it says off."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drctl.errors import LabError
from drctl.lab import control, world
from drctl.lab.processes import descendants, kill_descendants, send, tied_to_this_process
from drctl.lab.state import write_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from drctl.lab.isolation import Isolation
    from drctl.lab.state import Places

_BOOT_SECONDS = 60.0
_KILL_SECONDS = 20.0
_POLL = 0.03
_KILLED = "sigprocmask unblock failed"
"""What `unshare` says when its child died by SIGKILL: it tries to die of the same signal, which cannot be prepared."""


class Machine:
    """One host: its folder, its power and its process tree.

    Attributes:
        plan: what the lab planned.
        home: the host's folder, also its HOME.
        power: `on` or `off`: the switch, as the power endpoint tells it.
        alive: whether its first process runs. A machine that is on and not alive is dead or hung.
        boot_id: of the running boot.
        machine_id: stays for the lab's life.
    """

    def __init__(self, plan: world.HostPlan, places: Places, isolation: Isolation) -> None:
        self.plan = plan
        self.name = plan.name
        self.home = places.host(plan.name)
        self.power = "off"
        self.alive = False
        self.boot_id = ""
        self.machine_id = secrets.token_hex(16)
        self.forwards: tuple[int, ...] = ()
        self.login_key = ""
        self.on_change: Callable[[Machine], Awaitable[None]] | None = None
        self._log = places.log / f"{plan.name}.log"
        self._isolation = isolation
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._switch = asyncio.Lock()

    @property
    def socket(self) -> Path:
        """Where the running host takes requests."""
        return self.home / "run" / "host.sock"

    def prepare(self) -> None:
        """Make the folder and the commands; the host's `etc` may be filled before the first power-on."""
        for folder in ("etc", "run", "log", "tmp"):
            (self.home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        world.write_commands(self.home, self.name)

    async def power_on(self) -> None:
        """Boot it and wait until its first process answers (not for its services). No effect when it runs."""
        async with self._switch:
            if self.alive:
                return
            await self._kill()
            self.boot_id = str(uuid.uuid4())
            path = self.home / "etc" / "host.json"
            self.socket.unlink(missing_ok=True)
            write_json(path, self._config())
            self.give_files()
            sent = signal.SIGKILL if self._isolation.has_namespace else signal.SIGTERM
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._isolation.prefix, sys.executable, "-m", "drctl.lab.hosts", str(path),
                    cwd=self.home, env={**os.environ, **world.service_environment()}, stdin=asyncio.subprocess.DEVNULL,
                    stdout=log, stderr=log, preexec_fn=tied_to_this_process(sent),
                )  # fmt: skip
            self.power, self.alive = "on", True
            self._watch = asyncio.create_task(self._watch_end(self._process))
            await self._wait_for_boot(self._process)
        await self._changed()

    async def power_off(self) -> None:
        """Switch it off: returns when nothing of it runs any more."""
        async with self._switch:
            self.power, self.alive = "off", False
            await self._changed()
            await self._kill()

    async def crash(self) -> None:
        """Let it die: every process killed, the switch still on."""
        async with self._switch:
            self.alive = False
            await self._changed()
            await self._kill()

    async def ask(self, request: dict[str, Any], within: float = 120.0) -> Any:  # noqa: ANN401 - JSON
        """Ask the running host something; see `hosts`."""
        return await control.ask(self.socket, request, within)

    async def run(self, argv: Sequence[str], *, text: str = "") -> str:
        """Run a provisioning command on the host to its end; gives stdout.

        Raises:
            LabError: it ended with anything but 0.
        """
        self.give_files()
        done = await self.ask({"op": "run", "argv": list(argv), "input": text})
        if done["rc"] != 0:
            raise LabError(
                f"{argv[0]} ended with {done['rc']}: {(done['err'] or done['out']).strip()[-600:]}",
                where=self.name,
                meaning="The lab is not usable.",
                next=f"look into {self.home / 'log'}",
            )
        return str(done["out"])

    def give_files(self) -> None:
        """Give everything in the host's folder to the user its processes run as, where that is another one."""
        owner = self._isolation.owner
        if owner is None:
            return
        for folder, folders, files in os.walk(self.home):
            for name in (*folders, *files, "."):
                os.chown(Path(folder) / name, owner, owner, follow_symlinks=False)

    def _config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "home": str(self.home),
            "user": world.USER,
            "boot_id": self.boot_id,
            "machine_id": self.machine_id,
            "env": world.host_environment(self.home, self.name, self.boot_id),
            "forwards": list(self.forwards),
            "units": world.units(self.home, self.name),
            "login_key": self.login_key,
        }

    async def _wait_for_boot(self, process: asyncio.subprocess.Process) -> None:
        async def answers() -> None:
            while process.returncode is None:
                if self.socket.exists():
                    try:
                        await self.ask({"op": "status"}, within=10.0)
                    except LabError:
                        await asyncio.sleep(_POLL)
                        continue
                    return
                await asyncio.sleep(_POLL)
            tail = self._log.read_text(errors="replace")[-600:]
            killed = "its first process was killed from outside" if _KILLED in tail else ""
            said = tail.strip() or "it left no word"
            raise LabError(
                f"the host ended with {process.returncode} while it started: {said}", where=self.name, meaning=killed
            )

        try:
            await asyncio.wait_for(answers(), _BOOT_SECONDS)
        except TimeoutError:
            raise LabError(f"the host did not start within {_BOOT_SECONDS:.0f} s", where=self.name) from None

    async def _watch_end(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if process is self._process and self.alive:
            self.alive = False
            await self._changed()

    async def _changed(self) -> None:
        if self.on_change:
            await self.on_change(self)

    async def _kill(self) -> None:
        """End every process of the host; done only when all are gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if not self._isolation.has_namespace:
            # The first process is a reaper: nothing can leave its tree while it lives, so it goes last.
            if not await asyncio.to_thread(kill_descendants, process.pid):
                raise LabError("some processes of this host cannot be killed", where=self.name)
            send(process.pid, signal.SIGKILL)
        # The starter outside (`unshare`) is left alone: it ends by itself when the kernel has emptied the namespace.
        for pid in descendants(process.pid) or {process.pid}:
            send(pid, signal.SIGKILL)
        try:
            await asyncio.wait_for(process.wait(), _KILL_SECONDS)
        except TimeoutError:
            raise LabError("some processes of this host cannot be killed", where=self.name) from None
