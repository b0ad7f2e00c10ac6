"""Warnings of what a runbook needs and its own `scenario` takes away (W007).

Judged by what is written: a host by its site and address, a URL by the name that stands in it, a secret by its source,
a script by the programs it calls. What a look foresees (`observe`, `tolerate: [unreachable]`) and what a fence tries
against the lost host is not told; whether a step's `when` holds in the scenario is not known here, so it is.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from typing import TYPE_CHECKING, Final

from drctl.core.model import Action, Fence, Listed, Mapped, inside
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.places import PlaceKind
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.inventory import Host, Inventory, SecretRef
    from drctl.core.kind import Kind
    from drctl.core.model import FieldValue, Runbook, Step
    from drctl.loading.codes import Problems

_HINT: Final = "give the step another way, say what it foresees, or take the word out of scenario: lost"
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"]+")
_SOURCES: Final = {"ssm": ("secrets", "cloud-control"), "secretsmanager": ("secrets", "cloud-control")}
_PROGRAMS: Final = {
    "git": re.compile(r"(?:^|[;&|(\n])\s*git\s+(?:clone|fetch|pull|push|ls-remote|submodule)\b"),
    "cloud-control": re.compile(r"(?:^|[;&|(\n])\s*(?:aws|az|gcloud)\s"),
    "secrets": re.compile(r"(?:^|[;&|(\n])\s*vault\s+(?:kv|read|login)\b"),
}


def warn_of_scenario(
    runbook: Runbook, kinds: Mapping[str, type[Kind]], inventory: Inventory | None, problems: Problems
) -> None:
    """Warn of every step that needs something the scenario takes away, once for each reason."""
    if not runbook.scenario:
        return
    judge = _Scenario(runbook=runbook, kinds=kinds, inventory=inventory, lost=frozenset(runbook.scenario))
    for where, needs in judge.findings():
        problems.warn("W007", where, f"{needs}, and the scenario takes that away", _HINT)


def whole(step: Step) -> Iterator[Step]:
    """A step and every step in or around it: looks of `verify` and `unless`, ways back, methods and proof."""
    yield step
    ways = (step.ways.undo, step.ways.restore)
    for inner in (*step.unless, *step.verify, *(one for way in ways if way is not None for one in way.steps)):
        yield from whole(inner)
    for inner in inside(step):
        yield from whole(inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scenario:
    runbook: Runbook
    kinds: Mapping[str, type[Kind]]
    inventory: Inventory | None
    lost: frozenset[str]

    def findings(self) -> Iterator[tuple[Where, str]]:
        for spec in self.runbook.inputs:
            source = (spec.source or "").partition(":")[0]
            if self.lost.intersection(_SOURCES.get(source, ())):
                yield spec.where, f"input {spec.name} is a secret that {source} keeps"
        for phase in self.runbook.phases:
            for step in phase.steps:
                yield from self.step(step)

    def step(self, top: Step) -> Iterator[tuple[Where, str]]:
        fenced = {
            id(method) for step in whole(top) if isinstance(step.body, Fence) and not step.body.lift
            for method in step.body.methods
        }  # fmt: skip
        for step in whole(top):
            name = f"step {step.id}" if "/" not in step.id else "this step"
            seen = dict.fromkeys(self.needs(step, tried=id(step) in fenced))
            yield from ((step.where, f"{name} needs {what}") for what in seen)

    def needs(self, step: Step, *, tried: bool) -> Iterator[str]:
        """What a step needs of what is lost; `tried`: a method of a fence, whose host may be gone."""
        foreseen = tried or step.judgement.observe or Outcome.UNREACHABLE in step.judgement.tolerate
        if isinstance(step.body, Action):
            if not foreseen:
                yield from self.place(step)
            kind = self.kinds.get(step.body.kind)
            for word in sorted(self.lost & kind.REQUIRES if kind is not None else ()):
                yield f"{word} ({step.body.kind} does)"
            yield from self.fields(step.body)

    # -- where it runs ---------------------------------------------------------------------------------------------

    def place(self, step: Step) -> Iterator[str]:
        hosts = self.hosts(step)
        bad = {host.name: why for host in hosts if (why := self.gone(host))}
        if not bad or (len(bad) < len(hosts) and step.on is not None and self.leaves_out(step)):
            return
        yield from bad.values()

    @staticmethod
    def leaves_out(step: Step) -> bool:
        """Whether a step on several hosts goes on when some of them are gone."""
        selection = step.on.selection if step.on is not None else None
        return selection is not None and (selection.max_failures is not None or selection.condition is not None)

    def hosts(self, step: Step) -> tuple[Host, ...]:
        if step.on is None or self.inventory is None:
            return ()
        every = self.inventory.hosts.values()
        if step.on.kind is PlaceKind.SELECTION and step.on.selection is not None:
            wanted = step.on.selection
            if wanted.hosts is not None or not (wanted.group or wanted.site or wanted.role):
                return ()
            return tuple(
                host for host in every
                if (not wanted.group or wanted.group in host.groups) and wanted.site in {"", host.site}
                and wanted.role in {"", host.role}
            )  # fmt: skip
        return tuple(host for host in every if step.on.name in {host.name, host.role} and step.on.name)

    def gone(self, host: Host) -> str:
        """Why a host cannot be reached; empty when it can."""
        if host.site in self.lost:
            return f"host {host.name} of site {host.site}"
        jumps = [self.inventory.hosts[name] for name in host.login.via if name in self.inventory.hosts] if (
            self.inventory is not None
        ) else []  # fmt: skip
        for jump in jumps:
            if jump.site in self.lost:
                return f"host {host.name} through {jump.name} of site {jump.site}"
        if "dns" in self.lost:
            for one in (host, *jumps):
                if is_name(one.address):
                    return f"dns for the address {one.address} of host {one.name}"
        return self.secret(host.login.password, f"the login of host {host.name}") or self.secret(
            host.become_password, f"sudo on host {host.name}"
        )

    def secret(self, ref: SecretRef | None, what: str) -> str:
        if ref is None or not self.lost.intersection(_SOURCES.get(ref.source, ())):
            return ""
        return f"the secret {ref} for {what}"

    # -- what it is given ------------------------------------------------------------------------------------------

    def fields(self, action: Action) -> Iterator[str]:
        for name, value in action.fields.items():
            for text in self.texts(value):
                if isinstance(value, Script):
                    yield from (f"{word} (its script does)" for word, program in _PROGRAMS.items()
                                if word in self.lost and program.search(text))  # fmt: skip
                if "dns" in self.lost:
                    yield from (f"dns for {host}" for url in _URL.findall(text) if (host := name_in(url)))
            yield from self.entries(action.kind, name, value)
        if action.kind.startswith("postgres.") and self.inventory is not None:
            named = next(iter(self.texts(action.fields.get("db", ""))), "")
            for database in self.inventory.databases.values():
                if named in {"", database.name} and (why := self.secret(database.password, f"database {named}")):
                    yield why

    def entries(self, kind: str, field: str, value: FieldValue) -> Iterator[str]:
        """What the inventory's own entries need: buckets, channels, and hosts named in a field."""
        if self.inventory is None:
            return
        for text in self.texts(value):
            host = self.inventory.hosts.get(text) or self.inventory.host_of_role(text)
            if field == "host" and "dns" in self.lost and is_name(host.address if host is not None else text):
                yield f"dns for {host.address if host is not None else text}"
            if field == "bucket" and (bucket := self.inventory.buckets.get(text)) is not None:
                if "dns" in self.lost and (bucket.endpoint is None or name_in(bucket.endpoint)):
                    yield f"dns for the endpoint of bucket {text}"
                if why := self.secret(bucket.keys, f"bucket {text}"):
                    yield why
            if kind == "notify" and field == "to" and (channel := self.inventory.channels.get(text)) is not None:
                server = channel.settings.get("host") or name_in(str(channel.settings.get("url", "")))
                if "dns" in self.lost and server and is_name(str(server)):
                    yield f"dns for {server} of channel {text}"
                if why := self.secret(channel.secret, f"channel {text}"):
                    yield why

    def texts(self, value: FieldValue, depth: int = 0) -> Iterator[str]:
        """The texts of a field; constants and facts in them are put in, what only a run knows is a NUL."""
        match value:
            case str():
                yield value
            case Template():
                parts = (part if isinstance(part, str) else self.constant(part.expression.path(), depth)
                         for part in value.parts)  # fmt: skip
                yield "".join(parts)
            case Script():
                yield value.source
            case Mapped(items=members):
                for member in members.values():
                    yield from self.texts(member, depth)
            case Listed(items=items) | tuple(items):
                for member in items:
                    yield from self.texts(member, depth)
            case _:
                pass

    def constant(self, path: tuple[str, ...] | None, depth: int) -> str:
        match path:
            case ("vars", name) if depth < len(self.runbook.vars):
                return next(iter(self.texts(self.runbook.vars.get(name), depth + 1)), "\0")
            case ("hosts", name, *rest) if self.inventory is not None:
                host = self.inventory.hosts.get(name) or self.inventory.host_of_role(name)
                match rest:
                    case ["address"] if host is not None:
                        return host.address
                    case ["facts", fact] if host is not None and fact in host.facts:
                        return text_of(host.facts[fact])
                    case _:
                        return "\0"
            case _:
                return "\0"


def name_in(url: str) -> str:
    """The name that a URL needs looked up; empty when it needs none, or only a run knows it."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host if is_name(host) else ""


def is_name(host: str) -> bool:
    """Whether an address must be looked up."""
    if not host or "\0" in host or "$" in host or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
