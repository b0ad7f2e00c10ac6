"""Every campaign's subset for the suite, and the box around it."""

import os
import random
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.campaign import lab_kills, predictions, ways_back
from tests.campaign.registry import Campaign, Figures, box, box_closed, campaigns, cases, run_boxed

KNOWN = campaigns()
IN_A_LAB = (lab_kills.NAME, predictions.NAME, ways_back.NAME)


def boxed(name: str) -> object:
    """A campaign's test, with a limit that leaves its box room to close."""
    limit = pytest.mark.timeout(KNOWN[name].seconds + (300 if name in IN_A_LAB else 120))
    return pytest.param(name, marks=[limit, pytest.mark.lab] if name in IN_A_LAB else [limit])


@pytest.mark.parametrize("name", [boxed(name) for name in KNOWN])
def test_the_promises_hold(name: str) -> None:
    seed = int(os.environ.get("DRCTL_TEST_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    run_boxed(KNOWN[name], seed)


@pytest.mark.parametrize("name", KNOWN)
def test_a_campaign_declares_what_it_counts(name: str) -> None:
    campaign = KNOWN[name]
    assert campaign.rows
    assert all(row[0] == "R" and 1 <= int(row[1:]) <= 23 for row in campaign.rows)
    assert 0 < campaign.ci_count <= campaign.count


def made(run: object) -> Campaign:
    return Campaign(name="x", rows=("R1",), count=100, ci_count=50, run=run, says="")  # type: ignore[arg-type]


def test_a_broken_promise_fails_and_says_how_to_see_it_again() -> None:
    def run(count: int, rng: random.Random) -> Figures:
        figures = Figures()
        for case in cases(range(1000), count, rng, figures):
            figures.check(case % 40 != 0 and case >= 0, "undetected", f"case {case}")
        figures.check(False, "undetected", "always")  # noqa: FBT003 - see there
        return figures

    with pytest.raises(AssertionError, match=r"tests\.campaign x --count 50 --seed 5"):
        run_boxed(made(run), 5)


def test_too_few_cases_in_the_box_fail() -> None:
    def run(count: int, rng: random.Random) -> Figures:
        figures = Figures()
        list(cases(range(1000), count, rng, figures))
        return figures

    assert run_boxed(made(run), 5).tried == 50
    with pytest.raises(AssertionError, match="at least 5 cases"):
        run_boxed(made(run), 5, seconds=-1)


def test_a_box_ends_with_its_block() -> None:
    figures = Figures()
    with box(-1):
        assert list(cases(range(9), 9, random.Random(1), figures)) == []
    assert sorted(cases(range(9), 99, random.Random(1), figures)) == list(range(9))


def test_a_box_holds_the_threads_of_a_campaign_too() -> None:
    with box(-1), ThreadPoolExecutor(1) as pool:
        assert pool.submit(box_closed).result()
