"""An address from `~/.ssh/config` is shown by a plan, and frozen with a run."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Drctl, book, step
from tests.loading.test_inventory import KEY


def test_a_plan_shows_what_was_found_and_a_resumed_run_no_longer_asks(
    drctl: Drctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / ".ssh/config"
    config.parent.mkdir()
    config.write_text("Host db1\n HostName db1.invalid\n Port 2200\n User ops\n")
    inventory = (drctl.folder / "inventory.yaml").read_text()
    drctl.write("inventory.yaml", f"{inventory}hosts:\n  db1: {{login: {{key: k}}, host_key: {KEY}}}\n")
    text = drctl.write("book.yaml", book(step("go", "test -e mended", effect="idempotent", more=", on: local")))
    plan = drctl("plan", text)
    assert plan.code == 0, plan
    assert "ops@db1.invalid port 2200, from ~/.ssh/config" in plan.err + plan.out
    said = drctl("run", text, "--no-live")
    assert said.code == 7, said
    (id_,) = drctl.ids()
    config.write_text("Host db1\n HostName elsewhere.invalid\n")
    assert drctl("retry", id_, "go").code == 0
    assert drctl("resume", id_).code == 7
    lines = [json.loads(line) for line in drctl.journal(id_).read_text().splitlines()]
    plan_text = "".join(line["body"]["text"] for line in lines if line["type"] == "plan_part")
    assert "db1.invalid" in plan_text
