"""`resume --restore-only`, and what `runs` and `show` say of a run that has something suspended."""

import json

from drctl.errors import Exit
from tests.cli.conftest import Drctl, book, step

ASK = "      - {id: ask, do: manual, with: {say: Look., by: [commander]}}\n"


def test_open_restores_are_counted_named_and_put_back(drctl: Drctl) -> None:
    off = step("off", f": >{drctl.folder}/off", more=f", restore: {{run: 'rm {drctl.folder}/off'}}")
    said, id_ = drctl.ran(book(off, ASK))
    assert said.code == Exit.PAUSED
    assert drctl("--output", "json", "runs").json["runs"][0]["open_restores"] == 1
    assert "1 to restore" in drctl("runs").out
    assert drctl("--output", "json", "show", id_).json["open_restores"] == ["only/off on local"]
    shown = drctl("show", id_).out
    assert "only/off on local: still to be put back" in shown
    assert f"drctl resume {id_} --restore-only" in shown

    said = drctl("resume", id_, "--restore-only", "--no-live")
    assert said.code == Exit.PAUSED, said
    assert not (drctl.folder / "off").exists()
    assert drctl("--output", "json", "runs").json["runs"][0]["open_restores"] == 0
    shown = drctl("show", id_).out
    assert "PUT BACK, AND PAUSED" in shown
    assert "--restore-only" not in shown
    records = [json.loads(line) for line in drctl.journal(id_).read_text().splitlines()]
    assert [r["body"]["restore_only"] for r in records if r["type"] == "run_resumed"] == [True]
    assert drctl("done", id_, "ask", "--as", "li").code == 0
    assert drctl("resume", id_, "--no-live").code == Exit.EXCEPTIONS
