"""Loading costs in proportion to the document: four times the text takes nowhere near sixteen times the work."""

import cProfile
import pstats
from collections.abc import Callable

import pytest

from tests.loading.documents import load_text

HEAD = "runbook: x\nphases:\n  - id: only\n    steps:\n"
TAIL = "phases: [{id: a, steps: [{id: b, do: check, expect: true}]}]\n"


def chain(count: int) -> str:
    lines = "".join(f'  v{number}: "${{{{ vars.v{number + 1} }}}}"\n' for number in range(count))
    return f"runbook: x\nvars:\n{lines}  v{count}: 1\n{TAIL}"


def steps(count: int) -> str:
    first = HEAD + "      - {id: s0, run: ls, effect: read}\n"
    step = "      - {{id: s{0}, run: 'echo ${{{{ steps.s{1}.stdout }}}}', effect: read}}\n"
    return first + "".join(step.format(number, number - 1) for number in range(1, count))


DOCUMENTS: dict[str, Callable[[int], str]] = {
    "steps": steps,
    "variables": chain,
    "unknown steps": lambda count: HEAD + "".join(
        f"      - {{id: s{number}, do: check, expect: steps.t{number}x.ok}}\n" for number in range(count)
    ),
    "unknown keys": lambda count: "runbook: x\n" + "".join(f"timeuot{number}: 1\n" for number in range(count)),
    "one text": lambda count: HEAD + f"      - {{id: s, do: set, with: {{a: '{'${{ nope }}' * count}'}}}}\n",
    "one script": lambda count: HEAD + f"      - {{id: s, effect: read, run: '{'echo ${{ run.id }}; ' * count}'}}\n",
    "branches": lambda count: HEAD + "      - id: p\n        parallel:\n" + "".join(
        f"          - {{id: s{number}, do: check, expect: steps.s{number + 1}.ok}}\n" for number in range(count)
    ),
    "tables": lambda count: HEAD + "".join(
        f"      - {{id: s{number}, on: app, run: 'x ${{{{ steps.s{number - 1}.here.stdout }}}}', effect: read}}\n"
        if number
        else "      - {id: s0, on: app, run: x, effect: read}\n"
        for number in range(count)
    ),
    "a rolling block": lambda count: HEAD
    + "      - id: b\n        on: {group: app, batch: 1}\n        steps:\n"
    + "".join(
        f"          - {{id: s{number}, run: x, effect: read, expect: exit == 0}}\n" for number in range(count)
    ),
    "a loop": lambda count: HEAD + "      - id: b\n        foreach: {a: [1, 2]}\n        steps:\n" + "".join(
        f"          - {{id: s{number}, run: 'x ${{{{ a }}}}', effect: read}}\n" for number in range(count)
    ),
    "a ladder": lambda count: HEAD
    + "      - id: b\n        run: x\n        effect: read\n        until:\n          times: 3\n          escalate:\n"
    + "".join(
        f"            - {{after: 3s, steps: [{{id: s{number}, run: x, effect: read}}]}}\n" for number in range(count)
    ),
    "captures": lambda count: HEAD + "      - id: s\n        run: x\n        effect: read\n        capture:\n"
    + "".join(
        f"          c{number}: exit\n" for number in range(count)
    ),
}  # fmt: skip


def work(text: str) -> int:
    """Function calls one load takes: a measure that no other load of the machine can change."""
    profile = cProfile.Profile()
    profile.runcall(load_text, text)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined] # typeshed leaves it out


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_work_grows_with_the_text(name: str) -> None:
    load_text(DOCUMENTS[name](2))  # what is kept from the first load does not count
    small, large = (work(DOCUMENTS[name](count)) for count in (100, 400))
    assert large < 6 * small
