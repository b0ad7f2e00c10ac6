"""Which host is believed to be itself: certificates of an authority, against a real sshd and byte by byte."""

import base64
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh
import pytest

from drctl.adapters import openssh
from drctl.adapters.ssh import SshHosts
from drctl.adapters.ssh_certs import objection, read_certificate
from drctl.adapters.ssh_keys import fingerprint
from drctl.core.inventory import Host
from drctl.core.ports import Claim, ClaimState, Command, Reach
from drctl.core.values import Duration
from tests.adapters.steps import no_secret
from tests.fakes.sshservers import SSH, Keys, Relay, inventory, openssh_server

KINDS = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority and keys of a host, of one kind, made by OpenSSH's own tool."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, kind: str) -> "Authority":
        folder.mkdir()
        for name in ("ca", "other_ca"):
            key = asyncssh.generate_private_key("ssh-rsa" if kind == "ssh-rsa" else "ssh-ed25519")
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")
        key = asyncssh.generate_private_key(kind)
        key.write_private_key(folder / "host")
        key.write_public_key(folder / "host.pub")
        for path in folder.iterdir():
            path.chmod(0o600)
        return cls(folder)

    def public(self, name: str) -> str:
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def blob(self, name: str) -> bytes:
        return asyncssh.read_public_key(self.folder / f"{name}.pub").public_data

    def certify(self, *options: str, ca: str = "ca", host: bool = True) -> bytes:
        """Sign the host's key; `host-cert.pub` is where sshd takes it from."""
        command = ["ssh-keygen", "-q", "-s", str(self.folder / ca), "-I", "db one", *(["-h"] if host else []), *options]
        subprocess.run([*command, str(self.folder / "host.pub")], check=True, capture_output=True)
        return base64.b64decode((self.folder / "host-cert.pub").read_text().split()[1])


@pytest.fixture(params=KINDS)
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "ca", request.param)


@pytest.fixture(params=["fabric", "openssh"])
def hosts_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "By":
    """Hosts over each transport; the settings of the person who runs the tests are not read."""
    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    return lambda host: SshHosts(inventory(host), no_secret, str(request.param))


By = Callable[[Host], SshHosts]


def answer_of(
    authority: Authority, keys: Keys, folder: Path, host: Host, hosts_by: By, *, certificate: bool = True
) -> tuple[str, str]:
    """What a look and an act get from a sshd that shows this certificate: the key or why not."""
    options = {"HostKey": str(authority.folder / "host")}
    if certificate:
        options["HostCertificate"] = str(authority.folder / "host-cert.pub")
    env = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    with openssh_server(keys, folder, env, inside=(), **options) as connect:
        relay = Relay(connect)
        hosts = hosts_by(replace(host, port=relay.port))
        try:
            shell = hosts.shell(host.name)
            command = Command(script="touch $HOME/ran", timeout=Duration(30_000_000))
            look = shell.read(replace(command, script="true"))
            claim = Claim(
                key=secrets.token_hex(8), run="uid", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a"
            )
            (folder / "ran").unlink(missing_ok=True)
            act = shell.run(claim, command)
            assert (act.state is ClaimState.RAN) == (look.exit == 0) == (folder / "ran").exists()
            if look.exit != 0:
                assert (look.reach, act.state) == (Reach.UNREACHABLE, ClaimState.UNREACHABLE)
        finally:
            hosts.close()
            relay.close()
    return look.host_key, look.because


def host_of(keys: Keys, authority: Authority, **more: object) -> Host:
    return keys.host(1, **({"host_keys": (), "host_cas": (authority.public("ca"),)} | more))  # type: ignore[arg-type] # fields of tests


@pytest.mark.needs("openssh-server", "openssh-client")
def test_a_certificate_of_the_authority_is_enough(
    keys: Keys, authority: Authority, tmp_path: Path, hosts_by: By
) -> None:
    shown = fingerprint(authority.blob("host"))
    for principals in ("127.0.0.1", "x.example,h1", "127.0.0.*"):
        authority.certify("-n", principals, "-V", "-1h:+1h")
        assert answer_of(authority, keys, tmp_path, host_of(keys, authority), hosts_by) == (shown, "")


@pytest.mark.needs("openssh-server", "openssh-client")
@pytest.mark.parametrize("authority", KINDS[:1], indirect=True)
@pytest.mark.parametrize(
    ("options", "ca", "parts"),
    [
        (("-n", "db2.example"), "ca", ("it names db2.example", "127.0.0.1 or h1")),
        ((), "ca", ("no host at all",)),
        (("-n", "h1", "-V", "20200101:20200102"), "ca", ("it was valid until 2020-01-0",)),
        (("-n", "h1", "-V", "+1w:+2w"), "ca", ("it is not valid before",)),
        (("-n", "h1"), "other_ca", ("another authority", "the authority SHA256:")),
        (None, "", ("no certificate", "the authority SHA256:")),
    ],
    ids=["other name", "no name", "expired", "too early", "other authority", "none"],
)
def test_a_certificate_that_does_not_count_stops(
    keys: Keys,
    authority: Authority,
    tmp_path: Path,
    hosts_by: By,
    options: tuple[str, ...] | None,
    ca: str,
    parts: tuple[str, ...],
) -> None:
    if options is not None:
        authority.certify(*options, ca=ca)
    host = host_of(keys, authority)
    _, because = answer_of(authority, keys, tmp_path, host, hosts_by, certificate=options is not None)
    assert because.startswith("host key:")
    assert all(part in because for part in (*parts, fingerprint(authority.blob("host")))), because


@pytest.mark.needs("openssh-server", "openssh-client")
@pytest.mark.parametrize("authority", KINDS[:1], indirect=True)
def test_a_revoked_key_or_authority_is_refused_whatever_vouches_for_it(
    keys: Keys, authority: Authority, tmp_path: Path, hosts_by: By
) -> None:
    authority.certify("-n", "h1")
    pinned = host_of(keys, authority, host_keys=(authority.public("host"),))
    for revoked in ("host", "ca"):
        host = replace(host_of(keys, authority), revoked_keys=(authority.public(revoked),))
        _, because = answer_of(authority, keys, tmp_path, host, hosts_by)
        assert because.startswith("host key:")
        assert "revoked" in because
    _, because = answer_of(
        authority, keys, tmp_path, replace(pinned, revoked_keys=(authority.public("host"),)), hosts_by
    )
    assert "revoked" in because
    assert answer_of(authority, keys, tmp_path, pinned, hosts_by)[1] == ""  # a pinned key counts beside a certificate


# --- byte by byte -----------------------------------------------------------------------------------------------------


def why(authority: Authority, data: bytes, now: float | None = None) -> str:
    certificate = read_certificate(data)
    return objection(certificate, {authority.blob("ca")}, {"h1"}, time.time() if now is None else now)


@pytest.mark.needs("openssh-client")
def test_no_changed_byte_of_a_certificate_is_accepted(authority: Authority) -> None:
    data = authority.certify("-n", "h1", "-V", "20200101:20300101")
    now = 1_780_000_000.0
    assert why(authority, data, now) == ""
    for at in range(0, len(data), 3):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            assert why(authority, changed, now), at
        except ValueError:
            continue
    for size in range(0, len(data), 7):
        with pytest.raises(ValueError, match="it"):
            read_certificate(data[:size])
    with pytest.raises(ValueError, match="follows"):
        read_certificate(data + b"x")


@pytest.mark.needs("openssh-client")
@pytest.mark.parametrize("authority", KINDS[:1], indirect=True)
def test_what_a_host_certificate_must_not_be(authority: Authority) -> None:
    assert why(authority, authority.certify("-n", "h1", host=False)) == "it is no certificate of a host"
    good = read_certificate(authority.certify("-n", "h1"))
    with_option = authority.certify("-n", "h1", "-O", "critical:force-command@example=x")
    assert "critical options" in why(authority, with_option)
    edge = read_certificate(authority.certify("-n", "h1", "-V", "20200101000000Z:20200102000000Z"))
    ca, names = {authority.blob("ca")}, {"h1"}
    assert objection(edge, ca, names, edge.after) == ""
    assert objection(edge, ca, names, edge.after - 1) != ""
    assert objection(edge, ca, names, edge.before - 1) == ""
    assert objection(edge, ca, names, edge.before) != ""
    assert "valid until the end" not in objection(good, ca, names, time.time())


@pytest.mark.needs("openssh-client")
@pytest.mark.parametrize("authority", KINDS[2:], indirect=True)
def test_an_authority_that_signs_with_sha_1_is_not_believed(authority: Authority) -> None:
    """OpenSSH takes ssh-rsa from no authority since 8.2 (CASignatureAlgorithms)."""
    assert why(authority, authority.certify("-n", "h1", "-t", "rsa-sha2-256")) == ""
    assert why(authority, authority.certify("-n", "h1", "-t", "ssh-rsa")) == "its signature does not hold"
