"""A plan that is kept: what it was made from, what was seen, until when it stands, and a digest over all of it.

One JSON object in canonical form (sorted keys, ASCII, no blanks), one line; `docs/plan-format.md` describes it. Secrets
are named and never written. What reads and writes the file is not here.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from drctl.core.bounds import FAN_OUT
from drctl.core.nouns import dataclass
from drctl.core.records import ParseError, canonical, strict_json
from drctl.core.values import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drctl.core.inventory import Inventory

FORMAT: Final = "drctl-plan"
VERSION: Final = 1
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of the largest plan file that is read."""
_DOMAIN: Final = b"drctl/saved-plan/v1\n"
_NOT_CONTENT: Final = frozenset({"where", "source"})


class NotAPlanError(Exception):
    """The text is no saved plan of this version. Its text says why."""


class TamperedError(Exception):
    """The digest in the plan is not that of its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What one look that counted gave, or a mark that was set to a value of its own.

    Attributes:
        path: the address of its unit; with a round of a loop or host where there are several.
        origin: its address in the document.
        mark: the name of the mark that `values` has as `value`; empty for a look.
        values: outputs and captures in tagged form; a long one as {"$sha256": hex}.
        unknown: names without a value, with the reason.
    """

    path: str
    origin: str
    host: str
    outcome: str
    mark: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan with all that it is held to. Times are microseconds UTC.

    Attributes:
        frozen: digest of the frozen documents, as the plan on the screen shows it.
        version: of drctl.
        documents: digests of the runbook and of what it includes, by name beside the runbook.
        inventory: digests of the entries used, by name: `host db1`.
        inputs: in tagged form, defaults filled in; secrets are left out.
        secrets: names of inputs that are secrets.
        limit: the only hosts that may be acted on; none named means every host.
        fan_out: hosts at a time.
        live: whether looks were taken; `declared` whether shell looks were.
        rows: the rows of the plan, as `drctl plan --output json` gives them.
    """

    runbook: str
    frozen: str
    version: str
    made_at: int
    expires_at: int
    documents: Mapping[str, str]
    inventory: Mapping[str, str]
    inputs: Mapping[str, Any]
    secrets: tuple[str, ...]
    live: bool
    declared: bool
    facts: tuple[Fact, ...]
    rows: tuple[Mapping[str, Any], ...]
    coverage: Mapping[str, int]
    limit: tuple[str, ...] = ()
    fan_out: int = FAN_OUT

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical form of everything but the digest itself."""
        return hashlib.sha256(_DOMAIN + canonical(self._content())).hexdigest()

    def _content(self) -> dict[str, Any]:
        plain = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        plain["facts"] = [dataclasses.asdict(fact) for fact in self.facts]
        plain |= {
            "secrets": list(self.secrets),
            "rows": list(self.rows),
            "limit": list(self.limit),
            "format": FORMAT,
            "v": VERSION,
        }
        return plain

    def text(self) -> bytes:
        """The file."""
        return canonical(self._content() | {"digest": self.digest}) + b"\n"


def read_plan(data: bytes) -> SavedPlan:
    """Read a file back.

    Raises:
        NotAPlanError: it is no saved plan, or of a version that this drctl does not know.
        TamperedError: it was changed after it was written.
    """
    try:
        content = strict_json(data.strip())
    except (ParseError, ValueError, RecursionError) as error:
        raise NotAPlanError(f"it is not JSON as drctl writes it ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise NotAPlanError("it is not a plan that drctl saved")
    if content.get("v") != VERSION:
        raise NotAPlanError(f"its version is {content.get('v')!r}, and this drctl knows only {VERSION}")
    digest = content.pop("digest", None)
    if digest != hashlib.sha256(_DOMAIN + canonical(content)).hexdigest():
        raise TamperedError
    del content["format"], content["v"]
    try:
        facts = tuple(Fact(**fact) for fact in _maps(content.pop("facts")))
        rows, secrets = tuple(_maps(content.pop("rows"))), tuple(map(str, _list(content.pop("secrets"))))
        limit = tuple(map(str, _list(content.pop("limit", []))))
        return SavedPlan(**content, facts=facts, rows=rows, secrets=secrets, limit=limit)
    except (KeyError, TypeError) as error:
        raise NotAPlanError(f"it lacks something: {error}") from error


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _maps(value: object) -> list[dict[str, Any]]:
    found = _list(value)
    if not all(isinstance(one, dict) for one in found):
        raise TypeError("a list of maps was expected")
    return found


# -- fingerprints -----------------------------------------------------------------------------------------------------


def text_digest(text: str) -> str:
    """SHA-256 of a document's text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def inventory_digests(inventory: Inventory, hosts: Iterable[str]) -> dict[str, str]:
    """A digest for each entry of an inventory that a plan goes by: these hosts, and whatever is no host."""
    head = [inventory.name, inventory.environment.value, inventory.zone]
    entries: dict[str, object] = {"inventory": head}
    entries |= {f"host {name}": inventory.hosts[name] for name in sorted(hosts) if name in inventory.hosts}
    for word, several in (
        ("database", inventory.databases), ("bucket", inventory.buckets), ("channel", inventory.channels),
        ("person", inventory.people), ("role", inventory.roles), ("site", inventory.sites),
    ):  # fmt: skip
        entries |= {f"{word} {name}": entry for name, entry in several.items()}
    return {name: text_digest(json.dumps(_plain(entry), sort_keys=True)) for name, entry in entries.items()}


def _plain(value: object) -> object:  # noqa: PLR0911 - one for each shape
    """An entry as JSON; where it stands in its file does not matter."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [
            one.name
            for one in dataclasses.fields(value)
            if one.name not in _NOT_CONTENT or type(value).__name__ == "SecretRef"
        ]
        if hasattr(value, "micros") or hasattr(value, "bytes"):
            return to_json(value)  # type: ignore[arg-type]  # a value of the language
        return {name: _plain(getattr(value, name)) for name in names}
    match value:
        case Mapping():
            return {str(key): _plain(member) for key, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
        case frozenset() | set():
            return sorted(str(member) for member in value)
        case enum.Enum():
            return value.value
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One thing that is not as the plan has it."""

    name: str
    old: str
    new: str
    used_by: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.old} -> {self.new}" + (f"   (used by {self.used_by})" if self.used_by else "")


def compared(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[Moved]:
    """Entries whose digests differ, or that only one side has."""
    return [
        Moved(name=f"{what}{name}", old=_short(old.get(name)), new=_short(new.get(name)))
        for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    ]  # fmt: skip


def rows_compared(
    old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]], untold: Callable[[Mapping[str, Any]], bool]
) -> list[Moved]:
    """Rows of which status, text or place is another one, or that only one side has.

    `untold` says of which rows the text may differ, since it holds a time or only tells people something.
    """
    before, now = ({row["path"]: row for row in rows} for rows in (old, new))
    found = []
    for path in {**before, **now}:
        if path not in before or path not in now:
            status = [side[path]["status"] if path in side else "not there" for side in (before, now)]
            found.append(Moved(name=path, old=status[0], new=status[1]))
            continue
        row, other = before[path], now[path]
        keys = [key for key in ("status", "place", "hosts", "text") if row[key] != other[key]]
        found += [
            Moved(name=f"{path}: {key}", old=_told(row[key]), new=_told(other[key]))
            for key in keys if key != "text" or not untold(other)
        ]  # fmt: skip
    return found


def _told(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text or "none"


def _short(digest: str | None) -> str:
    return "not there" if digest is None else f"sha256:{digest[:16]}"
