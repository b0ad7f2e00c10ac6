"""Documents made wrong: in their bytes, in their lines and words, and in their tree."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from drctl.loading.codes import Problems
from drctl.loading.nodes import CoreType, Mapping, Node, Scalar, Sequence
from drctl.loading.yaml_nodes import compose

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence as Several

Data: TypeAlias = Any
"""What a reader of YAML gives: maps, lists and scalars."""

WORDS = (
    *("null", "~", "true", "no", "3", "-1", "0777", "1e3", ".inf", "3.10", "30s", "10GiB", "2026-01-31T00:00:00Z"),
    *("auto", "local", "db1", "app", "none", "read", "once", "irreversible", "shell", "check", "fence.host"),
    *(
        "x" * 70,
        "a-",
        "in",
        "steps",
        "数据库",
        "\u00e9",
        "a b",
        "*",
        "&a",
        "!x",
        "- x",
        "? y",
        "# z",
        "[",
        "{",
        "}",
        "'",
        '"',
    ),
    *("${{ steps.x.ok }}", "${{", "}}", "${{ inputs.token }}", "steps.look.ok", "1 +", "not", "group('a')", "'" * 3),
    *("first_ok", "max_failures", "at_once", "escalate", "restore", "retry", "until", "outputs", "batch", "take"),
    "where",
    *("steps.look.here.ok", "steps.look.hosts['app1'].ok", "steps.look.each[0].ok", "20%", "first.yaml", "fence.lift"),
    *("undo", "verify", "approve", "foreach", "include", "with", "on", "id", "steps", "parallel", "run", "do"),
)
LINES = (
    *("---", "...", "%YAML 1.1", "<<: *a", "? a", ": b", "\tx: y", "- - - -", "a: &a [*a]", "!!python/object:x {}"),
    *(
        "x: |",
        "x: >-",
        "  " * 40 + "deep: 1",
        "'",
        '"',
        "a: b: c",
        "[" * 40,
        "{a: " * 40,
        "\ufeff",
        "x: \u202ey",
        "x: \u2028",
    ),
)
BYTES = (
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\r",
    b"\r\n",
    b"\t",
    b"\x1b[31m",
    b"\xe2\x80\xae",
    b"\x85",
    b"\\",
)


def data_of(node: Node) -> Data:
    """What another reader of YAML 1.2 core sees."""
    match node:
        case Mapping():
            return {entry.key.text: data_of(entry.value) for entry in node.entries}
        case Sequence():
            return [data_of(item) for item in node.items]
        case Scalar():
            return _scalar(node)
    raise AssertionError(node)


def _scalar(node: Scalar) -> Data:
    match node.core_type:
        case CoreType.NULL:
            return None
        case CoreType.BOOL:
            return node.text.lower() == "true"
        case CoreType.INT:
            base = {"0o": 8, "0x": 16}.get(node.text[:2], 10)
            return int(node.text[2:] if base != 10 else node.text, base)
        case CoreType.FLOAT:
            return float(node.text.replace(".inf", "inf").replace(".nan", "nan"))
        case CoreType.TEXT:
            return node.text


def parse(text: bytes) -> Data:
    """The data of a document that composes without a problem."""
    problems = Problems()
    root = compose(text, "x.yaml", problems)
    assert root is not None
    assert not problems.failed
    return data_of(root)


def places(data: Data, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value below the root."""
    keys = data.keys() if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [each for key in keys for each in ((*path, key), *places(data[key], (*path, key)))]


def at(data: Data, path: tuple[Any, ...]) -> Data:
    for key in path:
        data = data[key]
    return data


def mutated_tree(data: Data, rng: random.Random, donors: Several[Data]) -> Data:
    """The data with one to three changes; values come from this document, another one, or a list of odd ones."""
    data = copy.deepcopy(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = places(data)
        if not paths:
            break
        path = rng.choice(paths)
        holder, key = at(data, path[:-1]), path[-1]
        donor = rng.choice(donors)
        odd: Any = rng.choice((None, True, 7, 2.5, [], {}, [None], {"a": 1}, rng.choice(WORDS)))
        other = rng.choice((odd, copy.deepcopy(at(donor, rng.choice(places(donor))))))
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                name = rng.choice((str(key)[:-1] + "x", rng.choice(WORDS)))
                holder[name] = holder.pop(key)
            case 2 if isinstance(holder, dict):
                holder[rng.choice(WORDS)] = other
            case 3 if isinstance(holder, list):
                holder.insert(rng.randrange(len(holder) + 1), other)
            case _:
                holder[key] = other
    return data


def as_yaml(data: Data) -> bytes:
    """The data as a document: JSON is YAML 1.2."""
    return json.dumps(data, ensure_ascii=False).encode()


def mutated_text(data: bytes, rng: random.Random) -> bytes:
    """The text with a few changes to its bytes, words and lines."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 1, 1, 2, 8, 60, 400)))
        lines = data.split(b"\n")
        match rng.randrange(8):
            case 0:
                data = data[:start] + data[end:]
            case 1:
                data = data[:start] + rng.choice(BYTES) + data[start:]
            case 2:
                data = data[:start] + rng.choice(WORDS).encode() + data[end:]
            case 3:
                data = data[:end] + data[start:]
            case 4:
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES).encode())
                data = b"\n".join(lines)
            case 5:
                at_line = rng.randrange(len(lines))
                lines[at_line] = b" " * rng.randrange(12) + lines[at_line].lstrip()
                data = b"\n".join(lines)
            case 6:
                rng.shuffle(lines)
                data = (
                    b"\n".join(lines) if rng.random() < 0.1 else data[:start] + bytes([rng.randrange(256)]) + data[end:]
                )
            case 7:
                data = data.replace(
                    rng.choice((b":", b"-", b"'", b'"', b"{", b"}", b" ")), rng.choice((b"", b"\t", b": ")), 2
                )
    return data
