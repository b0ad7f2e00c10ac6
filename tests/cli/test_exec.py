"""`drctl exec`: by hand, and still under the run's claims and in its record."""

import contextlib
import json
import signal
from pathlib import Path

from tests.cli.conftest import Drctl, book, step, until


def records(drctl: Drctl, id_: str, type_: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in drctl.journal(id_).read_text().splitlines()]
    return [line["body"] for line in lines if line["type"] == type_]


def test_a_command_by_hand_stands_in_the_record_and_the_run_waits_as_before(drctl: Drctl, failed: str) -> None:
    said = drctl("exec", failed, "--on", "local", "--reason", "unblock", "--", "touch", f"{drctl.folder}/mended")
    assert said.code == 0, said
    assert (drctl.folder / "mended").exists()
    (noted,) = records(drctl, failed, "deviation_noted")
    assert noted["because"] == "unblock"
    assert "by hand on local: touch" in str(noted["what"])
    assert [one["path"] for one in records(drctl, failed, "step_started")][-1] == "exec/1/@local"
    assert "mended" in drctl("show", failed).out  # it still waits for the same
    assert drctl("audit", "verify", failed).code in (0, 23, 24)
    assert drctl("retry", failed, "mended").code == 0
    assert drctl("resume", failed).code == 11  # done, with an exception
    assert records(drctl, failed, "run_closed")[0]["exceptions"]
    report = drctl("report", failed, "--format", "json")
    assert report.code == 0, report


def test_output_and_failure_come_back_for_each_host(drctl: Drctl, waiting: str) -> None:
    line = ["--on", "local", "--reason", "look", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]
    said = drctl("--output", "json", "exec", waiting, *line)
    assert said.code == 7, said
    (row,) = said.json["hosts"]
    assert (row["host"], row["outcome"], row["exit"], row["stdout"], row["stderr"]) == (
        "local",
        "failed",
        3,
        "out",
        "err",
    )
    again = drctl("exec", waiting, *line)
    assert again.code == 7
    assert again.out == "out\n"
    assert [one["path"] for one in records(drctl, waiting, "step_started")][-1] == "exec/2/@local"
    assert drctl("resume", waiting).code == 6  # the request for approval still waits


def test_a_long_output_is_shown_whole_and_what_cannot_be_is_said(drctl: Drctl, waiting: str) -> None:
    """Values over 4 KiB are kept beside the record: they were not fetched, and the output looked empty."""
    long = drctl("exec", waiting, "--on", "local", "--reason", "x", "--", "seq", "1", "30000")
    assert long.code == 0, long
    assert long.out.split() == [str(number) for number in range(1, 30001)]
    as_json = drctl("--output", "json", "exec", waiting, "--on", "local", "--reason", "x", "--", "seq", "1", "30000")
    assert as_json.json["hosts"][0]["stdout"].endswith("\n29999\n30000")
    for line in ("head -c 2000000 /dev/zero", "printf 'a\\377b'"):
        cut = drctl("exec", waiting, "--on", "local", "--reason", "x", "--", "sh", "-c", line)
        assert (cut.code, cut.out) == (0, ""), cut
        assert "local: stdout is not shown: " in cut.err
        assert f"drctl report {waiting}" in cut.err


def test_a_command_over_its_limit_is_ended(drctl: Drctl, waiting: str) -> None:
    said = drctl("exec", waiting, "--on", "local", "--reason", "x", "--timeout", "1s", "--", "sleep", "600")
    assert said.code == 10, said
    assert "local: " in said.err
    assert "next: say the same command again" in said.err


def test_a_second_ctrl_c_ends_what_runs_there(drctl: Drctl, waiting: str) -> None:
    begun = drctl.folder / "begun"
    line = f"trap 'exit 1' TERM; echo $$ >{begun}; while :; do sleep 0.1; done"
    with drctl.process("exec", waiting, "--on", "local", "--reason", "x", "--", "sh", "-c", line) as process:
        until(lambda: begun.exists() and bool(begun.read_text().strip()))
        state = Path(f"/proc/{begun.read_text().strip()}/stat")
        assert state.exists()
        for said in ("Stopping", "Ending"):
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert said in process.stderr.readline()
        assert process.wait(60) in (7, 10)
        with contextlib.suppress(FileNotFoundError):  # one that nobody has buried is dead too
            assert state.read_text().rpartition(") ")[2][0] in "ZX"


def test_what_cannot_be_done_is_refused_and_leaves_no_trace(drctl: Drctl, waiting: str) -> None:
    before = drctl.journal(waiting).read_text()
    reason = ["--reason", "x"]
    for args, code in (
        ([waiting, "--on", "local", "--reason", " ", "--", "true"], 2),
        ([waiting, "--on", "local", *reason, "--user", "-x", "--", "true"], 2),
        ([waiting, "--on", "local", *reason, "--timeout", "soon", "--", "true"], 2),
        ([waiting, "--on", "local", *reason, "--timeout", "0s", "--", "true"], 2),
        ([waiting, "--on", "local", *reason], 2),
    ):
        said = drctl("exec", *args)
        assert said.code == code, (args, said)
    assert drctl.journal(waiting).read_text() == before
    said = drctl("exec", waiting, "--on", "nowhere", *reason, "--", "true")
    assert (said.code, "local" in said.err) == (2, True)
    assert records(drctl, waiting, "deviation_noted") == []
    assert drctl("resume", waiting).code == 6


def test_a_closed_run_takes_no_more_acts(drctl: Drctl, done: str) -> None:
    before = drctl.journal(done).read_text()
    said = drctl("exec", done, "--on", "local", "--reason", "x", "--", "touch", f"{drctl.folder}/by-hand")
    assert (said.code, "is closed" in said.err) == (2, True)
    assert not (drctl.folder / "by-hand").exists()
    assert drctl.journal(done).read_text() == before


def test_while_a_process_carries_the_run_out_it_is_refused(drctl: Drctl) -> None:
    """Only the writer appends; and two hands on one host at once are how an incident gets worse."""
    slow = f"touch {drctl.folder}/began; until [ -e {drctl.folder}/go ]; do sleep 0.05; done"
    text = drctl.write("slow.yaml", book(step("slow", slow)))
    with drctl.process("run", text, "--no-live") as process:
        until((drctl.folder / "began").exists)
        (id_,) = drctl.ids()
        said = drctl("exec", id_, "--on", "local", "--reason", "x", "--", "touch", f"{drctl.folder}/by-hand")
        assert (said.code, "drctl resume" in said.err) == (12, True)
        assert not (drctl.folder / "by-hand").exists()
        (drctl.folder / "go").touch()
        assert process.wait(60) == 0
