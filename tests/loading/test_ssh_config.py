"""Addresses and jumps from `~/.ssh/config`: what is taken, what is not, and that a run keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.loading import load_inventory
from drctl.loading.ssh_config import Reached, SshConfig, jump_name
from tests.loading.documents import codes
from tests.loading.test_inventory import KEY

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.loading.document import Loaded

CONFIG = """
# comment
Port 2200
Host db1 db2 !db3
    HostName=%h.example
    User "ops"
    IdentityFile ~/.ssh/secret
    ProxyJump li@jump:22
    Port 1
Host *
    HostName 192.0.2.9
    User late
Match user root
    HostName 203.0.113.1
"""
HEAD = "inventory: x\nenvironment: lab\nhosts:\n"
JUMP = f"  jump: {{address: 192.0.2.1, login: {{user: u, key: k}}, host_key: {KEY}}}\n"


def loaded(hosts: str, config: str | None = CONFIG) -> Loaded[Inventory]:
    files = {"dir/x.yaml": HEAD + hosts}
    if config is not None:
        files["dir/~/.ssh/config"] = config

    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path].encode()

    return load_inventory("dir/x.yaml", read)


def test_the_first_value_counts_and_only_four_of_them() -> None:
    assert SshConfig(CONFIG).of("db1") == Reached(address="db1.example", port=2200, user="ops", jumps=("li@jump:22",))
    assert SshConfig(CONFIG).of("other") == Reached(address="192.0.2.9", port=2200, user="late")
    assert SshConfig("Host db1\n  Port 7\n").of("db1") is None  # no address
    assert SshConfig("Match all\nHostName a\n").of("x") == Reached(address="a")
    assert SshConfig("Match host x\nHostName a\n").of("x") is None
    assert SshConfig("Host x\nHostName a\nProxyJump none\n").of("x") == Reached(address="a")


@pytest.mark.parametrize("text", ["HostName %n", "HostName a\nPort 70000", "HostName a\nPort x"])
def test_what_cannot_be_understood_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="understood"):
        SshConfig(text).of("x")
    hosts = f"  a: {{login: {{user: u}}, host_key: {KEY}}}\n"
    assert set(codes(loaded(hosts, text))) == {"E401"}


@pytest.mark.parametrize(
    ("written", "name"),
    [("jump", "jump"), ("u@jump:7", "jump"), ("ssh://u@jump:7", "jump"), ("[2001:db8::1]:7", "2001:db8::1")],
)
def test_the_name_of_a_jump(written: str, name: str) -> None:
    assert jump_name(written) == name


def test_a_host_without_an_address_is_reached_as_the_configuration_says_and_a_run_keeps_no_more_of_it() -> None:
    first = loaded(f"{JUMP}  db1: {{login: {{key: k}}, host_key: {KEY}}}\n")
    assert codes(first) == ["W012"]
    assert "ops@db1.example port 2200 via li@jump:22" in first.diagnostics[0].summary
    assert first.value is not None
    host = first.value.hosts["db1"]
    assert (host.address, host.port, host.login.user, host.login.via) == ("db1.example", 2200, "ops", ("jump",))
    assert host.login.key == "k"
    kept = first.value.source["dir/~/.ssh/config"]
    assert "secret" not in kept
    assert "192.0.2.9" not in kept
    again = load_inventory("dir/x.yaml", lambda path: first.value.source[path].encode())  # type: ignore[union-attr] # it is there
    assert again.value is not None
    assert again.value.hosts == first.value.hosts


def test_what_the_inventory_says_itself_counts() -> None:
    own = f"{JUMP}  db1: {{port: 7, login: {{user: me, key: k, via: []}}, host_key: {KEY}}}\n".replace(", via: []", "")
    found = loaded(own)
    assert found.value is not None
    host = found.value.hosts["db1"]
    assert (host.address, host.port, host.login.user) == ("db1.example", 7, "me")
    whole = loaded(f"  db1: {{address: a, login: {{user: u, key: k}}, host_key: {KEY}}}\n")
    assert codes(whole) == []
    assert whole.value is not None
    assert (whole.value.hosts["db1"].address, whole.value.hosts["db1"].port) == ("a", 22)
    assert whole.value.source.keys() == {"dir/x.yaml"}


def test_a_jump_that_the_inventory_does_not_know_is_refused() -> None:
    """Its host key is pinned nowhere: whoever answers there would carry everything."""
    found = loaded(f"  db1: {{login: {{key: k}}, host_key: {KEY}}}\n")
    assert "E401" in codes(found)
    assert any("li@jump:22" in one.summary for one in found.diagnostics)


def test_without_a_configuration_an_address_is_missing_as_before() -> None:
    assert codes(loaded(f"  db1: {{login: {{user: u, key: k}}, host_key: {KEY}}}\n", None)) == ["E401"]
