"""Commands by hand on hosts: fences, claims, and what a crash leaves behind."""

from __future__ import annotations

import pytest

from drctl.core.values import Duration
from drctl.engine.byhand import ByHand, Order, chosen
from drctl.engine.recorder import Recorder
from drctl.errors import Exit, RefusedError, UsageError
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book

OPEN = book("{id: act, on: db1, run: do-it, effect: idempotent}")


def opened() -> Rig:
    """A run that is open with a failed step."""
    rig = Rig(OPEN)
    rig.host("db1").on("do-it", 1)
    rig.host("db2")
    assert rig.run() is Exit.STEP_FAILED
    rig._again()
    return rig


def order(*hosts: str, argv: tuple[str, ...] = ("mend", "it"), user: str = "") -> Order:
    return Order(argv=argv, hosts=hosts, by="li", reason="unblock", timeout=Duration(30_000_000), user=user)


def hand(rig: Rig) -> ByHand:
    context = rig.context()
    recorder = Recorder(rig.journal, rig.state, actor="li")
    return ByHand(context, recorder, rig.world, rig.control)


def test_each_host_has_its_own_end_and_the_claim_is_the_runs() -> None:
    rig = opened()
    rig.host("db1").on('"$@"', 0)
    rig.host("db2").on('"$@"', 4)
    first, second = hand(rig).carry_out(order("db1", "db2", user="postgres"))
    assert (first.host, first.outcome, second.host, second.outcome) == ("db1", "ok", "db2", "failed")
    assert rig.said("deviation_noted")[-1]["what"] == "by hand on db1, db2: mend it (as postgres)"
    owner = rig.host("db2").owner
    assert owner is not None
    assert owner.run == rig.host("db1").owner.run  # type: ignore[union-attr] # the step of the run owns it
    again = hand(rig).carry_out(order("db1"))
    assert again[0].path == "exec/2/@db1"


def test_a_fenced_host_is_refused_before_anything_is_done_anywhere() -> None:
    rig = opened()
    rig.state.fenced["db2"] = "main/fence"
    before = len(rig.lines)
    with pytest.raises(RefusedError, match="db2: fenced"):
        hand(rig).carry_out(order("db1", "db2"))
    assert len(rig.lines) == before
    assert rig.host("db1").count('"$@"') == 0


def test_after_a_crash_the_same_command_asks_for_its_end_and_does_nothing_twice() -> None:
    rig = opened()
    rig.host("db1").on('"$@"', 0)
    rig.crash_at(len(rig.lines) + 2)  # the deviation and the intent are written, the outcome is not
    with pytest.raises(Crash):
        hand(rig).carry_out(order("db1"))
    rig._again()
    assert rig.host("db1").count('"$@"') == 1
    (end,) = hand(rig).carry_out(order("db1"))
    assert (end.path, end.outcome) == ("exec/1/@db1", "ok")
    assert rig.host("db1").count('"$@"') == 1
    (other,) = hand(rig).carry_out(order("db1", argv=("mend", "more")))
    assert other.path == "exec/2/@db1"


def test_a_selector_names_hosts_roles_and_groups() -> None:
    inventory = opened().context().inventory
    names = tuple(inventory.hosts)
    assert chosen("db2, db1,db2", inventory) == ("db2", "db1")
    assert chosen("local", inventory) == ("local",)
    assert set(names) >= {"db1", "db2"}
    with pytest.raises(UsageError, match="no host, role or group"):
        chosen("db1,nowhere", inventory)
