"""What a rollback leaves is said, with step, host and reason; what is as before is not said to be left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.errors import Exit
from drctl.reporting.report_left import left_over
from drctl.reporting.summary import summary_text
from tests.engine.rig import Rig
from tests.engine.test_acts import book
from tests.engine.test_examples import named
from tests.engine.test_fence import fencing, without_promote
from tests.engine.test_ways_back import FAIL, going_back, step
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from drctl.core.ports import Command, Reply

STAYS = "{id: a, title: Copy it, on: db1, run: do-a, effect: idempotent, undo: {none: a copy beside}}"
TOLD = "{id: told, title: Tell them, do: notify, with: {to: [oncall], text: Begun.}}"


def left(rig: Rig) -> list[str]:
    """The lines of the report, without that of the step that was made to fail."""
    return [row.text for row in left_over(rig.state) if not row.path.endswith("/fails")]


def test_what_has_no_undo_is_named_with_its_host_what_it_did_and_why() -> None:
    rig = going_back(STAYS, TOLD, step("b", "db2"))
    assert rig.run() is Exit.ROLLED_BACK
    assert left(rig) == [
        "main/told: not undone: Tell them (a message cannot be called back)",
        "main/a on db1: not undone: Copy it (a copy beside)",
    ]
    assert rig.state.closed is not None
    assert "main/a on db1: not undone (a copy beside)" in rig.state.closed.exceptions


def test_what_a_failed_step_without_undo_did_is_said_to_be_unknown() -> None:
    rig = going_back()
    assert rig.run() is Exit.ROLLED_BACK
    assert [row.text for row in left_over(rig.state)] == [
        "main/fails on db2: not undone (it does nothing; it did not end well, and what it did is not known)"
    ]


@pytest.mark.parametrize("seen", [0, 1, 9])
def test_a_failed_step_without_undo_is_not_named_when_a_look_finds_nothing_of_it(seen: int) -> None:
    rig = going_back(fails=FAIL.replace("undo:", "verify: {run: is-there}, undo:"))
    rig.host("db2").on("is-there", seen)
    rig.run()
    assert [row.sure for row in left_over(rig.state)] == {0: [True], 1: [], 9: [False]}[seen]


def test_what_ended_well_is_named_though_a_look_does_not_find_it_where_it_was() -> None:
    rig = going_back(STAYS.replace("undo:", "verify: {run: is-there}, undo:"))
    rig.host("db1").on("is-there", lambda _: 1 if rig.said("step_finished", path="main/a") else 0)
    rig.run()
    seen = "main/a/verify/0: not true: exit == 0 (exit is 1)"
    assert left(rig) == [f"main/a on db1: not undone: Copy it (a copy beside; a look says: {seen})"]


def test_what_lies_before_the_point_of_no_return_is_named_and_so_is_that_point() -> None:
    rig = going_back(step("a", "db1"), TOLD, step("b", "db2", ", point_of_no_return: true"), step("c", "db1"))
    rig.host("db1").on("re-", 1)
    assert rig.run() is Exit.ROLLED_BACK
    assert [line for line in left(rig) if "undone" in line] == [
        "main/told: not undone: Tell them (before main/b, the point of no return)",
        "main/a on db1: not undone (before main/b, the point of no return)",
    ], "what its restore put back, as that of b, is not left"


def test_what_a_rollback_that_people_ended_did_not_come_to_is_named() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"))
    for name in ("db1", "db2"):
        rig.host(name).on("re-", 1)
    rig.host("db2").on("un-b", 1)
    rig.run()
    rig.answer("abort", step="main/b/undo", reason="enough")
    assert rig.resume() is Exit.ROLLBACK_FAILED
    assert any(line.startswith("main/a on db1: not undone (the rollback was ended") for line in left(rig))
    assert len([line for line in left(rig) if "main/b on db2: not undone" in line and "exit == 0" in line]) == 1
    assert len([line for line in left(rig) if "not undone" in line]) == 2, "each once"


def test_what_its_restore_puts_back_is_not_left() -> None:
    rig = going_back(STAYS.replace("undo:", "restore: {run: re-a}, undo:"))
    assert rig.run() is Exit.ROLLED_BACK
    assert left(rig) == []


def test_a_fence_is_not_undone_and_half_of_the_rollback_is_missing() -> None:
    text = without_promote().replace("restore: {run: put-back}", "undo: {none: a test}")
    text += "      - {id: no, do: check, expect: 1 == 2, on_failure: rollback}\n"
    rig = fencing(text)
    assert rig.run() is Exit.ROLLBACK_FAILED
    assert "main/fence: db1 stays fenced" in rig.said("run_closed")[0]["because"]
    assert left(rig) == [
        "main/mark on db1: not undone (a test)",
        "main/fence on db1: not undone (db1 stays fenced until people lift it, with fence.lift)",
    ]
    assert rig.host("db1").owner is None, "who rebuilds it does not find it held"


def test_a_proven_fence_is_not_undone_by_the_inverse_of_its_methods_and_one_that_is_not_proven_is() -> None:
    for proven in (True, False):
        text = without_promote().replace("{run: stop-it}", "{do: service, on: db2, with: {name: x, state: stopped}}")
        text = text.replace("        restore: {run: put-back}\n", "")
        text = text.replace("        marks: fenced\n", "        on_failure: rollback\n")
        text += "      - {id: no, do: check, expect: 1 == 2, on_failure: rollback}\n"
        rig = fencing(text)
        if not proven:
            rig.host("local").on("power-off", 0)
        active = ["active"]

        def unit(command: Command, active: list[str] = active) -> Reply:
            if "VERB" in command.env:
                active[0] = "inactive" if named(command, "VERB") == "stop" else "active"
            return said(f"active {active[0]}\nenabled enabled\n")

        rig.host("db2").on("systemctl", unit)
        assert rig.run() is (Exit.ROLLBACK_FAILED if proven else Exit.ROLLED_BACK)
        assert active == ["inactive" if proven else "active"]
        methods = [line for line in left(rig) if "/methods/" in line]
        wanted = [] if proven else ["a fence is not undone: people say when db1 may write again"]
        assert [line.partition("(")[2].rstrip(")") for line in methods] == wanted


def test_an_act_that_stopped_half_way_is_taken_back_by_its_inverse() -> None:
    rig = Rig(
        book("{id: off, on: db1, do: service, with: {name: x, state: stopped, enabled: false}, on_failure: rollback}")
    )
    active = ["active"]

    def unit(command: Command) -> Reply:
        if "VERB" not in command.env:
            return said(f"active {active[0]}\nenabled enabled\n")
        active[0] = "inactive" if named(command, "VERB") == "stop" else "active"
        broken = active[0] == "inactive"  # it is stopped, and then cannot be disabled
        return said(f"active {active[0]}\nenabled enabled\n", int(broken))

    rig.host("db1").on("systemctl", unit)
    assert rig.run() is Exit.ROLLED_BACK
    assert active == ["active"], "neither as it should be nor as it was: the look alone would leave it stopped"
    assert left(rig) == []


def test_the_last_screen_says_what_was_undone_and_not_that_it_is_changed() -> None:
    rig = going_back(step("a", "db1"), STAYS.replace("id: a,", "id: kept,").replace("do-a", "do-kept"))
    assert rig.run() is Exit.ROLLED_BACK
    lines = {
        line.split()[0]: line.split(maxsplit=1)[1]
        for line in summary_text("7K2QX", rig.state, []).splitlines()
        if line.strip()
    }
    assert (lines["Changed"], lines["Undone"]) == ("kept on db1", "a on db1")
