"""One `systemctl` command line carried out on a host's units; words, output and exit codes as in systemctl(1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drctl.lab.units import Unit

_FLAGS = frozenset(
    (
        "--no-pager",
        "--quiet",
        "-q",
        "--no-block",
        "--now",
        "--value",
        "-l",
        "--full",
        "--no-ask-password",
        "-a",
        "--all",
    )
)
_WITHOUT_EFFECT = ("--kill-who=", "--lines=", "--type=")
_LOG_LINES = 10
_ASKING = ("is-active", "is-failed", "is-enabled", "status", "show")


@dataclass(slots=True)
class _Line:
    """A command line, split.

    Attributes:
        words: the verb and the units.
        flags: options without a value.
        properties: what `show` is to print; empty means all.
        signal: what `kill` sends.
        unknown: the first option not known here.
    """

    words: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    properties: list[str] = field(default_factory=list)
    signal: str = "SIGTERM"
    unknown: str = ""

    @property
    def names(self) -> list[str]:
        return [word.removesuffix(".service") for word in self.words[1:]]

    @classmethod
    def parse(cls, arguments: list[str]) -> _Line:
        line = cls()
        rest = iter(arguments)
        for word in rest:
            name, equals, value = word.partition("=")
            if name in ("-p", "--property"):
                line.properties += (value if equals else next(rest, "")).split(",")
            elif name in ("-s", "--signal"):
                line.signal = value if equals else next(rest, "")
            elif word in _FLAGS:
                line.flags.add(word)
            elif not word.startswith("-"):
                line.words.append(word)
            elif not word.startswith(_WITHOUT_EFFECT):
                line.unknown = line.unknown or word
        return line


async def run(units: dict[str, Unit], arguments: list[str]) -> dict[str, Any]:
    """Do what the words say; gives {"rc", "out", "err"} as systemctl would."""
    line = _Line.parse(arguments)
    verb = line.words[0] if line.words else "list-units"
    missing = [name for name in line.names if name not in units]
    if line.unknown:
        said = _said(1, err=f"systemctl: unrecognized option '{line.unknown}'")
    elif verb in ("daemon-reload", "reset-failed"):
        said = _said(0)
    elif verb in ("list-units", "list-unit-files"):
        rows = (f"{name}.service {unit.file_state()} {unit.active_state}\n" for name, unit in units.items())
        said = _said(0, "".join(rows))
    elif not line.names:
        said = _said(1, err="Too few arguments.")
    elif missing and verb == "status":
        said = _said(4, err=f"Unit {missing[0]}.service could not be found.")
    elif verb in _ASKING:
        said = _ask(units, verb, line)
    elif missing:
        said = _said(5, err=f"Failed to {verb} {missing[0]}.service: Unit {missing[0]}.service not found.")
    else:
        said = await _act(units, verb, line)
    return said


async def _act(units: dict[str, Unit], verb: str, line: _Line) -> dict[str, Any]:
    for unit in (units[name] for name in line.names):
        problem = await _act_on(unit, verb, line.signal)
        if not problem and "--now" in line.flags:
            problem = await unit.start() if verb == "enable" else ""
            if verb in ("disable", "mask"):
                await unit.stop()
        if problem:
            return _said(1, err=problem)
    return _said(0)


async def _act_on(unit: Unit, verb: str, signal: str) -> str:
    running = unit.active_state == "active"
    if verb in ("stop", "restart") or (verb == "try-restart" and running):
        await unit.stop()
    if verb in ("start", "restart") or (verb == "try-restart" and running):
        return await unit.start()
    if verb == "reload":
        if not running or not unit.definition.reload_signal:
            return f"Failed to reload {unit.definition.name}.service: it is {unit.active_state} or cannot reload."
        unit.kill(unit.definition.reload_signal)
    elif verb == "kill":
        unit.kill(signal)
    elif verb in ("enable", "mask"):
        (unit.enabled_file if verb == "enable" else unit.masked_file).touch()
    elif verb in ("disable", "unmask"):
        (unit.enabled_file if verb == "disable" else unit.masked_file).unlink(missing_ok=True)
    elif verb not in ("stop", "try-restart"):
        return f"Unknown command verb '{verb}'."
    return ""


def _ask(units: dict[str, Unit], verb: str, line: _Line) -> dict[str, Any]:
    if verb == "show":
        return _said(0, "\n".join(_shown(units.get(name), name, line) for name in line.names))
    if verb == "status":
        asked = [units[name] for name in line.names]
        active = all(unit.active_state == "active" for unit in asked)
        return _said(0 if active else 3, "".join(_status(unit) for unit in asked))
    answers = [_answer(units.get(name), verb) for name in line.names]
    good = {"is-active": "active", "is-failed": "failed", "is-enabled": "enabled"}[verb]
    code = 0 if good in answers else 3 if verb == "is-active" else 1
    return _said(code, "" if line.flags & {"-q", "--quiet"} else "".join(f"{answer}\n" for answer in answers))


def _answer(unit: Unit | None, verb: str) -> str:
    if unit is None:
        return "not-found" if verb == "is-enabled" else "inactive"
    return unit.file_state() if verb == "is-enabled" else unit.active_state


def _shown(unit: Unit | None, name: str, line: _Line) -> str:
    facts = unit.properties() if unit else _absent(name)
    value_only = "--value" in line.flags
    lines = (facts.get(key, "") if value_only else f"{key}={facts.get(key, '')}" for key in line.properties or facts)
    return "".join(f"{text}\n" for text in lines)


def _absent(name: str) -> dict[str, str]:
    return {
        "Id": f"{name}.service",
        "LoadState": "not-found",
        "ActiveState": "inactive",
        "SubState": "dead",
        "MainPID": "0",
        "UnitFileState": "",
    }


def _status(unit: Unit) -> str:
    facts = unit.properties()
    try:
        tail = unit.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        tail = []
    head = (
        f"* {facts['Id']} - {facts['Description']}\n"
        f"     Loaded: {facts['LoadState']} ({facts['UnitFileState']})\n"
        f"     Active: {facts['ActiveState']} ({facts['SubState']}) since {facts['StateChangeTimestamp']}\n"
        f"   Main PID: {facts['MainPID']}\n"
    )
    return head + "".join(f"{text}\n" for text in ["", *tail])


def _said(code: int, out: str = "", err: str = "") -> dict[str, Any]:
    return {"rc": code, "out": out, "err": f"{err}\n" if err else ""}
