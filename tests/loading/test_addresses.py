"""Addresses of hosts: every name and address is taken; what is neither is refused with what to write instead."""

import re

import pytest

from drctl.loading import load_inventory
from drctl.loading.addresses import Address
from tests.loading.documents import said

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA5HN9fWIaTnGdf5hAyuk/SjMbMAoCXzZAcuGqZkSj1M"
PLAIN = "a host name, an alias of ~/.ssh/config, an IPv4 or an IPv6 address"
TAKEN = ["db", "db_1.prod", "a.b.example.", "192.0.2.1", "2001:db8::1", "::1", "fe80::1%eth0", "bücher.example", "10"]
REFUSED = [
    ("root@db1", "address: db1, login: {user: root}"),
    ("ssh://db1", "address: db1"),
    ("ssh://ops@db1:2222/", "address: db1, login: {user: ops}, port: 2222"),
    ("192.0.2.1:22", "address: 192.0.2.1, port: 22"),
    ("db:22", "address: db, port: 22"),
    ("[2001:db8::1]:22", "address: 2001:db8::1, port: 22"),
    (" db1", "address: db1"),
    ("db 1", PLAIN),
    ("db\\t1", PLAIN),
    ("-oProxyCommand=x", PLAIN),
    ("", PLAIN),
    ("2001:db8:::1", PLAIN),
    ("db\\u200b1", PLAIN),
]


def inventory(address: str) -> bytes:
    host = f'{{address: "{address}", login: {{user: u}}, host_key: {KEY}}}'
    return f"inventory: x\nenvironment: lab\nhosts:\n  a: {host}\n".encode()


@pytest.mark.parametrize("address", TAKEN)
def test_a_name_or_an_address_is_taken(address: str) -> None:
    loaded = load_inventory("x.yaml", lambda _: inventory(address))
    assert said(loaded) == []
    assert loaded.value is not None
    assert loaded.value.hosts["a"].address == address
    assert re.search(str(Address().schema()["pattern"]), address)


@pytest.mark.parametrize(("address", "instead"), REFUSED)
def test_what_can_be_neither_is_refused_at_its_place_with_what_to_write(address: str, instead: str) -> None:
    (problem,) = load_inventory("x.yaml", lambda _: inventory(address)).diagnostics
    assert (problem.code, problem.where.line, problem.where.column) == ("E204", 4, 16)
    assert "is not the name or the address of a host" in problem.summary
    assert problem.hint == instead


@pytest.mark.parametrize("address", ["root@db1", "ssh://db1", "192.0.2.1:22", "db:22", " db1", "db 1", "-o", ""])
def test_an_editor_refuses_it_too(address: str) -> None:
    assert not re.search(str(Address().schema()["pattern"]), address)
