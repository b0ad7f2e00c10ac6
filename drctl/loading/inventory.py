"""An inventory: the text of a file to a value of the model, or every reason why not."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, TypeVar

from drctl.core.inventory import (
    Bucket,
    Channel,
    Database,
    Environment,
    Host,
    Identity,
    Inventory,
    Login,
    Person,
    SecretRef,
)
from drctl.core.kind import FieldError
from drctl.core.written import Text
from drctl.errors import DrctlError
from drctl.kinds.psql import one_query
from drctl.loading import inventory_tables as tables
from drctl.loading.codes import Problems
from drctl.loading.document import Loaded, read_document
from drctl.loading.host_keys import Known, KnownHosts, read_key
from drctl.loading.nodes import Mapping, Node, Scalar
from drctl.loading.places import LOCAL
from drctl.loading.records import Fields
from drctl.loading.shapes import Bad, Reading, Texts, refuse
from drctl.loading.ssh_config import NAME as SSH_CONFIG
from drctl.loading.ssh_config import Reached, SshConfig, jump_name
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Map

    from drctl.core.diagnostics import Where
    from drctl.core.values import Value

T = TypeVar("T")

_SSH: Final = 22


def load_inventory(path: str, read: Callable[[str], bytes]) -> Loaded[Inventory]:
    """Load an inventory.

    Args:
        path: its name, as messages show it and `read` takes it.
        read: gives the bytes of a file; raises OSError. Known-hosts files are read by it too.
    """
    problems = Problems()
    root, text = read_document(path, read, problems)
    value = None
    if root is not None:
        value = _InventoryReader(Reading(problems, Texts()), path, read).read(root, {path: text})
    return Loaded(value=None if problems.failed else value, diagnostics=problems.sorted())


class _InventoryReader:
    def __init__(self, reading: Reading, path: str, read: Callable[[str], bytes]) -> None:
        self.reading = reading
        self.path = path
        self.file = read
        self.source: dict[str, str] = {}
        self.known: dict[str, KnownHosts] = {}
        self.databases: tuple[str, ...] = ()
        self.config: SshConfig | None = None
        self.names: dict[str, str] = {}

    def read(self, root: Node, source: Map[str, str]) -> Inventory | None:
        fields = tables.INVENTORY.read(root, self.reading.inside("the inventory"))
        if isinstance(fields, Bad):
            return None
        self.source.update(source)
        sites = _entries(fields, "sites")
        self.databases = tuple(_entries(fields, "databases"))
        hosts = self.hosts(fields, sites)
        self.namespace(fields)
        people = {name: _person(name, entry) for name, entry in _entries(fields, "people").items()}
        return Inventory(
            name=fields.get("inventory", str) or "",
            environment=fields.member("environment", Environment, Environment.PRODUCTION),
            zone=fields.get("zone", str) or "UTC",
            hosts=hosts,
            sites={name: _title(name, entry) for name, entry in sites.items()},
            databases={name: _database(name, one) for name, one in _entries(fields, "databases").items()},
            buckets={name: _bucket(name, one) for name, one in _entries(fields, "buckets").items()},
            channels=self.channels(fields),
            people=people,
            roles=self.roles(fields, people),
            source=self.source,
        )

    # ------------------------------------------------------------------------------------------------------- hosts

    def hosts(self, fields: Fields, sites: Map[str, Fields]) -> dict[str, Host]:
        """The machines, with the defaults filled in."""
        defaults = fields.get("defaults", Fields)
        found = {}
        entries = _entries(fields, "hosts")
        self.names = {entry.get("address", str) or name: name for name, entry in entries.items()}
        self.names |= {name: name for name in entries}
        for name, entry in entries.items():
            host = _HostReader(name, entry, defaults, sites, self).read()
            if host is not None:
                found[name] = host
        for name, host in found.items():
            for other in host.login.via:
                if other not in found or other == name:
                    hint = did_you_mean(other, set(found) - {name})
                    self.error(
                        "E401", host.where, f"host '{name}' is reached via '{other}', which is no other host", hint
                    )
        return found

    def reached(self, name: str, where: Where) -> Reached | None:
        """How `~/.ssh/config` reaches a host; None when it does not say."""
        path = posixpath.join(posixpath.dirname(self.path), SSH_CONFIG)
        if self.config is None:
            try:
                self.config = SshConfig(self.file(path).decode("utf-8", "replace"))
            except (OSError, DrctlError):
                self.config = SshConfig("")
        try:
            found = self.config.of(name)
        except ValueError as error:
            self.error("E401", where, f"host '{name}': {error} in {SSH_CONFIG}")
            return None
        if found is not None:
            self.source[path] = self.source.get(path, "") + found.block(name)
            summary = f"host '{name}' has no address: {found}, from {SSH_CONFIG}"
            self.reading.problems.warn(
                "W012", where, summary, "write `address` so that it is the same on every machine"
            )
        return found

    def error(self, code: str, where: Where, summary: str, hint: str = "") -> None:
        self.reading.problems.error(code, where, summary, hint)

    def namespace(self, fields: Fields) -> None:
        """Hosts, their roles and groups share one namespace: `on:` takes any of them."""
        entries = _entries(fields, "hosts")
        meant: dict[str, str] = {LOCAL: "the control node"} | {name: f"host '{name}'" for name in entries}
        if LOCAL in entries:
            where = fields.named("hosts")[LOCAL].key.where
            self.error("E401", where, "'local' is the control node and cannot name a host")
        for name, entry in entries.items():
            role, what = entry.get("role", str), f"the role of host '{name}'"
            if role and meant.setdefault(role, what) != what:
                hint = "one host holds a role; hosts, roles and groups share their names"
                entry.error("E401", "role", f"the role '{role}' is {meant[role]} too", hint)
        for entry in (*entries.values(), *([one] if (one := fields.get("defaults", Fields)) else [])):
            for group in entry.many("groups", str):
                if meant.setdefault(group, "a group") != "a group":
                    entry.error("E401", "groups", f"the group '{group}' is {meant[group]} too", "choose another name")

    # -------------------------------------------------------------------------------------------------------- rest

    def channels(self, fields: Fields) -> dict[str, Channel]:
        """The ways to tell people; their keys depend on their type."""
        found = {}
        for name, named in fields.named("channels").items():
            reading = self.reading.inside(f"channel '{name}'")
            if not isinstance(named.node, Mapping):
                refuse(named.node, reading, "a map")
                continue
            kind = named.node.get("type")
            word = kind.text if isinstance(kind, Scalar) else ""
            table = tables.CHANNELS.get(word, tables.CHANNELS["webhook"])
            entry = table.read(named.node, reading)
            if not isinstance(entry, Bad) and word in tables.CHANNELS:
                found[name] = _channel(name, word, entry)
        return found

    def roles(self, fields: Fields, people: Map[str, Person]) -> dict[str, tuple[str, ...]]:
        """Who holds which role of people."""
        found = {}
        for role, named in fields.named("roles").items():
            members = (
                tuple(one for one in named.value if isinstance(one, str)) if isinstance(named.value, tuple) else ()
            )
            for member in members:
                if member not in people:
                    hint = did_you_mean(member, people)
                    self.error("E401", named.key.where, f"role '{role}': there is no person '{member}'", hint)
            found[role] = tuple(dict.fromkeys(members))
        return found


class _HostReader:
    def __init__(
        self, name: str, own: Fields, defaults: Fields | None, sites: Map[str, Fields], inventory: _InventoryReader
    ) -> None:
        self.name = name
        self.own = own
        self.defaults = defaults
        self.sites = sites
        self.inventory = inventory

    def pick(self, key: str, kind: type[T]) -> T | None:
        """The host's own value, else the default."""
        if key in self.own or self.defaults is None:
            return self.own.get(key, kind)
        return self.defaults.get(key, kind)

    def part(self, key: str) -> list[Fields]:
        """The host's own map and the default one, to be looked through in this order."""
        both = [self.own.get(key, Fields), self.defaults.get(key, Fields) if self.defaults is not None else None]
        return [one for one in both if one is not None]

    def read(self) -> Host | None:
        """The host; None when it cannot be reached or told from another."""
        address, other = self.pick("address", str), None
        if address is None and "address" not in self.own:
            other = self.inventory.reached(self.name, self.own.node.where)
            if other is None:
                self.own.error("E401", "address", "'address' is missing", "where it is reached")
        login = self.login(other)
        address = other.address if other is not None else address
        port = self.pick("port", int) or (other.port if other is not None else 0) or _SSH
        keys = self.keys(address or "", port)
        site = self.pick("site", str) or ""
        if site and site not in self.sites:
            self.own.error("E401", "site", f"there is no site '{site}'", did_you_mean(site, self.sites))
        if address is None or login is None or keys is None:
            return None
        become = [one for one in self.part("become") if "password" in one]
        groups = self.own if "groups" in self.own else self.defaults
        return Host(
            name=self.name,
            address=address,
            port=port,
            site=site,
            role=self.own.get("role", str) or "",
            groups=groups.many("groups", str) if groups is not None else (),
            facts=self.facts(site),
            login=login,
            become_password=become[0].get("password", SecretRef) if become else None,
            host_keys=keys.keys,
            host_cas=keys.authorities,
            revoked_keys=keys.revoked,
            identity=self.identity(),
            state_dir=self.pick("state_dir", str),
            where=self.own.node.where,
        )

    def login(self, other: Reached | None) -> Login | None:
        """How to log in; user and jumps may come from elsewhere where the inventory has none."""
        parts = self.part("login")
        users = [user for one in parts if (user := one.get("user", str))]
        users += [other.user] if other is not None and other.user else []
        if not users:
            if not any("user" in one for one in parts):
                self.own.error("E401", "login", "the user to log in as is missing", "login: {user: NAME, key: FILE}")
            return None

        def first(key: str, kind: type[T]) -> T | None:
            return next((value for one in parts if (value := one.get(key, kind)) is not None), None)

        via = next((one for one in parts if "via" in one), None)
        return Login(
            user=users[0],
            key=first("key", str),
            agent=first("agent", bool) or False,
            password=first("password", SecretRef),
            via=via.many("via", str) if via is not None else self.jumps(other),
        )

    def jumps(self, other: Reached | None) -> tuple[str, ...]:
        """The jump hosts that `~/.ssh/config` names: hosts of the inventory, since their keys must be pinned too."""
        found = []
        for written in other.jumps if other is not None else ():
            name = self.inventory.names.get(jump_name(written))
            if name is None or name == self.name:
                summary = f"{SSH_CONFIG} reaches it via {written}, which is no other host of this inventory"
                self.own.error("E401", "address", summary, "add the jump host, with its host key")
            else:
                found.append(name)
        return tuple(found)

    def facts(self, site: str) -> dict[str, Value]:
        """Defaults, then those of the site, then the host's own."""
        found: dict[str, Value] = {}
        for fields in (self.defaults, self.sites.get(site), self.own):
            if fields is not None:
                found |= {name: one.value for name, one in fields.named("facts").items()}  # type: ignore[misc] # Constants
        return found

    def keys(self, address: str, port: int) -> Known | None:
        """The host's keys and authorities; a host without one is refused, for any machine could answer in its place."""
        given = self.own if any(key in self.own for key in tables.HOST_KEYS) else self.defaults
        if given is None or not any(key in given for key in tables.HOST_KEYS):
            hint = "host_key: ssh-ed25519 AAAA..., from ssh-keyscan and compared by another way, or known_hosts: FILE"
            self.own.error("E402", "address", "'host_key' is missing", hint)
            return None
        file = given.get("known_hosts", str)
        known = self.in_file(given, file, address, port) if file is not None and address else Known()
        keys, authorities = self.written(given, "host_key"), self.written(given, "host_ca")
        if set(keys) & set(known.revoked):
            given.error("E402", "host_key", f"the key is revoked in '{file}'", "write the host's new key instead")
        found = Known(
            keys=tuple(dict.fromkeys([*keys, *known.keys])),
            authorities=tuple(dict.fromkeys([*authorities, *known.authorities])),
            revoked=known.revoked,
        )
        return found if found.keys or found.authorities else None

    def written(self, given: Fields, name: str) -> list[str]:
        """The keys that stand in the inventory itself."""
        found = []
        for text in given.many(name, str):
            try:
                found.append(read_key(text))
            except ValueError as error:
                given.error("E402", name, str(error))
        return found

    def in_file(self, given: Fields, file: str, address: str, port: int) -> Known:
        """What a known-hosts file says."""
        path = posixpath.join(posixpath.dirname(self.inventory.path), file)
        if path not in self.inventory.known:
            try:
                text = self.inventory.file(path).decode("utf-8", "replace")
            except (OSError, DrctlError):
                hint = "its path starts at the inventory's folder"
                given.error("E402", "known_hosts", f"'{file}' cannot be read", hint)
                return Known()
            self.inventory.source[path] = text
            self.inventory.known[path] = KnownHosts(text)
            for line in self.inventory.known[path].unreadable:
                hint = "correct the line: a key that it speaks of could not be refused"
                given.error("E402", "known_hosts", f"'{file}' cannot be read: {line}", hint)
        known = self.inventory.known[path].of(address, port)
        if not known.keys and not known.authorities:
            why = ": its key is revoked" if known.revoked else ""
            given.error("E402", "known_hosts", f"'{file}' has no key for {address} port {port}{why}")
        return known

    def identity(self) -> Identity:
        """What must be true of the machine."""
        parts = self.part("identity")
        given = parts[0] if parts else None
        file = given.get("file", Fields) if given is not None else None
        sql = given.get("sql", Fields) if given is not None else None
        return Identity(
            **self.sql(sql) if sql is not None else {},
            machine_id=given.get("machine_id", str) if given is not None else None,
            file_path=file.get("path", str) if file is not None else None,
            file_text=file.get("text", str) if file is not None else None,
        )

    def sql(self, given: Fields) -> dict[str, str | None]:
        """The query that tells the machine's database from another."""
        query, db = given.get("query", str), given.get("db", str)
        try:
            one_query(query or "")
        except FieldError as error:
            given.error("E204", "query", str(error))
        if db is not None and db not in self.inventory.databases:
            given.error("E401", "db", f"there is no database '{db}'", did_you_mean(db, self.inventory.databases))
        return {"sql_query": query, "sql_equals": given.get("equals", str), "sql_db": db}


def _entries(fields: Fields, key: str) -> dict[str, Fields]:
    found: dict[str, Fields] = {}
    for name, named in fields.named(key).items():
        if isinstance(named.value, Fields):
            found[name] = named.value
    return found


def _title(name: str, entry: Fields) -> str:
    title = entry.get("title", Text)
    return title.pick("en").text if title is not None else name


def _database(name: str, entry: Fields) -> Database:
    return Database(
        name=name,
        database=entry.get("name", str) or name,
        user=entry.get("user", str) or "",
        port=entry.get("port", int),
        password=entry.get("password", SecretRef),
    )


def _bucket(name: str, entry: Fields) -> Bucket:
    if "profile" in entry and "keys" in entry:
        entry.error("E210", "keys", "'profile' and 'keys' exclude each other")
    return Bucket(
        name=name,
        bucket=entry.get("bucket", str) or "",
        endpoint=entry.get("endpoint", str),
        region=entry.get("region", str),
        profile=entry.get("profile", str),
        keys=entry.get("keys", SecretRef),
    )


def _channel(name: str, kind: str, entry: Fields) -> Channel:
    settings: dict[str, str | tuple[str, ...]] = {}
    for key, value in entry.values.items():
        if isinstance(value, tuple):
            settings[key] = entry.many(key, str)
        elif key not in {"type", "secret"}:
            settings["sender" if key == "from" else key] = str(value)
    return Channel(name=name, type=kind, settings=settings, secret=entry.get("secret", SecretRef))


def _person(name: str, entry: Fields) -> Person:
    return Person(
        name=name,
        full_name=entry.get("name", str) or name,
        logins=entry.many("logins", str),
        keys=entry.many("keys", str),
        simulated=entry.get("simulated", bool) or False,
    )
