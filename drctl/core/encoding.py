"""Values as JSON: lossless and tagged for the journal, plain for templates, and strict reading of JSON from hosts.

In the tagged form a map with one key that begins with `$` is ours alone: a map from a host that has such a key is
escaped, so that no output of a host can pose as a time, a number or a host. Floats do not occur.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn, TypeAlias

from drctl.core.quantities import Duration, Size, Time
from drctl.core.value_types import (
    LARGEST_INT,
    MAX_MEMBERS,
    MAX_TEXT,
    HostRef,
    Map,
    Secret,
    Unknown,
    Value,
    number,
    plain_number,
    type_name,
)

JSON: TypeAlias = "bool | int | str | list[JSON] | dict[str, JSON] | None"
"""What the journal may hold."""

MAX_DEPTH: Final = 24  # a journal line takes 32, its own levels included
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def to_json(value: Value) -> JSON:  # noqa: C901, PLR0911 - one case for each type of the language
    """The value in the tagged form of the journal; `from_json` gives it back unchanged.

    Raises:
        TypeError: for a secret, for no value, and for anything that is no value of the language (floats above all).
    """
    match value:
        case None | bool():
            return value
        case int():
            return value if -LARGEST_INT <= value <= LARGEST_INT else {"$decimal": str(value)}
        case str():
            return value if _is_utf8(value) else {"$text": _base64(value)}
        case Decimal():
            return {"$decimal": str(value)}
        case Duration():
            return {"$us": _figure(value.micros)}
        case Size():
            return {"$bytes": _figure(value.bytes)}
        case Time():
            return {"$time": _figure(value.micros)}
        case HostRef():
            return {"$host": _host_to_json(value)}
        case tuple():
            return [to_json(member) for member in value]
        case Mapping():
            if all(_is_plain_key(key) for key in value):
                return {key: to_json(member) for key, member in value.items()}
            return {"$map": {_escaped_key(key): to_json(member) for key, member in value.items()}}
        case _:
            raise _refusal(value)


def from_json(encoded: object) -> Value:
    """The value that `to_json` wrote.

    Raises:
        ValueError: for a tag that does not exist or does not fit, and for floats: such a record was not written by
            drctl.
    """
    match encoded:
        case None | bool() | str():
            return encoded
        case int():
            return number(encoded)
        case list():
            return tuple(from_json(member) for member in encoded)
        case dict() if not any(key.startswith("$") for key in encoded):
            return Map({key: from_json(member) for key, member in encoded.items()})
        case dict() if len(encoded) == 1:
            try:
                return _from_tag(*next(iter(encoded.items())))
            except (TypeError, KeyError, InvalidOperation) as error:
                raise ValueError(f"Not a value of the journal: {error}.") from error
        case _:
            raise ValueError(f"Not a value of the journal: {type(encoded).__name__}.")


def _from_tag(tag: str, content: object) -> Value:  # noqa: PLR0911 - one return for each tag
    match tag, content:
        case "$decimal", str():
            return number(Decimal(content))
        case "$text", str():
            return base64.b64decode(content, validate=True).decode("utf-8", "surrogatepass")
        case "$us", int() | str():
            return Duration(int(content))
        case "$bytes", int() | str():
            return Size(int(content))
        case "$time", int() | str():
            return Time(int(content))
        case "$host", dict():
            return _host_from_json(content)
        case "$map", dict():
            return Map({_plain_key(key): from_json(member) for key, member in content.items()})
        case _:
            raise ValueError(f"Not a value of the journal: unknown tag {tag!r}.")


def _host_to_json(host: HostRef) -> JSON:
    return {
        "name": host.name,
        "address": host.address,
        "port": host.port,
        "site": host.site,
        "role": host.role,
        "groups": list(host.groups),
        "facts": to_json(host.facts),
    }


def _host_from_json(content: Mapping[str, object]) -> HostRef:
    match content:
        case {"name": str(name), "address": str(address), "port": int(port), "groups": list(groups), **rest}:
            site, role, facts = rest.get("site"), rest.get("role"), from_json(rest.get("facts", {}))
        case _:
            raise ValueError("Not a value of the journal: a host lacks a field.")
    if not isinstance(facts, Map):
        raise ValueError("Not a value of the journal: the facts of a host are no map.")  # noqa: TRY004 - see from_json
    return HostRef(
        name=name,
        address=address,
        port=port,
        site=None if site is None else str(site),
        role=None if role is None else str(role),
        groups=tuple(str(group) for group in groups),
        facts=facts,
    )


def _refusal(value: object) -> TypeError:
    if isinstance(value, Secret):
        return TypeError("A secret is never written down.")
    if isinstance(value, Unknown):
        return TypeError(f"No value cannot be written down as one ({value}).")
    return TypeError(f"{type(value).__name__} is not a type of the runbook language.")


def _figure(figure: int) -> JSON:
    return figure if -LARGEST_INT <= figure <= LARGEST_INT else str(figure)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_plain_key(key: str) -> bool:
    return not key.startswith("$") and _is_utf8(key)


def _escaped_key(key: str) -> str:
    """A key that the journal takes whatever is in it: `=` and the key, or `~` and its bytes when it is not UTF-8."""
    return f"={key}" if _is_utf8(key) else f"~{_base64(key)}"


def _plain_key(key: str) -> str:
    if key.startswith("~"):
        return base64.b64decode(key[1:], validate=True).decode("utf-8", "surrogatepass")
    if not key.startswith("="):
        raise ValueError("Not a value of the journal: a key of $map has no mark.")
    return key[1:]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def text_of(value: Value) -> str:
    """The text a template writes for a value.

    Numbers plain, durations `90s`, sizes in bytes, times RFC 3339 with Z, a host as its name, lists and maps as JSON
    with sorted keys: the same value gives the same text on any machine, or a resumed run would send another command.

    Raises:
        ValueError: for null, which has no text; and for a secret, which must stand alone.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return plain_number(value)
        case Duration() | Size() | Time() | HostRef():
            return str(value)
        case tuple() | Mapping():
            return json_text(value)
        case None:
            raise ValueError("null has no text; only a field that is one template alone can pass it on.")
        case _:
            raise ValueError(f"{type_name(value)} has no text.")


def json_text(value: Value) -> str:  # noqa: PLR0911 - one return for each kind of JSON
    """The value as ordinary JSON text for people and programs: quantities in their text form, keys sorted."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return plain_number(value)
        case Size():
            return str(value.bytes)
        case tuple():
            return "[" + ", ".join(json_text(member) for member in value) + "]"
        case Mapping():
            entries = (f"{json.dumps(key, ensure_ascii=False)}: {json_text(value[key])}" for key in sorted(value))
            return "{" + ", ".join(entries) + "}"
        case _:
            return json.dumps(text_of(value), ensure_ascii=False)


def from_plain(plain: object, depth: int = MAX_DEPTH) -> Value:
    """Decoded JSON or YAML (lists, dicts, texts, whole and decimal numbers) as a value.

    Raises:
        ValueError: for floats, keys that are no text, numbers beyond 100 digits, and nesting deeper than `depth`.
    """
    if depth < 0:
        raise ValueError(f"Nested deeper than {MAX_DEPTH} levels.")
    match plain:
        case None | bool() | str() | Duration() | Size() | Time() | HostRef():
            return plain
        case int() | Decimal():
            return number(plain)
        case list() | tuple():
            return tuple(from_plain(member, depth - 1) for member in plain)
        case Mapping():
            if not all(isinstance(key, str) for key in plain):
                raise ValueError("A key of a map must be a text.")
            return Map({key: from_plain(member, depth - 1) for key, member in plain.items()})
        case _:
            raise ValueError(f"{type(plain).__name__} is not a type of the runbook language.")


def parse_json(text: str) -> Value | Unknown:
    """JSON text, strictly: one document, at most 1 MiB, 24 levels, 100,000 members, no key twice, exact numbers.

    Returns:
        The value, or no value with the reason; never an exception, whatever a host wrote.
    """
    try:
        if len(text.encode()) > MAX_TEXT:
            return Unknown("the JSON is longer than 1 MiB", not_yet=False)
        _check_extent(text)
        decoded = json.loads(
            text,
            parse_float=lambda written: number(Decimal(written)),
            parse_int=_int,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
        plain = from_plain(decoded)
        _check_utf8(plain)
    except json.JSONDecodeError as error:
        return Unknown(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}", not_yet=False)
    except UnicodeEncodeError:
        return Unknown("not JSON: the text is not UTF-8", not_yet=False)
    except (ValueError, InvalidOperation, RecursionError) as error:
        return Unknown(f"not JSON that drctl takes: {error}".rstrip("."), not_yet=False)
    return plain


def _check_extent(text: str) -> None:
    depth = members = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in "[{":
            depth += 1
            members += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        elif found[0] in "]}":
            depth -= 1
    if members + text.count(",") > MAX_MEMBERS and _count_members(text) > MAX_MEMBERS:
        raise ValueError(f"more than {MAX_MEMBERS:,} members")


def _count_members(text: str) -> int:
    """Commas outside strings, and brackets: what bounds the number of values."""
    return sum(1 for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{,]', text, re.DOTALL) if found[0][0] != '"')


def _int(written: str) -> int | Decimal:
    if len(written) > 101:  # noqa: PLR2004 - 100 digits and a sign; Python's own limit is 4300
        raise ValueError("a number has more than 100 digits")
    return number(int(written))


def _constant(written: str) -> NoReturn:
    raise ValueError(f"{written} is not a number in JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        count = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {max(count, key=count.__getitem__)!a} stands twice")
    return entries


def _check_utf8(value: Value) -> None:
    """A lone surrogate written as an escape is valid JSON and yet no text; it would fail later, far from here."""
    match value:
        case str():
            value.encode()
        case tuple():
            for member in value:
                _check_utf8(member)
        case Mapping():
            for key, member in value.items():
                key.encode()
                _check_utf8(member)
        case _:
            pass
