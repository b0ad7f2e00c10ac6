"""On a system that needs no recovery nothing is changed: not by a plan, not by a run whose criteria do not hold."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e import evidence, unchanged
from tests.e2e.commands import RUNBOOK, Commands, People, run_id
from tests.lab.running import RunningLab, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture
def still(lab: RunningLab) -> Iterator[RunningLab]:
    """The shared lab while its users stand still, and all they did has reached the standby."""
    wait_until("invoices are issued", lambda: lab.traffic("/status", "GET")["acknowledged"] >= 20)
    lab.traffic("/pause")
    lag = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '{}'::pg_lsn"
    at = evidence.sql(lab, "inv-a", "SELECT pg_current_wal_lsn()")
    wait_until("the standby follows", lambda: evidence.sql(lab, "inv-a", lag.format(at)) == "1")
    yield lab
    lab.traffic("/resume")


@pytest.mark.parametrize("words", [["plan", RUNBOOK], ["run", RUNBOOK, "--dry-run"]], ids=["plan", "dry-run"])
def test_a_plan_changes_nothing_anywhere(still: RunningLab, commands: Commands, words: list[str]) -> None:
    before = unchanged.world(still)
    done = commands.run(*words, "--inventory", still.info.inventory, "-i", "reporter=a test")
    assert unchanged.world(still) == before
    assert commands.states.list() == []
    assert done.code == 4, str(done)
    assert "AS THINGS ARE, THE RUN WOULD STOP at activate/activation" in done.out
    assert "Nothing was changed anywhere." in done.out


def test_a_plan_for_machines_shows_target_effect_and_text_of_every_step(still: RunningLab, commands: Commands) -> None:
    done = commands.run("--output", "json", "plan", RUNBOOK, "--inventory", still.info.inventory, "-i", "reporter=x")
    rows = {row["path"]: row for row in json.loads(done.out)["rows"]}
    looked = [row for row in rows.values() if row["status"] in {"looked", "now"}]
    assert len(looked) >= 10
    assert all(row["text"] and row["effect"] == "read" for row in looked)
    assert {row["path"]: row["place"] for row in looked if row["place"] != "local"} == {
        "diagnose/probes/machine": "inv-a",
        "diagnose/probes/standby_db": "inv-b",
        "diagnose/db": "inv-a",
        "diagnose/log": "inv-a",
        "diagnose/heartbeat": "inv-b",
    }
    assert (rows["activate/tell"]["effect"], rows["verify/functions/create"]["effect"]) == ("once", "idempotent")
    assert "idempotency-key" in rows["verify/functions/create"]["text"]
    still_to_tell = [row for row in rows.values() if row["status"] in {"depends", "cannot tell"}]
    assert all(row["text"] or row["kind"] in {"phase", "steps"} for row in still_to_tell)


def test_a_run_without_cause_stops_before_any_change_and_goes_on_by_a_persons_word(
    still: RunningLab, commands: Commands
) -> None:
    before = unchanged.world(still)
    words = ("run", RUNBOOK, "--inventory", still.info.inventory, "--no-live", "-i", "reporter=a test")
    done = commands.run(*words)
    assert done.code == 7, str(done)
    assert "activate/activation" in done.out
    assert "nothing so far" in done.out
    assert unchanged.world(still) == before
    run = run_id(done)
    assert commands.fold(run).intents == 0

    commands.run("done", run, "activation")  # a word without a reason is no word
    again = commands.run("resume", run, "--no-live")
    state = commands.fold(run)
    assert (again.code, state.intents, state.deviations) == (7, 0, []), str(again)

    said = commands.run("done", run, "activation", "--reason", "an exercise, announced to the users")
    assert said.code == 0, str(said)
    with People(commands), commands.resume(run) as started:
        ended = started.wait()
    state = commands.fold(run)
    assert ended.code == 11, str(ended)
    assert state.closed is not None
    assert [(noted.path, noted.because) for _, noted in state.deviations] == [
        ("activate/activation", "an exercise, announced to the users")
    ]
    new = [message for message in evidence.messages(still) if message not in before["messages"]]
    assert sorted(str(message["subject"]) for message in new) == ["Invoices are back", "Invoices sev2: none"]
    assert unchanged.tables(still, "inv-a").keys() == before["tables"]["inv-a"].keys()
    assert evidence.power(still) == before["power"]
    assert evidence.owners(still) == {}
