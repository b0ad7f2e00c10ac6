"""`--limit` and `--fan-out`: what a bounded run touches, what it says it left out, and how many hosts it turns to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from drctl.cli.takeovers import wanted_hosts
from drctl.core.bounds import Bounds
from drctl.core.frozen import Frozen, thaw
from drctl.core.nouns import replace
from drctl.engine.closing import exceptions
from drctl.errors import Exit
from tests.engine import rig as rig_module
from tests.engine.rig import Rig
from tests.engine.rounds import WEB, act, effects, rolling, table
from tests.engine.test_acts import book
from tests.engine.test_byhand import hand, opened, order
from tests.engine.test_planner import planned, statuses
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.inventory import Inventory
    from drctl.core.ports import Command


def within(rig: Rig, *hosts: str) -> Rig:
    rig.bounds = Bounds(limit=hosts)
    return rig


def test_a_selection_is_narrowed_and_the_end_says_that_the_others_were_left_out() -> None:
    rig = within(table(), "w2", "w4")
    assert rig.run() is Exit.EXCEPTIONS
    assert sorted(effects(rig)) == ["w2", "w4"]
    assert rig.said("run_closed")[0]["exceptions"] == [
        "run under --limit w2,w4: on no other host anything was done"
    ]  # fmt: skip


def test_batches_are_made_of_what_is_left() -> None:
    rig = within(rolling(), "w1", "w3", "w4")
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.said("block_started", form="rolling")[0]["frozen"]["batches"] == [["w1", "w3"], ["w4"]]


@pytest.mark.parametrize("make", [table, rolling])
def test_canaries_of_a_group_are_narrowed_too(make: Callable[[str], Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = rig_module.inventory

    def grouped(*hosts: str, **more: Any) -> Inventory:  # noqa: ANN401 - what `inventory` takes
        made = plain(*hosts, **more)
        first = {name: replace(made.hosts[name], groups=(*made.hosts[name].groups, "first")) for name in ("w1", "w2")}
        return replace(made, hosts={**made.hosts, **first})

    monkeypatch.setattr(rig_module, "inventory", grouped)
    rig = within(make("{group: web, canaries: first}"), "w2", "w3")
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.said("block_started")[1]["frozen"]["batches"] == [["w2"], ["w3"]]
    assert sorted(effects(rig)) == ["w2", "w3"]


def test_what_people_did_by_hand_outside_the_limit_stands_in_the_end() -> None:
    rig = within(opened(), "db1")
    rig.host("db2").on('"$@"', 0)
    hand(rig).carry_out(order("db2"))
    state = rig.state
    assert state.opened is not None
    state.opened = replace(state.opened, limit=("db1",))
    assert "run under --limit db1: on no other host anything was done, but for what was done by hand on db2" in (
        exceptions(state)
    )


def test_a_look_at_a_selection_is_narrowed_too() -> None:
    rig = within(Rig(book("{id: look, on: web, run: list, effect: read}"), hosts=("db1", *WEB)), "w3")
    rig.host("w3").on("list", said("x"))  # the others would fail: they know no such command
    assert rig.run() is Exit.EXCEPTIONS


def test_a_step_all_of_whose_hosts_are_left_out_is_skipped_and_an_empty_selection_fails() -> None:
    assert statuses(planned(within(table(), "db1")), "it") == ["would skip"]
    rig = within(table(), "db1")
    assert rig.run() is Exit.EXCEPTIONS
    (end,) = rig.said("block_finished", path="main/it")
    assert (end["outcome"], end["because"]) == ("skipped", "--limit leaves out every host of it")
    assert "hosts" not in rig.said("preflight_finished", phase="*")[0], "nobody asks hosts that are left out"
    rig = within(table("{group: web, where: 1 == 2}"), "w1")
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("it") == "empty"


@pytest.mark.parametrize("on", ["db2", "db-standby", "\"${{ 'db2' }}\"", "{site: d, except: \"'db1'\", take: 1}"])
def test_an_act_on_one_host_that_is_left_out_is_refused_before_it_begins(on: str) -> None:
    rig = within(Rig(book("{" + act("it", f", on: {on}") + "}"), hosts=("db1", "db2")), "db1")
    rig.host("db2").on("do-it", 0).on("is-it", 1)
    assert statuses(planned(rig), "it") == ["would stop"]
    assert rig.run() is Exit.STEP_FAILED
    assert rig.host("db2").effects == []
    assert "db2 is left out by --limit db1" in rig.question()["text"]


def test_a_look_at_one_host_that_is_left_out_is_taken() -> None:
    rig = within(Rig(book("{id: look, on: db2, run: list, effect: read}"), hosts=("db1", "db2")), "db1")
    rig.host("db2").on("list", said("x"))
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.outcome("look") == "ok"


def test_a_host_that_is_left_out_is_not_taken_from_the_run_that_holds_it() -> None:
    look = "{id: look, on: db2, run: list, effect: read}"
    rig = within(Rig(book(look, "{" + act("it", ", on: db1") + "}"), hosts=("db1", "db2")), "db1")
    assert wanted_hosts(rig.context()) == {"db1"}


def test_so_many_hosts_at_a_time_and_no_more() -> None:
    rig, lock, now, most = table(), threading.Lock(), 0, 0
    full = threading.Barrier(2)

    def working(host: str) -> Callable[[Command], int]:
        def work(_: Command) -> int:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            full.wait(30)  # two are here together, or this times out
            with lock:
                now -= 1
            rig.host(host).on("is-it", 0)
            return 0

        return work

    for host in WEB:
        rig.host(host).on("do-it", working(host))
    rig.bounds = Bounds(fan_out=2)
    assert rig.run() is Exit.DONE
    assert most == 2


def test_bounds_are_frozen_with_the_run_and_change_nothing_of_a_run_without() -> None:
    bare = Frozen(runbook_file="a", files={}, inventory_file="b", inventory_files={})
    assert "bounds" not in bare.text()
    bounded = Frozen(
        runbook_file="a", files={}, inventory_file="b", inventory_files={}, bounds=Bounds(limit=("w1",), fan_out=7)
    )
    assert thaw(bounded.text()).bounds == bounded.bounds
    assert thaw(bare.text()).bounds == Bounds()
    assert bounded.digest != bare.digest
