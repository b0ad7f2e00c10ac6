"""HTTP and TCP from this machine, against a server that misbehaves."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drctl.adapters.dialer import LocalDialer
from drctl.adapters.http import UrllibHttp
from drctl.core.ports import MEBIBYTE, HttpReply, HttpRequest, PortState, Reach
from drctl.core.values import Duration, Secret
from drctl.errors import DefectError
from tests.fakes.webserver import SEEN, web_server


@pytest.fixture
def port() -> Iterator[int]:
    with web_server() as port:
        yield port


def request(url: str, method: str = "GET", seconds: float = 20, **more: object) -> HttpRequest:
    fields = {"method": method, "url": url, "timeout": Duration(int(seconds * 1e6))} | more
    return HttpRequest(**fields)  # type: ignore[arg-type] # fields of tests


def get(port: int, path: str, seconds: float = 20, cap: int = MEBIBYTE) -> HttpReply:
    return UrllibHttp().read(request(f"http://127.0.0.1:{port}{path}", seconds=seconds, cap=cap))


def test_an_answer_comes_whole_whatever_its_status(port: int) -> None:
    reply = get(port, "/ok?a=b%20c")
    assert (reply.reach, reply.status, reply.body, reply.cut, reply.sent) == (Reach.COMPLETE, 200, b"fine", False, True)
    assert reply.headers["x-site"] == "a"
    assert SEEN[0][1] == "/ok?a=b%20c"
    assert (get(port, "/down").reach, get(port, "/down").status) == (Reach.COMPLETE, 503)


def test_a_redirect_is_an_answer_and_is_not_followed(port: int) -> None:
    reply = get(port, "/moved")
    assert (reply.status, reply.headers["location"], len(SEEN)) == (302, "/ok", 1)


def test_a_body_over_the_cap_is_cut_and_says_so(port: int) -> None:
    reply = get(port, "/large", cap=1000)
    assert (len(reply.body), reply.cut, reply.status) == (1000, True, 200)
    assert len(get(port, "/large").body) == 300000


def test_an_answer_that_breaks_off_is_no_answer(port: int) -> None:
    reply = get(port, "/cut")
    assert (reply.reach, reply.status, reply.sent) == (Reach.UNREACHABLE, None, True)
    assert "broke off" in reply.because


def test_a_server_that_drips_does_not_outlive_the_limit(port: int) -> None:
    reply = get(port, "/drip", seconds=0.5)
    assert (reply.reach, reply.status, reply.sent) == (Reach.TIMEOUT, None, True)


def test_a_server_that_says_nothing_is_a_timeout_and_may_have_acted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reply = get(silent.getsockname()[1], "/", seconds=0.5)
    assert (reply.reach, reply.sent) == (Reach.TIMEOUT, True)


def test_a_refused_connection_was_surely_not_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        reply = get(bound.getsockname()[1], "/")
    assert (reply.reach, reply.sent) == (Reach.UNREACHABLE, False)
    assert "refused" in reply.because.lower()


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://[x/", "nonsense", "http://no-such-host.invalid/"])
def test_an_address_that_is_none_is_told_and_not_sent(url: str) -> None:
    reply = UrllibHttp().send(request(url))
    assert (reply.reach, reply.status, reply.sent) == (Reach.UNREACHABLE, None, False)
    assert reply.because


def test_a_look_sends_nothing_but_get_and_head(port: int) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        with pytest.raises(DefectError):
            UrllibHttp().read(request(f"http://127.0.0.1:{port}/", method))
    assert SEEN == []
    assert UrllibHttp().read(request(f"http://127.0.0.1:{port}/", "HEAD")).body == b""


def test_an_act_is_sent_once_with_its_secrets(port: int) -> None:
    sent = UrllibHttp().send(
        request(
            f"http://127.0.0.1:{port}/act",
            "POST",
            headers={"Authorization": Secret("sesam"), "X-A": "b"},
            body=Secret("top"),
        )
    )
    assert sent.status == 200
    ((method, path, got, body),) = SEEN
    assert (method, path, body) == ("POST", "/act", b"top")
    assert (got["Authorization"], got["X-A"], got["Host"]) == ("sesam", "b", f"127.0.0.1:{port}")


@contextlib.contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    """Answer `fine` over TLS with a certificate for 127.0.0.1 that only `folder/ca.pem` vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(near, server_side=True) as sock:
                        sock.recv(65536)
                        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server(tmp_path) as port:
        reply = UrllibHttp().read(request(f"https://localhost:{port}/"))
        assert (reply.reach, reply.sent) == (Reach.UNREACHABLE, False)
        assert "certificate" in reply.because
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert UrllibHttp().read(request(f"https://localhost:{port}/")).body == b"fine"
        wrong_name = UrllibHttp().read(request(f"https://127.0.0.1:{port}/"))
        assert (wrong_name.reach, wrong_name.sent) == (Reach.UNREACHABLE, False)


def test_a_port_is_open_refused_or_not_known() -> None:
    limit = Duration(20_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        there = LocalDialer().connect("127.0.0.1", listening.getsockname()[1], limit)
        gone = LocalDialer().connect("127.0.0.1", bound.getsockname()[1], limit)
    assert (there.reach, there.state) == (Reach.COMPLETE, PortState.OPEN)
    assert (gone.reach, gone.state) == (Reach.COMPLETE, PortState.REFUSED)
    nowhere = LocalDialer().connect("no-such-host.invalid", 80, limit)
    assert (nowhere.reach, nowhere.state) == (Reach.UNREACHABLE, None)


def test_a_port_that_does_not_answer_is_silent() -> None:
    with socket.socket() as full:  # a full queue of connections drops what comes next
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                sock = stack.enter_context(socket.socket())
                sock.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(full.getsockname())
                waiting.append(sock)
            reply = LocalDialer().connect("127.0.0.1", full.getsockname()[1], Duration(300_000))
    assert (reply.reach, reply.state) == (Reach.TIMEOUT, PortState.SILENT)
