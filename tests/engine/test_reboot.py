"""A restart of a machine as a step: done once whatever dies in between, and honest when the machine stays away."""

from __future__ import annotations

import pytest

from drctl.core.ports import Command, Reach, Reply
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book
from tests.fakes.hosts import said

STEP = "{id: boot, on: db1, do: host.reboot, timeout: 60s}"
SILENT = Reply(reach=Reach.UNREACHABLE, because="silent: no answer from db1")


class Machine:
    """A host that restarts when ordered, and is away for some looks."""

    def __init__(self, away: int = 3, *, comes_back: bool = True, restarts: bool = True) -> None:
        self.rig = Rig(book(STEP))
        self.host = self.rig.host("db1")
        self.away = away
        self.comes_back = comes_back
        self.restarts = restarts
        self.left = 0
        self.dies_at: int | None = None
        self.host.on("read -r boot", self.look).on("setsid sh -c", self.order)

    def order(self, _: Command) -> Reply:
        boot = self.host.boot
        if self.restarts:
            self.host.restart()
            self.left = self.away
        return said(f"boot {boot}\n")

    def look(self, _: Command) -> Reply:
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at < 0:
                self.dies_at = None
                raise Crash
        if self.left > 0:
            self.left -= self.comes_back
            return SILENT
        return said(f"boot {self.host.boot}\n")

    def end(self) -> dict[str, object]:
        return self.rig.said("step_finished", path="main/boot")[-1]


def test_another_boot_id_ends_the_step() -> None:
    machine = Machine()
    assert machine.rig.run() is Exit.DONE
    outputs = machine.end()["outputs"]
    assert isinstance(outputs, dict)
    assert (outputs["boot_before"], outputs["boot_id"], outputs["back"]) == ("boot-1", "boot-2", True)
    assert machine.host.count("setsid") == 1


def test_a_machine_that_stays_away_is_a_failure_that_says_so() -> None:
    machine = Machine(comes_back=False)
    began = machine.rig.clock.monotonic().micros
    assert machine.rig.run() is Exit.STEP_FAILED
    assert machine.end()["outcome"] == "failed"
    because = str(machine.end()["because"])
    assert "the machine did not come back: silent: no answer from db1" in because
    assert "console" in because
    assert machine.rig.clock.monotonic().micros - began < 90_000_000  # no longer than its limit


def test_a_machine_that_did_not_restart_is_no_success() -> None:
    machine = Machine(restarts=False)
    assert machine.rig.run() is Exit.STEP_FAILED
    assert machine.host.boot == "boot-1"
    assert machine.end()["outcome"] == "failed"
    assert "boot_id is boot-1, boot_before is boot-1" in str(machine.end()["because"])


@pytest.mark.parametrize("looks", range(5))
def test_killed_while_it_waits_the_run_goes_on_and_restarts_nothing_twice(looks: int) -> None:
    machine = Machine(away=4)
    machine.dies_at = looks
    with pytest.raises(Crash):
        machine.rig.run()
    assert machine.rig.resume() is Exit.DONE
    assert machine.host.count("setsid") == 1
    assert machine.host.boot == "boot-2"


def test_killed_at_any_record_it_restarts_once() -> None:
    whole = Machine()
    whole.rig.run()
    for at in range(len(whole.rig.lines)):
        for after in (False, True):
            machine = Machine()
            machine.rig.crash_at(at, after=after)
            with pytest.raises(Crash):
                machine.rig.run()
            if machine.rig.state.opened is None and not machine.rig.lines:
                continue
            assert machine.rig.resume() is Exit.DONE
            assert machine.host.count("setsid") == 1, (at, after)


def test_a_link_lost_before_the_order_answered_is_settled_by_the_boot_id() -> None:
    """The machine went down faster than the answer came: the record of the boot before decides."""
    machine = Machine()
    machine.host.lose_link("after")
    assert machine.rig.run() is Exit.IN_DOUBT
    assert machine.rig.resume() is Exit.DONE
    assert machine.host.count("setsid") == 1


def test_killed_with_its_claim_it_is_found_done_by_the_boot_id() -> None:
    """The claim was lost with the machine: only the boot id in the record tells that it restarted."""
    machine = Machine(away=0)
    machine.host.lose_link("during")
    machine.rig.run()
    machine.host.restart()
    assert machine.rig.resume() is Exit.DONE
    assert machine.end()["found"] is True
    assert "boot-1 ended" in str(machine.end()["because"])
