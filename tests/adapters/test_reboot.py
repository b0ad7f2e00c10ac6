"""A restart over a real link: it breaks, the port refuses for a while, then another boot answers."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters.clock import SystemClock
from drctl.adapters.ssh import SshHosts
from drctl.core.kind import Seen
from drctl.core.values import Duration
from drctl.kinds import host_reboot
from tests.adapters.steps import until
from tests.adapters.test_become import given
from tests.fakes.sshservers import Keys, Relay, asyncssh_server, inventory, tcp
from tests.kinds.worlds import ClaimedOnce, act, probe


def test_a_machine_restarts_over_ssh_and_comes_back_with_another_boot(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real script on a real link: the link breaks, the port refuses for a while, then another boot answers."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "boot_id").write_text("boot-1\n")
    env = {
        "HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "DRCTL_BOOT_ID_FILE": str(tmp_path / "boot_id"),
    }  # fmt: skip
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text('#!/bin/sh\n[ "$1" = reboot ] && touch "$HOME/down"\n')
    systemctl.chmod(0o755)
    monkeypatch.setattr(host_reboot, "_PAUSE", Duration(100_000))
    with asyncssh_server(keys, env) as port:
        relay = Relay(tcp(port))
        hosts = SshHosts(inventory(keys.host(relay.port)), given(""))
        shell = hosts.shell("h1")
        looking = replace(probe(shell=shell, timeout=Duration(60_000_000)), clock=SystemClock())

        def fall() -> None:
            until((tmp_path / "down").exists, "the restart")
            relay.mode = "reset"
            relay.cut()
            (tmp_path / "boot_id").write_text("boot-2\n")  # not before: a look that is quick enough would see it
            until(lambda: relay.accepted > 2, "a look at the dead machine")
            relay.mode = "pass"

        falling = threading.Thread(target=fall)
        falling.start()
        kind = host_reboot.HostReboot()
        prior = kind.preview(looking).prior
        outputs = kind.execute(act(looking, shell=ClaimedOnce(shell)))
        falling.join(30)
        assert (outputs.values["back"], outputs.values["boot_before"], outputs.values["boot_id"]) == (
            True, "boot-1", "boot-2",
        )  # fmt: skip
        assert kind.verify_since(looking, prior).seen is Seen.DONE
        assert kind.verify_since(looking, {"boot_id": "boot-2"}).seen is Seen.NOT_DONE
        relay.close()
        assert kind.verify_since(looking, prior).seen is Seen.UNKNOWN
        hosts.close()
