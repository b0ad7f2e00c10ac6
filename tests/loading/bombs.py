"""Inputs that are built and not changed: bombs, random YAML, and texts of the language by its grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.expressions.signatures import EACH_SIGNATURES, SIGNATURES
from tests.loading.mutations import WORDS, as_yaml

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

HEAD = b"runbook: x\nphases:\n  - id: only\n    steps:\n"
_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "and", "or")
_ATOMS = (
    *("1", "0.5", "30s", "1h30m", "4KiB", "'a'", '"b"', "true", "null", "stdout", "exit", "inputs.a", "vars.b.c"),
    *("steps.look.ok", "steps.look.stdout", "steps.later.json[0].x", "run.id", "marks.fenced", "host.address"),
    *("hosts['db1'].site", "group('app')", "'[0-9]+'", "'((a*)*)*'", "9" * 30, "x-y", "-1", "[]", "now()"),
)


def _anchors(own: random.Random) -> bytes:
    lines = ["a0: &a0 [x, x]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, own.randrange(3, 40))
    ]
    return "\n".join(["runbook: x", *lines]).encode()


def _nested(own: random.Random) -> bytes:
    opening, closing = own.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("{steps: [", "]}"), ("(", ")")))
    depth = own.choice((10, 31, 33, 100, 5_000, 100_000))
    return b"runbook: x\nphases: " + (opening * depth + "1" + closing * own.choice((depth, 0))).encode()


def _huge(own: random.Random) -> bytes:
    size = own.choice((10_000, 300_000, 1_048_500, 1_100_000))
    unit = own.choice(
        (
            *(
                "a",
                "a ",
                "'",
                "${{ ",
                "${{ vars.a }}",
                "$(",
                "$((",
                "<<E\n",
                "\\",
                "字",
                "(",
                "not ",
                "1+",
                "a.b",
                "[0]",
            ),
            *(
                "${{ vars.a }} ",
                "'a' ${{ vars.a }} ",
                "'a'",
                "sh -c ",
                "sudo awk -v ",
                "${x:-",
                "psql ",
                "# a\n",
                "`a`",
            ),
        )
    )
    end = own.choice(("", " ${{ vars.a }}"))
    text = (unit * (size // len(unit)))[: size - len(end)] + end
    line = own.choice(
        (
            "- {{id: a, effect: read, run: {0}}}",
            "- {{id: a, do: check, expect: {0}}}",
            "- {{id: a, title: {0}, run: x}}",
            "- {0}",
        )
    )
    return HEAD + b"      " + line.format(_quoted(text)).encode()


def _keys(own: random.Random) -> bytes:
    count, line = (
        own.choice((100, 3_000, 60_000)),
        own.choice(("k{0}: 1", "runbook: {0}", "? [{0}]\n: 1", "k{0}: [", "{0}: {{a: 1, a: 2}}")),
    )
    return "\n".join(["runbook: x", *(line.format(n) for n in range(count))]).encode()


def _errors(own: random.Random) -> bytes:
    step = own.choice(
        (
            "{{id: s{0}, do: chekc}}",
            "{{id: s, run: x}}",
            "{{id: s{0}, do: check, expect: steps.t{0}.ok}}",
            "{{do: [}}",
            "{{id: s{0}, run: '${{{{ a{0} }}}}', effect: read}}",
            "{{id: s{0}, on: db{0}x, run: x, effect: read}}",
        )
    )
    return HEAD + "".join(f"      - {step.format(n)}\n" for n in range(own.choice((50, 500, 4_000)))).encode()


def _random_tree(own: random.Random, depth: int = 0) -> object:
    kind = own.randrange(8 if depth < 6 else 5)
    if kind < 3:
        return own.choice(WORDS)
    if kind < 5:
        return own.choice(
            (
                None,
                True,
                0,
                -1,
                2.5,
                10**30,
                "".join(
                    chr(own.choice((own.randrange(32, 127), own.randrange(0xA0, 0x3000))))
                    for _ in range(own.randrange(9))
                ),
            )
        )
    if kind == 5:
        return [_random_tree(own, depth + 1) for _ in range(own.randrange(5))]
    return {own.choice(WORDS): _random_tree(own, depth + 1) for _ in range(own.randrange(6))}


def _random_yaml(own: random.Random) -> bytes:
    return as_yaml(
        {
            "runbook": "x",
            "phases": [{"id": "a", "steps": [_random_tree(own) for _ in range(3)]}],
            own.choice(WORDS): _random_tree(own),
        }
    )


def expression(own: random.Random, depth: int = 0) -> str:
    """An expression by the grammar, types aside; now and then with a letter too many."""
    shape = own.randrange(10 if depth < 5 else 3)
    if shape < 4:
        return own.choice(_ATOMS)
    inner = [expression(own, depth + 1) for _ in range(own.choice((1, 2, 2, 3)))]
    match shape:
        case 4 | 5:
            return f" {own.choice(_OPERATORS)} ".join(inner)
        case 6:
            return own.choice(
                (
                    f"({inner[0]})",
                    f"not {inner[0]}",
                    f"-{inner[0]}",
                    f"[{', '.join(inner)}]",
                    f"{inner[0]}[{inner[-1]}]",
                )
            )
        case 7:
            return f"{own.choice(list(EACH_SIGNATURES))}(b in {inner[0]}, {inner[-1]})"
        case 8:
            return f"{own.choice(list(SIGNATURES))}({', '.join(inner)})"
        case _:
            text = inner[0]
            at = own.randrange(len(text) + 1)
            return (
                text[:at]
                + own.choice(("\\", "'", "$", "}}", "${{", "\n", " ", "é", "#", ".", "(", "\u2019", "&&"))
                + text[at + own.randrange(3) :]
            )


def _template(own: random.Random) -> str:
    words = (
        "echo ",
        '"',
        "'",
        "$(",
        ")",
        "`",
        "<<E\n",
        "\nE\n",
        "#",
        "\\",
        "$HOME ",
        "; ",
        "|",
        "x",
        "$((",
        "${",
        "}",
        "\n",
    )
    parts = [
        own.choice(words) if own.random() < 0.6 else "${{ " + expression(own) + own.choice((" }}",) * 9 + (" }", ""))
        for _ in range(own.randrange(1, 12))
    ]
    return "".join(parts)


def _language(own: random.Random) -> bytes:
    places: tuple[Callable[[], dict[str, object]], ...] = (
        lambda: {"do": "check", "expect": expression(own)},
        lambda: {"run": _template(own), "effect": "read"},
        lambda: {"do": "set", "with": {"a": _template(own)}},
        lambda: {"run": "x", "effect": "read", "capture": {"c": expression(own)}, "when": expression(own)},
        lambda: {
            "do": "http.check",
            "with": {"url": _template(own), "headers": {"A": _template(own)}},
            "on": _template(own),
        },
        lambda: {"do": "decide", "with": {"rules": [{"if": expression(own), "then": 1}]}, "title": _template(own)},
    )
    look = {"id": "look", "run": "x", "effect": "read", "capture": {"d": expression(own)}}
    steps = [look, *({"id": f"s{n}"} | own.choice(places)() for n in range(own.randrange(1, 5)))]
    return as_yaml(
        {
            "runbook": "x",
            "inputs": {"a": {"type": "text", "default": "a"}},
            "vars": {"b": _template(own)},
            "phases": [{"id": "p", "steps": steps}],
        }
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


BUILT: tuple[tuple[str, int, Callable[[random.Random], bytes]], ...] = (
    ("language", 40, _language), ("random YAML", 20, _random_yaml), ("aliases", 2, _anchors), ("nesting", 3, _nested),
    ("huge", 1, _huge), ("keys", 1, _keys), ("errors", 1, _errors),
)  # fmt: skip
"""What is built: name, how often against the others, and the builder."""
