"""The one process that is the parent of the whole lab. Run as `python -m drctl.lab.supervisor OPTIONS` by `api.up`.

Above it stands a reaper (`processes`): when this process ends, in whatever way, the reaper kills what is left and
removes the folder. When the reaper is killed, this process is told and ends the lab itself. So no single death leaves
anything behind. It ends by itself when its time is up, or when a pipe it was told to hold is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drctl.errors import DrctlError, LabError
from drctl.lab import control, inventory, isolation, postgres, power, world
from drctl.lab.faults import Faults
from drctl.lab.machine import Machine
from drctl.lab.processes import run_under_reaper, start_time
from drctl.lab.programs import Program
from drctl.lab.relay import Edge, Upstream
from drctl.lab.startup import Startup
from drctl.lab.state import Places, write_json

_PROGRAMS = ("s3", "tax", "inbox", "traffic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a lab is to be started.

    Attributes:
        folder: exists and is empty.
        ttl: seconds until it ends by itself.
        link: file descriptor of a socket to the starter: progress goes out; when it closes before the lab is ready,
            the starter is gone and so is the lab.
        hold: file descriptor of a pipe: the lab ends when its other end closes. None: it does not.
        async_replication: commits do not wait for the standby.
        namespaces: False keeps hosts apart without namespaces (see `isolation`).
    """

    folder: Path
    ttl: float
    link: int
    hold: int | None = None
    async_replication: bool = False
    namespaces: bool = True

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Read the command line's only argument."""
        value = json.loads(text)
        return cls(**{**value, "folder": Path(value["folder"])})


class Lab:
    """The running lab: its parts, its description, its requests."""

    def __init__(self, options: Options, link: socket.socket) -> None:
        self.options = options
        self.places = Places(options.folder)
        self.isolation = isolation.choose(allow_namespace=options.namespaces)
        self.machines = {plan.name: Machine(plan, self.places, self.isolation) for plan in world.HOSTS}
        self.edges = {plan.name: self._edge(plan) for plan in world.EDGES}
        self.programs = {name: Program(name, self.places) for name in _PROGRAMS}
        self.ended = asyncio.Event()
        self.is_ready = False
        self._faults = Faults(self)
        self._link = link
        self._power_port = 0
        self._started = datetime.now(UTC)
        self._servers: list[asyncio.Server] = []

    def _edge(self, plan: world.EdgePlan) -> Edge:
        upstream = Upstream(path=self.places.host(plan.owner) / plan.socket) if plan.socket else None
        return Edge(plan.name, owner=plan.owner, upstream=upstream)

    def say(self, line: str) -> None:
        """Tell the starter how far things are; nobody listens once the lab is ready."""
        _tell(self._link, {"progress": line})

    async def start(self) -> None:
        """Bring everything up and write the description.

        Raises:
            LabError: a part did not start; the lab must end.
        """
        for folder in (self.places.log, self.places.run, self.places.folder / "keys", self.places.folder / "hosts"):
            folder.mkdir(mode=0o700)
        if self.isolation.owner is not None:
            for folder in (self.places.folder, self.places.folder / "hosts", self.places.folder / "keys"):
                os.chown(folder, self.isolation.owner, self.isolation.owner)
        server, self._power_port = await power.serve(self.machines)
        self._servers.append(server)
        for machine in self.machines.values():
            machine.forwards = (*(edge.port for edge in self.edges.values()), self._power_port)
            machine.on_change = self._follow_power
            machine.prepare()
        self.machines[world.GATEWAY].login_key = str(self.places.login_key)
        self._write_description()
        self._servers.append(await control.serve(self.places.control, self.answer))
        await Startup(self).run()
        self.is_ready = True
        self._write_description()
        _tell(self._link, {"ready": True})

    async def stop(self) -> None:
        """End every host and program, at once."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*(machine.power_off() for machine in self.machines.values()), return_exceptions=True)
        for edge in self.edges.values():
            await edge.close()

    def fail(self, error: DrctlError) -> None:
        """Tell the starter why there will be no lab."""
        _tell(self._link, _failure(error))

    def expire(self) -> None:
        """End the lab because its time is up; a starter that still waits is told."""
        if not self.is_ready:
            self.fail(LabError(f"the lab's time to live ({self.options.ttl:g} s) was up before it was ready"))
        self.ended.set()

    async def answer(self, request: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Carry out one request of the control socket."""
        op = request["op"]
        if op == "status":
            return await self.status()
        if op == "break":
            result = await self._faults.bring_about(request["scenario"])
            self._write_description()
            return result
        if op == "edge":
            await self.edges[request["name"]].set_mode(request["mode"])
            return {"name": request["name"], "mode": self.edges[request["name"]].effective}
        if op == "power":
            return await self._switch(self.machines[request["host"]], request["to"])
        if op == "unit":
            return await self.machines[request["host"]].ask({"op": "systemctl", "args": request["args"]})
        if op == "stop":
            if request.get("keep"):
                self.places.keep_marker.touch()
            self.ended.set()
            return {}
        raise ValueError(f"a lab does not know the request {op!r}")

    async def status(self) -> dict[str, Any]:
        """Give the description with what is true now: power, units, edges, programs, the fault."""
        hosts = await asyncio.gather(*(self._host_status(machine) for machine in self.machines.values()))
        return {
            **self.description(),
            "hosts": {
                name: {**self._host(machine), **now}
                for (name, machine), now in zip(self.machines.items(), hosts, strict=True)
            },
            "edges": {
                name: {"port": edge.port, "mode": edge.effective, "set_to": edge.mode, "connections": len(edge.pairs)}
                for name, edge in self.edges.items()
            },
            "programs": {
                name: {"running": program.running, "pid": program.pid} for name, program in self.programs.items()
            },
        }

    def urls(self) -> dict[str, str]:
        """Give where things are reached; empty for what does not run."""
        edges = {name: f"http://127.0.0.1:{edge.port}" for name, edge in self.edges.items()}
        own = {
            name: f"http://127.0.0.1:{program.ready['port']}" if program.ready else ""
            for name, program in self.programs.items()
        }
        return {
            "gateway": edges["gw:http"],
            "power": f"http://127.0.0.1:{self._power_port}",
            "tax": edges["tax"],
            "s3": edges["s3"],
            "inbox": own["inbox"],
            "traffic": own["traffic"],
            **{f"app:{name}": edges[f"app:{name}"] for name in world.DATABASE_HOSTS},
        }

    def description(self) -> dict[str, Any]:
        """Give what `lab.json` says."""
        ready = self.programs["s3"].ready
        return {
            "version": 1,
            "folder": str(self.places.folder),
            "state": "ready" if self.is_ready else "starting",
            "started_at": _text(self._started),
            "expires_at": _text(self._started + timedelta(seconds=self.options.ttl)),
            "isolation": self.isolation.name,
            "replication": "async" if self.options.async_replication else "sync",
            "supervisor": {"pid": os.getpid(), "start": start_time(os.getpid())},
            "reaper": {"pid": os.getppid(), "start": start_time(os.getppid())},
            "control": str(self.places.control),
            "inventory": str(self.places.inventory),
            "hosts": {name: self._host(machine) for name, machine in self.machines.items()},
            "edges": {name: {"port": edge.port} for name, edge in self.edges.items()},
            "urls": self.urls(),
            "smtp": {"host": "127.0.0.1", "port": self.programs["inbox"].ready.get("smtp_port", 0)},
            "s3": {
                "bucket": world.BUCKET,
                "endpoint": self.urls()["s3"],
                **{k: v for k, v in ready.items() if k != "port"},
            },
            "database": {"name": postgres.DATABASE, "user": postgres.SUPERUSER},
            "release": world.RELEASE,
            "people": {person: {"name": name, "roles": list(roles)} for person, (name, roles) in world.PEOPLE.items()},
            "fault": self._faults.latest,
            "faults": self._faults.all,
        }

    def _host(self, machine: Machine) -> dict[str, Any]:
        key = machine.home / "etc" / "ssh_host_ed25519_key.pub"
        facts: dict[str, Any] = {"power_url": f"{self.urls()['power']}/{machine.name}", "title": machine.plan.title}
        if machine.name in world.DATABASE_HOSTS:
            facts |= {
                "app_url": self.urls()[f"app:{machine.name}"],
                "upstream": f"127.0.0.1:{self.edges[f'app:{machine.name}'].port}",
                "pg_port": self.edges[f"pg:{machine.name}"].port,
                "replication_port": self.edges[f"repl:{machine.name}"].port,
                "standby_name": postgres.standby_name(machine.name),
            }
        else:
            facts["app_url"] = self.urls()["gateway"]
        return {
            "address": "127.0.0.1",
            "port": self.edges[f"ssh:{machine.name}"].port,
            "user": world.USER,
            "key": str(self.places.login_key),
            "host_key": " ".join(key.read_text().split()[:2]) if key.exists() else "",
            "folder": str(machine.home),
            "site": machine.plan.site,
            "role": machine.plan.role,
            "machine_id": machine.machine_id,
            "facts": facts,
        }

    async def _host_status(self, machine: Machine) -> dict[str, Any]:
        now: dict[str, Any] = {"power": machine.power, "alive": machine.alive, "boot_id": machine.boot_id, "units": {}}
        if machine.alive:
            try:
                now["units"] = (await machine.ask({"op": "status"}, within=5.0))["units"]
            except LabError as error:
                now["problem"] = error.what
        return now

    async def _switch(self, machine: Machine, to: str) -> dict[str, Any]:
        actions = {"on": machine.power_on, "off": machine.power_off, "crash": machine.crash}
        if to not in actions:
            raise ValueError(f"a host's power goes {', '.join(actions)}, not {to!r}")
        await actions[to]()
        return {"host": machine.name, "state": machine.power, "alive": machine.alive, "boot_id": machine.boot_id}

    async def _follow_power(self, machine: Machine) -> None:
        for edge in self.edges.values():
            if edge.owner == machine.name:
                await edge.set_owner_up(up=machine.alive)

    def _write_description(self) -> None:
        data = self.description()
        write_json(self.places.lab_json, data)
        if self.is_ready:
            self.places.inventory.touch(mode=0o600)
            self.places.inventory.write_text(inventory.inventory_text(data, self.places.folder))


async def _live(options: Options) -> int:
    loop = asyncio.get_running_loop()
    link = socket.socket(fileno=options.link)
    try:
        lab = Lab(options, link)
    except DrctlError as error:
        _tell(link, _failure(error))
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lab.ended.set)
    loop.call_later(options.ttl, lab.expire)
    loop.add_reader(options.link, _watch_link, lab, loop)
    if options.hold is not None:
        loop.add_reader(options.hold, _watch_hold, lab, options.hold, loop)
    starting = loop.create_task(lab.start())
    ending = loop.create_task(lab.ended.wait())
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    failed = False
    if starting.done() and starting.exception():
        cause = starting.exception()
        failed = True
        lab.fail(cause if isinstance(cause, DrctlError) else LabError(f"the lab did not start: {cause!r}"))
        sys.stderr.write(f"{cause!r}\n")
    if not failed:
        await ending
    starting.cancel()
    await asyncio.wait({starting})
    await lab.stop()
    return int(failed)


def _text(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failure(error: DrctlError) -> dict[str, Any]:
    return {"failed": {"what": error.what, "where": error.where, "meaning": error.meaning, "next": error.next}}


def _tell(link: socket.socket, message: dict[str, Any]) -> None:
    try:
        link.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        # Nobody listens any more. While the lab starts that ends it (`_watch_link`); later it is how it should be.
        return


def _watch_link(lab: Lab, loop: asyncio.AbstractEventLoop) -> None:
    loop.remove_reader(lab.options.link)
    if not lab.is_ready:
        lab.ended.set()


def _watch_hold(lab: Lab, hold: int, loop: asyncio.AbstractEventLoop) -> None:
    if not os.read(hold, 1024):
        loop.remove_reader(hold)
        lab.ended.set()


def remove_folder(places: Places, patience: float = 5.0) -> None:
    """Remove the lab's folder unless it is to be kept; retries while something that dies still writes there."""
    if places.keep_marker.exists():
        places.control.unlink(missing_ok=True)
        return
    deadline = time.monotonic() + patience
    while places.folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(places.folder, ignore_errors=True)
        if places.folder.exists():
            time.sleep(0.05)


def main() -> int:
    """Detach, then be the lab's reaper and, below it, its supervisor."""
    options = Options.from_json(sys.argv[1])
    if os.fork():
        # The starter waits for this first process only: what runs on is nobody's child and leaves no zombie with it.
        os._exit(0)
    places = Places(options.folder)

    def live() -> int:
        reaper = os.getppid()
        try:
            return asyncio.run(_live(options))
        finally:
            if os.getppid() != reaper:
                remove_folder(places)

    # The reaper must not keep the starter's socket or the held pipe open in the child's stead.
    code = run_under_reaper(live, adopts=False, on_reaper_death=signal.SIGTERM, close=(options.link, options.hold))
    remove_folder(places)
    return code


if __name__ == "__main__":
    sys.exit(main())
