"""Runbooks that repeat, on fakes: what tests of rounds share. Each function makes a fresh rig."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.ports import Command
    from tests.fakes.hosts import FakeHost

R = TypeVar("R", bound=Rig)
WEB = ("w1", "w2", "w3", "w4")
INNER = """
runbook: inner
inputs: {name: {type: text}, times: {type: int, default: 2}}
vars: {greeting: "hello ${{ inputs.name }}"}
outputs: {said: steps.say.stdout}
phases:
  - id: work
    when: inputs.times > 1
    steps:
      - {id: say, on: db1, run: say-it, with: {env: {G: "${{ vars.greeting }}"}}, effect: read}
      - id: keep
        on: db1
        run: do-keep
        with: {env: {S: "${{ steps.say.stdout }}"}}
        effect: once
        verify: {run: is-kept, with: {env: {S: "${{ steps.say.stdout }}"}}}
        undo: {none: a test}
"""


class Noting(Rig):
    """A rig whose acts note a value they were given; `noted` is what really happened, in order."""

    def notes(self, act: str, look: str, name: str, *, bad: str = "") -> Noting:
        """Let an act on db1 note its variable, a look see whether it has; the act fails for the value `bad`."""
        noted: list[str] = self.__dict__.setdefault("noted", [])

        def behave(command: Command) -> int:
            value = given(command, name)
            if value == bad:
                return 1
            noted.append(value)
            return 0

        self.host("db1").on(act, behave).on(look, lambda command: 0 if given(command, name) in noted else 1)
        return self

    @property
    def noted(self) -> list[str]:
        found: list[str] = self.__dict__["noted"]
        return found


def given(command: Command, name: str) -> str:
    value = command.env[name]
    assert isinstance(value, str)
    return value


def works(rig: Rig, script: str, *places: str) -> None:
    """An act whose effect the look `is-SCRIPT` sees, on some hosts."""
    for place in places:
        host = rig.host(place).on(f"is-{script}", 1)

        def act(_: Command, host: FakeHost = host) -> int:
            host.on(f"is-{script}", 0)
            return 0

        host.on(f"do-{script}", act)


def effects(rig: Rig, *places: str) -> dict[str, list[str]]:
    return {place: list(rig.host(place).effects) for place in places or WEB if rig.host(place).effects}


def act(name: str, more: str = "", verify: str = "") -> str:
    seen = verify or f"is-{name}"
    return f"id: {name}, run: do-{name}, effect: once, verify: {{run: {seen}}}, undo: {{run: un-{name}}}{more}"


def killed_anywhere(make: Callable[[], R], good: Callable[[R], bool], least: int = 20) -> None:
    """Kill the writer at every record, before and after it is written; the resumed run ends the same."""
    for after in (False, True):
        seq = 0
        while True:
            seq += 1
            rig = make()
            rig.crash_at(seq, after=after)
            try:
                rig.run()
            except Crash:
                pass
            else:
                break
            if rig.lines[-1][1] != "run_closed":
                assert rig.resume() is Exit.DONE, (seq, after)
            assert good(rig), (seq, after)
        assert seq > least


def looped(more: str = "") -> Noting:
    rig = Noting(
        book(
            "{id: names, do: set, with: {all: ['a', 'b', 'c']}}",
            "{id: copy, on: db1, foreach: {n: [a, b, c]}, MORErun: 'do-copy \"$N\"', with: {env: {N: '${{ n }}'}}, "
            "effect: once, verify: {run: is-copied, with: {env: {N: '${{ n }}'}}}, undo: {none: a test}}".replace(
                "MORE", more
            ),
            '{id: last, do: check, expect: "len(steps.copy.each) == 3 and all(c in steps.copy.each, c.ok)"}',
        ).replace("      - {id: names, do: set, with: {all: ['a', 'b', 'c']}}\n", "")
    )
    return rig.notes("do-copy", "is-copied", "N")


def table(on: str = "web", more: str = "") -> Rig:
    rig = Rig(book("{" + act("it", f", on: {on}{more}") + "}"), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    for place in WEB:
        rig.host(place).on("un-it", 0)
    return rig


def rolling(on: str = "{group: web, batch: 2}") -> Rig:
    rig = Rig(
        book("{id: roll, on: " + on + ", steps: [{" + act("one") + "}, {" + act("two") + "}]}"), hosts=("db1", *WEB)
    )
    for name in ("one", "two"):
        works(rig, name, *WEB)
    return rig


def including() -> Noting:
    rig = Noting(
        book(
            "{id: call, foreach: {who: [li, wang]}, include: inner.yaml, with: {name: '${{ who }}'}}",
            "{id: told, do: check, expect: \"steps.call.each[1].said == 'hello wang!'\"}",
        ),
        files={"inner.yaml": INNER},
    )
    rig.host("db1").on("say-it", lambda command: said(given(command, "G") + "!"))
    return rig.notes("do-keep", "is-kept", "S")


def suspended() -> Rig:
    rig = Rig(
        book(
            "{id: cron, on: web, run: list-cron, effect: read, tolerate: [failed]}",
            "{id: pause, on: {group: web, where: steps.cron.here.ok}, run: no-cron, effect: once, "
            "verify: {run: is-quiet}, undo: {none: restore puts it back}, "
            "restore: {run: put-cron, with: {stdin: '${{ steps.cron.here.stdout }}'}}}",
            "{id: work, on: db1, run: do-work, effect: idempotent}",
        ),
        hosts=("db1", *WEB),
    )
    for place in WEB:
        host = rig.host(place).on("list-cron", 1 if place == "w3" else said(f"cron of {place}"))
        host.on("is-quiet", 1)

        def quiet(_: Command, host: FakeHost = host) -> int:
            host.on("is-quiet", 0)
            return 0

        host.on("no-cron", quiet).on("put-cron", 0)
    rig.host("db1").on("do-work", 0)
    return rig


def put_back(rig: Rig) -> dict[str, list[str]]:
    return {place: [text for text in rig.host(place).effects if "put" in text] for place in WEB}


def order(rig: Rig) -> list[tuple[str, str]]:
    return [(body["path"], body["host"]) for body in rig.said("step_started", role="act")]
