"""Brings the lab up, everything in parallel that can be: two cores are few, and the object store's import is slow."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drctl.errors import LabError
from drctl.lab import gateway, postgres, world
from drctl.lab.relay import Upstream
from drctl.lab.state import write_json

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from drctl.lab.machine import Machine
    from drctl.lab.supervisor import Lab

_SSH_SECONDS = 60.0


class Startup:
    """One start of a lab; progress lines carry the seconds since its begin."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._begin = time.monotonic()
        self._password = secrets.token_urlsafe(18)

    def say(self, line: str) -> None:
        """Tell whoever waits."""
        self._lab.say(f"{time.monotonic() - self._begin:5.1f} s  {line}")

    async def run(self) -> None:
        """Start everything.

        Raises:
            LabError: a part did not start.
        """
        self.say(f"the lab starts in {self._lab.places.folder} ({self._lab.isolation.name})")
        store = self._task(self._start_store())
        outside = [self._task(self._start_outside(name)) for name in ("tax", "inbox")]
        hosts = {name: self._task(self._boot(machine)) for name, machine in self._lab.machines.items()}
        logins = self._task(self._open_logins(list(hosts.values())))
        primary = self._task(self._make_primary(hosts[world.PRIMARY]))
        standby = self._task(self._make_standby(primary, hosts[world.STANDBY]))
        backup = self._task(self._ship(store, primary, standby))
        services = self._task(self._serve(outside[0], primary, standby, hosts[world.GATEWAY]))
        waiting = {store, *outside, *hosts.values(), logins, primary, standby, backup, services}
        try:
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()
        await self._start_traffic()
        self.say("ready")

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def _start_store(self) -> None:
        program = self._lab.programs["s3"]
        ready = await program.start({"bucket": world.BUCKET})
        for name in ("s3", *(f"s3:{host}" for host in world.DATABASE_HOSTS)):
            await self._lab.edges[name].set_upstream(Upstream(port=ready["port"]))
        keys = self._lab.places.folder / "keys"
        for name, text in {
            "s3": f"{ready['access_key']}:{ready['secret_key']}",
            "s3-access-key": ready["access_key"],
            "s3-secret-key": ready["secret_key"],
        }.items():
            (keys / name).touch(mode=0o600)
            (keys / name).write_text(text)
        self.say("object store ready")

    async def _start_outside(self, name: str) -> None:
        config: dict[str, Any] = {"listen": "127.0.0.1:0"}
        if name == "inbox":
            config["smtp_listen"] = "127.0.0.1:0"
        else:
            config["data"] = str(self._lab.places.run / f"{name}.data")
        ready = await self._lab.programs[name].start(config)
        for edge in self._lab.edges.values():
            if edge.name == name or edge.name.startswith(f"{name}:"):
                await edge.set_upstream(Upstream(port=ready["port"]))
        self.say(f"{name} ready")

    async def _boot(self, machine: Machine) -> None:
        if machine.name in world.DATABASE_HOSTS:
            postgres.write_host_files(machine.home, machine.name, self._password)
        await machine.power_on()
        self.say(f"{machine.name} boots")

    async def _open_logins(self, booting: list[asyncio.Task[None]]) -> None:
        """Let the login key in on every host, and wait until each answers on SSH."""
        await asyncio.gather(*booting)
        public = self._lab.places.login_key.with_suffix(".pub")
        deadline = time.monotonic() + _SSH_SECONDS
        for machine in self._lab.machines.values():
            while not (await machine.ask({"op": "status"}))["ssh"] or not public.exists():
                if time.monotonic() > deadline:
                    raise LabError("the SSH server did not start", where=machine.name)
                await asyncio.sleep(0.05)
        for machine in self._lab.machines.values():
            (machine.home / "etc" / "authorized_keys").write_text(public.read_text())
            machine.give_files()
        self.say("SSH ready on every host")

    async def _make_primary(self, booted: asyncio.Task[None]) -> None:
        await booted
        secret = self._lab.places.folder / "keys" / "postgres"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        await postgres.make_primary(self._lab.machines[world.PRIMARY], self._password)
        self.say("primary database ready")

    async def _make_standby(self, primary: asyncio.Task[None], booted: asyncio.Task[None]) -> None:
        await asyncio.gather(primary, booted)
        first, second = (self._lab.machines[name] for name in world.DATABASE_HOSTS)
        await postgres.make_standby(second, self._lab.edges[f"repl:{world.PRIMARY}"].port)
        await postgres.wait_for_standby(first, world.STANDBY)
        if not self._lab.options.async_replication:
            postgres.write_settings(first.home, first.name, must_confirm=world.STANDBY)
            await first.run(["systemctl", "reload", "postgresql"])
        self.say(
            f"standby database follows ({'asynchronously' if self._lab.options.async_replication else 'synchronously'})"
        )

    async def _ship(self, *needed: asyncio.Task[None]) -> None:
        store, primary, standby = needed
        await asyncio.gather(store, primary)
        # The standby is awaited one at a time below: the shipper of the primary must not wait for it.
        for name, before in ((world.PRIMARY, primary), (world.STANDBY, standby)):
            await before
            machine = self._lab.machines[name]
            ready = {key: value for key, value in self._lab.programs["s3"].ready.items() if key != "port"}
            write_json(machine.home / "etc" / "shipper.json", {
                "socket": str(machine.home / "run" / "shipper.sock"),
                "tmp": str(machine.home / "tmp"),
                "s3": {"endpoint": f"http://127.0.0.1:{self._lab.edges[f's3:{name}'].port}", **ready},
            })  # fmt: skip
            await machine.run(["systemctl", "enable", "--now", "wal-shipper"])
            if name == world.PRIMARY:
                said = await machine.run(["base-backup"])
                self.say(f"base backup in the object store ({said.split()[1]})")

    async def _serve(self, tax: asyncio.Task[None], *needed: asyncio.Task[None]) -> None:
        primary, standby, gateway_boot = needed
        await asyncio.gather(tax, primary)
        for name, before in ((world.PRIMARY, primary), (world.STANDBY, standby)):
            await before
            await self._start_invoices(self._lab.machines[name])
        self.say("invoice service ready on both sites")
        await gateway_boot
        await self._start_gateway(self._lab.machines[world.GATEWAY])
        self.say("gateway ready")

    async def _start_invoices(self, machine: Machine) -> None:
        home = machine.home
        write_json(home / "etc" / "invoices.json", {
            "listen": f"unix:{home / 'run' / 'invoices.sock'}",
            "ready": str(home / "run" / "invoices.ready"),
            "log": str(home / "log" / "invoices.log"),
            "site": machine.plan.site,
            "release": world.RELEASE,
            "db": {"socket_dir": str(home / "run" / "pg"), "user": "invoices", "database": postgres.DATABASE},
            "tax": f"http://127.0.0.1:{self._lab.edges[f'tax:{machine.name}'].port}",
        })  # fmt: skip
        await machine.run(["systemctl", "enable", "--now", "invoices"])

    async def _start_gateway(self, machine: Machine) -> None:
        folder, socket = machine.home / "nginx", machine.home / "run" / "http.sock"
        gateway.write_config(folder, socket, f"127.0.0.1:{self._lab.edges[f'app:{world.PRIMARY}'].port}")
        command = machine.home / "bin" / "nginx"
        command.write_text(gateway.command_text(folder, socket))
        command.chmod(0o755)
        await machine.run(["systemctl", "enable", "--now", "nginx"])

    async def _start_traffic(self) -> None:
        urls = self._lab.urls()
        await self._lab.programs["traffic"].start(
            {"listen": "127.0.0.1:0", "target": urls["gateway"], "tax": urls["tax"], "rate": world.TRAFFIC_PER_SECOND}
        )
        self.say(f"traffic runs: {world.TRAFFIC_PER_SECOND} invoices a second")


def now_text() -> str:
    """The time now as the lab writes it: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
