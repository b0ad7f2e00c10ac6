"""What a demo says at its end: the users' count decides, whatever the run says of itself."""

import json
from typing import Any

import pytest

from drctl.cli.app import Settings
from drctl.cli.demo import Demo
from drctl.errors import Exit


def demo(monkeypatch: pytest.MonkeyPatch, output: str, *, lost: int = 0, altered: int = 0, blind: bool = False) -> Demo:
    """A demo whose users have counted."""

    def call(_self: Demo, _base: str, path: str, *, post: bool = False) -> dict[str, Any]:
        if blind:
            raise OSError("HTTP Error 503")
        if post:
            return {"acknowledged": 186, "lost": lost, "altered": altered}
        assert path == "/status"
        return {"refusals": 47, "outage_seconds": 5.8}

    monkeypatch.setattr(Demo, "_call", call)
    settings = Settings(output=output)
    return Demo(settings, "primary-host", async_replication=False, keep=False, live=False)


@pytest.mark.parametrize(
    ("facts", "run", "code"),
    [
        ({}, Exit.DONE, Exit.DONE),
        ({"lost": 1}, Exit.DONE, Exit.STEP_FAILED),
        ({"altered": 1}, Exit.DONE, Exit.STEP_FAILED),
        ({"blind": True}, Exit.DONE, Exit.STEP_FAILED),
        ({"blind": True}, Exit.PAUSED, Exit.PAUSED),
        ({"lost": 9}, Exit.EXCEPTIONS, Exit.EXCEPTIONS),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_the_users_count_decides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str, facts: dict[str, Any], run: Exit,
    code: Exit,
) -> None:  # fmt: skip
    ended = demo(monkeypatch, output, **facts)._evidence(None, "http://traffic", int(run))
    assert ended == code
    said = capsys.readouterr()
    if output == "json":
        document = json.loads(said.out)
        assert document["exit"] == code
        assert (document["users"] is None) == bool(facts.get("blind"))
    else:
        assert "What the users counted, independently of drctl:" in said.out
        assert ("nothing: they cannot see" in said.out) == bool(facts.get("blind"))
    assert ("NOT RECOVERED" in said.err) == (run is Exit.DONE and code is Exit.STEP_FAILED and not facts.get("blind"))
