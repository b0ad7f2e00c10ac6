"""The campaign of hostile values can fail: builds that paste values into what a shell reads."""

import random
from collections.abc import Callable

import pytest

from drctl.adapters import become, claim_text
from drctl.core.ports import Command
from tests.campaign import injection

Patch = pytest.MonkeyPatch


def quote_with_apostrophes_alone(patch: Patch) -> None:
    patch.setattr(claim_text, "quoted", lambda text: f"'{text}'")


def take_any_name_of_a_user(patch: Patch) -> None:
    class Any:
        def fullmatch(self, _: str) -> bool:
            return True

    patch.setattr(become, "_USER", Any())


def lose_the_last_line_end(patch: Patch) -> None:
    honest = claim_text.program

    def shorter(command: Command) -> str:
        return honest(Command(script=command.script, env=command.env, stdin=b"", timeout=command.timeout))

    patch.setattr(claim_text, "program", shorter)


@pytest.mark.parametrize(
    ("sabotage", "place", "promise"),
    [
        (quote_with_apostrophes_alone, "env", injection.DONE),
        (take_any_name_of_a_user, "as, looking", injection.CHANGED),
        (lose_the_last_line_end, "stdin", injection.CHANGED),
    ],
)
def test_a_build_that_pastes_values_is_noticed(
    monkeypatch: pytest.MonkeyPatch, sabotage: Callable[[Patch], None], place: str, promise: str
) -> None:
    everything = injection._space()

    def chosen(case: injection.Case) -> bool:
        return (
            case.place == place and "'" in case.value and len(case.value) > 1
        )  # a text that never ends takes its limit

    monkeypatch.setattr(injection, "_space", lambda: [case for case in everything if chosen(case)])
    sabotage(monkeypatch)
    figures = injection.run(100, random.Random(1))
    assert figures.numbers[promise], figures.text()
