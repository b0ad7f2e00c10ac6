"""The nouns of an inventory: hosts, sites, databases, buckets, channels, people (language specification, section 16).

Secrets stand here only as references; an adapter resolves them at the moment of use.
"""

from __future__ import annotations

import enum
import json
from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass
from drctl.core.values import HostRef, Map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.values import Value


class Environment(enum.Enum):
    """What kind of place this inventory describes; only a lab takes simulated people."""

    PRODUCTION = "production"
    STAGING = "staging"
    LAB = "lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Where a secret is found: `env`, `file`, `cmd`, `ssm` or `secretsmanager`.

    `target` is a name (of `secretsmanager` with `#KEY`, when it holds a JSON object), a path, or a command's words.
    """

    source: str
    target: tuple[str, ...]

    def __str__(self) -> str:
        """Write the reference, which is not itself secret."""
        return f"{self.source}:{' '.join(self.target)}"

    @property
    def written(self) -> str:
        """The reference as one text that `parse` reads back; the words of a command stay apart."""
        return f"{self.source}:{json.dumps(self.target)}" if self.source == "cmd" else str(self)

    @classmethod
    def parse(cls, written: str) -> SecretRef:
        """Read what `written` gave."""
        source, _, target = written.partition(":")
        return cls(source=source, target=tuple(json.loads(target)) if source == "cmd" else (target,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to log in: user and key file, or the agent, or a password."""

    user: str
    key: str | None = None
    agent: bool = False
    password: SecretRef | None = None
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What must be true of the machine before the first act of a connection; a mismatch stops the step."""

    machine_id: str | None = None
    file_path: str | None = None
    file_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine. `host_keys` are OpenSSH public key lines; never empty, a host without one is refused."""

    name: str
    address: str
    port: int = 22
    site: str = ""
    role: str = ""
    groups: tuple[str, ...] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)
    login: Login
    become_password: SecretRef | None = None
    host_keys: tuple[str, ...]
    identity: Identity = field(default_factory=Identity)
    state_dir: str | None = None
    where: Where

    @property
    def ref(self) -> HostRef:
        """The host as a value of the language."""
        return HostRef(
            name=self.name, address=self.address, port=self.port, site=self.site, role=self.role, groups=self.groups,
            facts=Map(self.facts),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """How to reach a database from its own host."""

    name: str
    database: str
    user: str
    port: int | None = None
    password: SecretRef | None = None

    @property
    def credential(self) -> SecretRef | None:
        """The secret it cannot be used without."""
        return self.password


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """An S3 bucket. `keys` refers to `ACCESS:SECRET`; `profile` to an AWS profile; neither = the default chain."""

    name: str
    bucket: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    keys: SecretRef | None = None

    @property
    def credential(self) -> SecretRef | None:
        """The secret it cannot be used without."""
        return self.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A way to tell people: webhook (url), smtp (host, port, sender, to) or command (argv)."""

    name: str
    type: str
    settings: Mapping[str, str | tuple[str, ...]]
    secret: SecretRef | None = None

    @property
    def credential(self) -> SecretRef | None:
        """The secret it cannot be used without."""
        return self.secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person: the logins they use, and whether they are simulated (worth nothing outside a lab or a drill)."""

    name: str
    full_name: str
    logins: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A whole inventory. `roles` maps a role of people to persons' names."""

    name: str
    environment: Environment
    zone: str = "UTC"
    hosts: Mapping[str, Host]
    sites: Mapping[str, str] = field(default_factory=dict)
    databases: Mapping[str, Database] = field(default_factory=dict)
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)

    def entries(self, what: str) -> Mapping[str, Database | Bucket | Channel]:
        """What a field of a kind may name: by the words database, bucket, channel."""
        tables: dict[str, Mapping[str, Database | Bucket | Channel]] = {
            "database": self.databases,
            "bucket": self.buckets,
            "channel": self.channels,
        }
        return tables[what]

    def host_of_role(self, role: str) -> Host | None:
        """The host that holds a role; None when no host does. The loader refuses two."""
        return next((host for host in self.hosts.values() if host.role == role), None)
