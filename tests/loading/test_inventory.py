"""Inventories: hosts with their defaults and keys, one namespace, and no secret written down."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.hostnames import matches
from drctl.core.inventory import Inventory, SecretRef
from drctl.loading import Loaded, host_keys, load_inventory, render
from drctl.loading.host_keys import Known, KnownHosts, read_key
from tests.loading.documents import codes, inventory

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA5HN9fWIaTnGdf5hAyuk/SjMbMAoCXzZAcuGqZkSj1M"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGrPgcTBtmM9CgKI1rPPwSXiCMLh3cEYJZ2SNhIxKDmL"


def load(hosts: str, rest: str = "", files: dict[str, str] | None = None) -> Loaded[Inventory]:
    text = f"inventory: x\nenvironment: lab\nhosts:\n  {hosts}\n{rest}"
    known = {"dir/x.yaml": text, **(files or {})}

    def read(path: str) -> bytes:
        if path not in known:
            raise FileNotFoundError(2, "No such file", path)
        return known[path].encode()

    return load_inventory("dir/x.yaml", read)


def test_hosts_take_defaults_and_facts_of_their_site() -> None:
    hosts = inventory().hosts
    assert hosts["db1"].login.user == "ops"
    assert hosts["db1"].facts == {"gateway": "http://gateway.example", "power": "http://power.example/db1", "rack": 4}
    assert (hosts["app1"].login.user, hosts["app1"].login.key, hosts["app1"].login.via) == (
        "deploy",
        "keys/ops",
        ("jump",),
    )
    assert hosts["app2"].become_password == SecretRef(source="cmd", target=("pass", "show", "app2"))
    assert hosts["db2"].port == 2222
    assert hosts["jump"].host_keys == (KEY,)
    standby = inventory().host_of_role("db-standby")
    assert standby is hosts["db2"]


def test_the_nearest_fact_counts() -> None:
    host = f"a: {{address: x, site: s, login: {{user: u}}, host_key: {KEY}, facts: {{a: own, n: [1, {{b: null}}]}}}}"
    rest = "sites: {s: {facts: {a: site, b: site}}}\ndefaults: {facts: {a: default, b: default, c: default}}\n"
    loaded = load(host, rest)
    assert loaded.value is not None
    facts = loaded.value.hosts["a"].facts
    assert facts == {"a": "own", "b": "site", "c": "default", "n": (1, {"b": None})}


def test_the_rest_of_an_inventory() -> None:
    found = inventory()
    assert found.sites == {"a": "Site A", "b": "Site B"}
    assert found.roles == {"commander": ("li", "wang"), "deputy": ("ada",)}
    assert found.people["ada"].full_name == "ada"
    assert found.people["wang"].simulated
    assert found.databases["invoices"].password == SecretRef(source="file", target=("keys/postgres",))
    assert found.buckets["backups"].keys == SecretRef(source="file", target=("keys/s3",))
    mail = found.channels["mail"]
    assert (mail.type, mail.settings["sender"], mail.settings["to"]) == (
        "smtp",
        "drctl@example.org",
        ("oncall@example.org",),
    )


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        (f"a: {{address: x, login: {{user: u}}, host_key: {KEY}}}", None),
        ("a: {address: x, login: {user: u}}", "E402"),
        ("a: {address: x, login: {user: u}, host_key: ssh-ed25519 AAAA}", "E402"),
        ("a: {address: x, login: {user: u}, host_key: ssh-dss AAAA}", "E402"),
        (f"a: {{address: x, login: {{key: k}}, host_key: {KEY}}}", "E401"),
        (f"a: {{login: {{user: u}}, host_key: {KEY}}}", "E401"),
        (f"a: {{address: x, login: {{user: u, via: a}}, host_key: {KEY}}}", "E401"),
        (f"local: {{address: x, login: {{user: u}}, host_key: {KEY}}}", "E401"),
        (f"a: {{address: x, role: a, login: {{user: u}}, host_key: {KEY}}}", "E401"),
        (f"a: {{address: x, groups: [a], login: {{user: u}}, host_key: {KEY}}}", "E401"),
        (f"a: {{address: x, site: s, login: {{user: u}}, host_key: {KEY}}}", "E401"),
        (f"a: {{address: x, login: {{user: u, password: hunter2}}, host_key: {KEY}}}", "E403"),
        (f"a: {{address: x, login: {{user: u, password: {{cmd: [pass, x]}}}}, host_key: {KEY}}}", None),
        (f"a: {{address: x, login: {{user: u, password: 'ssm:/dr/db1'}}, host_key: {KEY}}}", None),
        (f"a: {{address: x, login: {{user: u, password: {{secretsmanager: dr/db1}}}}, host_key: {KEY}}}", None),
        (f"a: {{address: x, login: {{user: u, password: 'secretsmanager:a b'}}, host_key: {KEY}}}", "E403"),
        (f"a: {{address: x, login: {{user: u, password: 'cmd:pass x'}}, host_key: {KEY}}}", "E204"),
        (f"a: {{address: x, login: {{user: u, password: 'ssm:/dr/x'}}, host_key: {KEY}}}", None),
        (f"a: {{address: x, login: {{user: u, password: {{secretsmanager: 'x#k'}}}}, host_key: {KEY}}}", None),
    ],
)
def test_a_host(hosts: str, code: str | None) -> None:
    assert codes(load(hosts)) == ([code] if code else [])


def test_a_secret_that_is_written_down_is_never_printed() -> None:
    line = "a: {address: x, login: {user: u, password: hunter2}, groups: [a], host_key: ssh-dss AAAA, bogus: 1}"
    loaded = load(line)
    text = f"inventory: x\nenvironment: lab\nhosts:\n  {line}\n"
    assert set(codes(loaded)) == {"E201", "E401", "E402", "E403"}
    assert all("hunter2" not in render(one, text) for one in loaded.diagnostics)


def test_keys_of_a_known_hosts_file() -> None:
    hosts = "a: {address: db.example, port: 2222, login: {user: u}, known_hosts: kh}"
    loaded = load(hosts, files={"dir/kh": f"db.example {OTHER}\n[db.example]:2222 {KEY} comment\n"})
    assert loaded.value is not None
    assert loaded.value.hosts["a"].host_keys == (KEY,)
    assert loaded.value.source.keys() == {"dir/x.yaml", "dir/kh"}
    assert codes(load(hosts)) == ["E402"]
    assert codes(load(hosts, files={"dir/kh": f"db.example {KEY}\n"})) == ["E402"]


def hashed(name: str, salt: bytes = b"0123456789abcdef0123") -> str:
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def test_hashed_names_and_lines_that_do_not_count() -> None:
    text = f"# db {OTHER}\n{hashed('[db]:7')} {KEY}\n|1|x {OTHER}\n|2|eA==|eA== {OTHER}\n"
    assert KnownHosts(text).of("db", 7).keys == (KEY,)
    assert KnownHosts(text).of("DB", 7).keys == (KEY,)
    assert KnownHosts(text).of("db", 22) == Known()


@pytest.mark.parametrize("name", ["[db]:7", "db", hashed("db"), "*", "d?,x", "[d*"])
def test_a_revoked_key_is_never_a_key_of_that_host(name: str) -> None:
    text = f"[db]:7 {KEY}\n[db]:7 {OTHER}\n@revoked {name} {OTHER}\n[other]:7 {OTHER}\n"
    known = KnownHosts(text)
    assert known.of("db", 7) == Known(keys=(KEY,), revoked=(OTHER,))
    assert known.of("another.example", 22).keys == ()


def test_authorities_of_a_known_hosts_file() -> None:
    text = f"@cert-authority *.example,!bad.example {KEY}\n@cert-authority *.example {OTHER}\n@revoked * {OTHER}\n"
    known = KnownHosts(text)
    assert known.of("a.example", 2222) == Known(authorities=(KEY,), revoked=(OTHER,))
    assert known.of("bad.example", 22).authorities == ()
    assert known.of("example", 22).authorities == ()


@pytest.mark.parametrize("line", ["@revoked db ssh-ed25519 AAAA", "@revoked", "@revoke db KEY", "@revoked |3|a|b KEY"])
def test_a_marked_line_that_cannot_be_read_is_refused(line: str) -> None:
    """It may revoke the very key that is shown."""
    files = {"dir/kh": f"db {KEY}\n{line.replace('KEY', OTHER)}\n"}
    hosts = "a: {address: db, login: {user: u}, known_hosts: kh}\n  b: {address: db, login: {user: u}, known_hosts: kh}"
    loaded = load(hosts, files=files)
    assert codes(loaded) == ["E402"]  # once for the file
    assert "line 2" in loaded.diagnostics[0].summary


def test_a_host_with_an_authority_needs_no_key() -> None:
    loaded = load(f"a: {{address: db, login: {{user: u}}, host_ca: {KEY}}}")
    assert loaded.value is not None
    host = loaded.value.hosts["a"]
    assert (host.host_keys, host.host_cas, host.revoked_keys) == ((), (KEY,), ())
    both = load(
        f"a: {{address: db, login: {{user: u}}, host_key: {KEY}, known_hosts: kh}}",
        files={"dir/kh": f"@revoked * {KEY}\n"},
    )
    assert set(codes(both)) == {"E402"}
    assert codes(load("a: {address: db, login: {user: u}, host_ca: x}")) == ["E402"]


def test_many_hashed_lines_are_read_once_and_hashed_once_for_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko needs 56 ms a host for 1,000 hashed lines; two blocks for each line not yet matched are 1 ms."""
    count, real = 0, host_keys._sha1

    def counting(data: bytes) -> object:
        nonlocal count
        count += 1
        return real(data)

    monkeypatch.setattr(host_keys, "_sha1", counting)
    lines = [f"{hashed(f'[h{n}]:7', n.to_bytes(20, 'big'))} {KEY}" for n in range(1000)]
    hosts = "\n  ".join(f"h{n}: {{address: h{n}, port: 7, login: {{user: u}}, known_hosts: kh}}" for n in range(20))
    loaded = load(hosts, files={"dir/kh": "\n".join(lines)})
    assert loaded.value is not None
    assert len(loaded.value.hosts) == 20
    assert count == 2 * sum(1000 - matched for matched in range(20))


@given(salt=st.binary(max_size=100), name=st.text("abc.[]:0123456789-", min_size=1, max_size=80).map(str.encode))
def test_a_hashed_name_is_an_hmac(salt: bytes, name: bytes) -> None:
    digest = hmac.new(salt, name, hashlib.sha1).digest()
    names = host_keys._Hashed()
    names.add(salt, digest, host_keys._Line("", "", KEY))
    names.add(salt, digest, host_keys._Line("", "", OTHER))
    assert [line.key for line in names.of(name)] == [KEY, OTHER]
    assert [line.key for line in names.of(name)] == [KEY, OTHER]
    assert names.of(name + b"x") == []


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [("*", "", True), ("a*b*c", "AxxbbC", True), ("a?c", "ac", False), ("*a", "aaab", False), ("[a]", "a", False),
     ("*.example", "a.b.example", True), ("a**", "a", True), ("", "a", False), ("*" * 40 + "b", "a" * 200, False)],
)  # fmt: skip
def test_patterns_of_names(pattern: str, name: str, fits: bool) -> None:  # noqa: FBT001 - a table
    assert matches(pattern, name) is fits


def test_a_key_is_its_type_and_its_bytes() -> None:
    assert read_key(f"{KEY} someone@somewhere") == KEY
    for line in ("", "ssh-ed25519", "ssh-ed25519 !!!", f"ssh-rsa {KEY.split()[1]}", f"{KEY.split()[1]} ssh-ed25519"):
        with pytest.raises(ValueError, match="key"):
            read_key(line)


def test_the_query_of_an_identity_is_one_query_of_a_database_that_is_there() -> None:
    host = (
        f"a: {{address: x, login: {{user: u}}, host_key: {KEY}, identity: {{sql: {{query: QUERY, equals: 7301DB}}}}}}"
    )
    good = load(host.replace("QUERY", '"select 1;"').replace("DB", ""))
    assert good.value is not None
    assert (good.value.hosts["a"].identity.sql_query, good.value.hosts["a"].identity.sql_equals) == (
        "select 1;",
        "7301",
    )
    assert codes(load(host.replace("QUERY", '"select 1; drop table x"').replace("DB", ""))) == ["E204"]
    assert codes(load(host.replace("QUERY", '"select 1"').replace("DB", ", db: gone"))) == ["E401"]
