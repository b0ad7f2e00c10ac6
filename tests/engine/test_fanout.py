"""Units in, outcomes out: in their order, so many at once and no more, all over before anything is raised."""

import threading

import pytest

from drctl.engine.fanout import fan_out


def test_results_stand_in_the_order_of_the_units_whichever_is_over_first() -> None:
    second = threading.Event()

    def carry(unit: int) -> int:
        if unit == 1:
            second.set()
        else:
            assert second.wait(30)
        return unit * 10

    assert fan_out([0, 1, 2], carry, 3) == [0, 10, 20]
    assert fan_out([], carry, 3) == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_run_together_and_no_more(at_once: int) -> None:
    full, counting, running, most = threading.Barrier(at_once), threading.Lock(), [0], [0]

    def carry(_: int) -> None:
        with counting:
            running[0] += 1
            most[0] = max(most[0], running[0])
        full.wait(30)  # passed only by so many together
        with counting:
            running[0] -= 1

    fan_out(range(at_once * 4), carry, at_once)
    assert most[0] == at_once


@pytest.mark.parametrize("at_once", [1, 2])
def test_all_units_are_over_before_the_first_of_what_they_raised_is_raised(at_once: int) -> None:
    over: list[int] = []

    def carry(unit: int) -> None:
        over.append(unit)
        if unit in (1, 3):
            raise RuntimeError(str(unit))

    with pytest.raises(RuntimeError, match="1"):
        fan_out(range(5), carry, at_once)
    assert sorted(over) == [0, 1, 2, 3, 4]


def test_a_unit_with_nothing_beside_it_starts_no_thread() -> None:
    assert fan_out(["only"], lambda _: threading.current_thread(), 8) == [threading.current_thread()]
