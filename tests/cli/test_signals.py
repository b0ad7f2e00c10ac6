"""Real signals to a real process, wherever it stands: it stops, stays open, says what to type, and loses nothing."""

import signal
from pathlib import Path

import pytest

from drctl.errors import Exit
from tests.cli.conftest import SECONDS, Drctl, book, step, until

HERE = "here"
"""A file that is there once the run stands where the signal is to meet it."""


def held(folder: Path, name: str) -> str:
    """A script that says that it began, and goes on when it is let."""
    return f"cd {folder}; : > {HERE}; while [ ! -e go ]; do sleep 0.05; done; echo {name} >> ledger"


def undone_by(script: str, key: str = "undo") -> str:
    more = f", undo: {{run: '{script}'}}" if key == "undo" else f", undo: {{none: x}}, restore: {{run: '{script}'}}"
    return step("act", "true").replace(", undo: {none: a test}", more)


def places(folder: Path) -> dict[str, str]:
    """Runbooks that stand at one place for long."""
    touch = f": > {folder}/{HERE}"
    fails = step("fails", "exit 3", effect="read", more=", on_failure: rollback")
    return {
        "question": book(step("first", touch), "      - {id: m, do: manual, with: {say: Look.}}\n"),
        "wait": book(step("first", touch), "      - {id: w, do: wait, with: {for: 10h}}\n"),
        "until": book(step("up", f"{touch}; exit 1", effect="read", more=", until: {every: 1s, within: 10h}")),
        "retry": book(step("act", f"{touch}; exit 1", more=", retry: {every: 1h, times: 9}")),
        "act": book(step("act", held(folder, "act")), step("next", "true")),
        "undo": book(undone_by("true"), undone_by(held(folder, "back")).replace("id: act", "id: then"), fails),
        "restore": book(
            undone_by("true"), undone_by(held(folder, "back"), "restore").replace("id: act", "id: then")
        ).replace("undo: {run: 'true'}", "undo: {none: x}, restore: {run: 'true'}"),
    }


@pytest.mark.parametrize("place", ["question", "wait", "until", "retry", "act", "undo", "restore"])
def test_ctrl_c_once_stops_a_run_wherever_it_stands_and_it_stays_open(drctl: Drctl, place: str) -> None:
    drctl.write("book.yaml", places(drctl.folder)[place])
    with drctl.process("run", "book.yaml", "--no-live", "--wait", "10h") as process:
        until((drctl.folder / HERE).exists)
        (id_,) = drctl.ids()
        process.send_signal(signal.SIGHUP)  # the terminal goes: nothing happens
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert any("Stopping after the running step" in line for line in process.stderr)
        (drctl.folder / "go").touch()
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode in {Exit.INTERRUPTED, Exit.PAUSED}, out
    assert f"drctl resume {id_}" in out
    assert drctl("--output", "json", "show", id_).json["state"] == "paused"
    assert drctl("abort", id_, "--reason", "the test is over").code in {Exit.ABORTED, Exit.ROLLBACK_FAILED}


def test_ctrl_c_twice_ends_what_runs_and_three_times_leaves_at_once(drctl: Drctl) -> None:
    drctl.write("book.yaml", book(step("act", held(drctl.folder, "act"))))
    for presses, code in ((2, Exit.INTERRUPTED), (3, -signal.SIGINT)):
        (drctl.folder / HERE).unlink(missing_ok=True)
        before = set(drctl.ids())
        with drctl.process("run", "book.yaml", "--no-live") as process:
            until((drctl.folder / HERE).exists)
            told = iter(("Stopping after", "Ending what runs", "Left at once"))
            assert process.stderr is not None
            for _ in range(presses):
                process.send_signal(signal.SIGINT)
                wanted = next(told)
                assert any(wanted in line for line in process.stderr)
            out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == code, out + err
        (id_,) = set(drctl.ids()) - before
        shown = drctl("--output", "json", "show", id_).json
        assert shown["state"] == ("paused" if presses == 2 else "crashed")
        if presses == 2:
            assert not (drctl.folder / "ledger").exists(), "it was ended before it did anything"
        (drctl.folder / "go").touch()
        assert drctl("resume", id_, "--no-live").code == Exit.DONE
        assert (drctl.folder / "ledger").read_text().split() == ["act"]
        for name in ("go", "ledger"):
            (drctl.folder / name).unlink()
