"""An act that waits is not ended before it has waited: not by its default limit, and a stated one is refused."""

from __future__ import annotations

import pytest

from drctl.core.values import Duration
from drctl.engine.planner import Options, Planner
from drctl.engine.units import limit_of
from drctl.kinds import registry
from drctl.kinds.postgres_start import PostgresStart
from drctl.loading import load_runbook
from tests.engine.rig import Rig, inventory
from tests.engine.test_acts import book

START = "{id: start, on: db1, do: postgres.start, with: {data: /srv/db, wait: WAIT}MORE}"


@pytest.mark.parametrize(
    ("wait", "more", "limit"),
    [("1m", "", "10m"), ("30m", "", "31m"), ("9m30s", "", "10m30s"), ("1m", ", timeout: 90s", "1m30s")],
)
def test_the_limit_is_longer_than_what_the_act_waits_in_a_plan_and_in_a_run(wait: str, more: str, limit: str) -> None:
    rig = Rig(book(START.replace("WAIT", wait).replace("MORE", more)))
    (row,) = Planner(rig.context(), rig.world, Options()).plan("digest").steps
    assert row.timeout == Duration.parse(limit)
    (step,) = rig.runbook.steps()
    assert limit_of(step, PostgresStart(data="/srv/db", wait=Duration.parse(wait))) == Duration.parse(limit)


def test_a_stated_limit_that_ends_it_while_it_waits_is_refused() -> None:
    text = book(START.replace("WAIT", "5m").replace("MORE", ", timeout: 2m"))
    loaded = load_runbook("x.yaml", lambda _: text.encode(), registry(), inventory("db1"))
    (problem,) = loaded.diagnostics
    assert (problem.code, problem.where.column) == ("E210", 83)
    assert "before its wait of 5m" in problem.summary
