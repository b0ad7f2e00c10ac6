"""Joins the adapters to the ports: the world as the engine sees it, by place.

Heavy adapters are made when they are first used, so that a command that needs no host loads no SSH.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from drctl.adapters.clock import SystemClock
from drctl.adapters.disk import Disk, write_whole
from drctl.core.ports import DatabaseFacts, Dialer, Http, Probe
from drctl.core.transports import FABRIC
from drctl.engine.world import LOCAL
from drctl.errors import JournalError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.adapters.s3 import S3Objects
    from drctl.adapters.secrets import Secrets
    from drctl.adapters.ssh import SshHosts
    from drctl.core.dns import Dns
    from drctl.core.inventory import Inventory, SecretRef
    from drctl.core.ports import ClaimShell, Notifier
    from drctl.core.values import Duration, Secret


class InventoryFacts:
    """What kinds may ask of the inventory."""

    def __init__(self, inventory: Inventory, secret: Callable[[SecretRef], Secret]) -> None:
        self._inventory = inventory
        self._secret = secret

    def database(self, name: str) -> DatabaseFacts:
        """A database by name; the only one when the name is empty."""
        databases = self._inventory.databases
        if not name and len(databases) == 1:
            name = next(iter(databases))
        found = databases[name]
        password = self._secret(found.password) if found.password is not None else None
        return DatabaseFacts(name=found.database, port=found.port, user=found.user, password=password)

    def address(self, host: str) -> str:
        """The address of a host or role; any other name as it is."""
        found = self._inventory.hosts.get(host) or self._inventory.host_of_role(host)
        return found.address if found is not None else host

    def channels(self) -> Sequence[str]:
        """Names of the channels."""
        return tuple(self._inventory.channels)


class RealWorld:
    """The World of a live run; its looking half serves plans."""

    def __init__(self, inventory: Inventory, secrets: Secrets, state: Path, transport: str = FABRIC) -> None:
        self._inventory = inventory
        self._secrets = secrets
        self._state = state
        self.transport = transport
        self._ssh: SshHosts | None = None
        self._buckets: dict[str, S3Objects] = {}
        self._lock = threading.RLock()
        self.facts = InventoryFacts(inventory, secrets.resolve)
        self.clock = SystemClock()
        self._local: ClaimShell | None = None
        self._notifier: Notifier | None = None
        self._remarks: dict[str, tuple[str, ...]] = {}

    def probe(self, place: str, timeout: Duration) -> Probe:
        """Ports for looking from a place."""
        return Probe(
            shell=self.shell(place), http=self.http(place), dialer=self._dialer(place), dns=self._dns(place),
            objects=self._bucket, files=lambda path: Path(path).read_bytes(), clock=self.clock, timeout=timeout,
            facts=self.facts,
        )  # fmt: skip

    def reach(self, place: str) -> str:
        """Connect to a host and check that it can be worked on."""
        if place == LOCAL:
            return ""
        found = self._hosts().check(place)
        with self._lock:
            self._remarks[place] = found.remarks
        return found.problem

    def remarks(self, place: str) -> tuple[str, ...]:
        """What else the last check of a host found."""
        with self._lock:
            return self._remarks.get(place, ())

    def finds(self, secret: SecretRef) -> str:
        """Look whether a secret is where it is said to be."""
        try:
            self._secrets.resolve(secret)
        except RefusedError as error:
            return error.what
        return ""

    def shell(self, place: str) -> ClaimShell:
        """The claiming shell of a place."""
        if place != LOCAL:
            return self._hosts().shell(place)
        with self._lock:
            if self._local is None:
                from drctl.adapters.local import LocalShell

                self._local = LocalShell(self._state / "local")
            return self._local

    def claims(self, place: str) -> str:
        """The name of the store of claims that `local` has here; made with the store, and never changed.

        Raises:
            JournalError: the disk refused it: no claim could be kept there either.
        """
        if place != LOCAL:
            return ""
        path = self._state / "local" / "store"
        with self._lock:
            try:
                return path.read_text(encoding="ascii").strip()
            except FileNotFoundError:
                name = secrets.token_hex(16)
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(Disk(), path, f"{name}\n".encode())  # cut short by a crash it would be another name
            except OSError as error:
                raise JournalError(
                    f"The claims of this machine cannot be kept: {error.strerror}.", where=str(path),
                    meaning="No record, no action: nothing further was done.",
                    next="make room or mend the disk, then: drctl resume RUN",
                ) from error  # fmt: skip
            return name

    def http(self, place: str) -> Http:
        """HTTP from a place: through a host's SSH link, or from here."""
        if place != LOCAL:
            return self._hosts().http(place)
        from drctl.adapters.http import UrllibHttp

        return UrllibHttp()

    @property
    def notifier(self) -> Notifier:
        """The inventory's channels."""
        with self._lock:
            if self._notifier is None:
                from drctl.adapters.notify import Channels

                self._notifier = Channels(self._inventory.channels, self.http(LOCAL), self._secrets.resolve)
            return self._notifier

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._ssh is not None:
                self._ssh.close()
                self._ssh = None

    def _dialer(self, place: str) -> Dialer:
        if place != LOCAL:
            return self._hosts().dialer(place)
        from drctl.adapters.dialer import LocalDialer

        return LocalDialer()

    def _dns(self, place: str) -> Dns:
        if place != LOCAL:
            return self._hosts().dns(place)
        from drctl.adapters.dns import NameServers

        return NameServers()

    def _hosts(self) -> SshHosts:
        with self._lock:
            if self._ssh is None:
                from drctl.adapters.ssh import SshHosts

                self._ssh = SshHosts(self._inventory, self._secrets.resolve, self.transport)
            return self._ssh

    def _bucket(self, name: str) -> S3Objects:
        with self._lock:
            if name not in self._buckets:
                from drctl.adapters.s3 import S3Objects

                bucket = self._inventory.buckets[name]  # the port's word for an unknown one is KeyError
                self._buckets[name] = S3Objects(
                    bucket, self._secrets.resolve(bucket.keys) if bucket.keys is not None else None
                )
            return self._buckets[name]
