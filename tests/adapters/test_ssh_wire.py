"""The socket that paramiko is given: whole, in order, read ahead, and over in time."""

import socket
import threading
import time

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.adapters import ssh_watch
from drctl.adapters.ssh_wire import OPEN, Untimed, Wire

SOON = 3600.0


@given(sent=st.lists(st.binary(min_size=1, max_size=300), max_size=8), sizes=st.lists(st.integers(1, 90), min_size=1))
def test_what_was_sent_comes_whole_and_in_order_whatever_is_asked_for(sent: list[bytes], sizes: list[int]) -> None:
    near, far = socket.socketpair()
    with near, far:
        for part in sent:
            far.sendall(part)
        far.shutdown(socket.SHUT_WR)
        wire, got, turn = Wire(near, time.monotonic() + SOON), b"", 0
        while data := wire.recv(sizes[turn % len(sizes)]):
            assert len(data) <= sizes[turn % len(sizes)]
            got, turn = got + data, turn + 1
        assert got == b"".join(sent)
        assert not wire.late


def test_a_peer_that_sends_a_byte_now_and_then_is_hung_up_on_in_time() -> None:
    """paramiko's own limits begin anew with each of them."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"abc")
        wire = Wire(near, time.monotonic() - 1)
        assert wire.recv(3) == b""
        assert wire.late
        with pytest.raises(OSError, match=r"^$"):
            wire.send(b"x")


def test_bytes_read_ahead_are_given_even_when_it_is_late() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"abcdef")
        wire = Wire(near, time.monotonic() + SOON)
        assert wire.recv(2) == b"ab"
        wire._until = 0.0
        assert wire.recv(10) == b"cdef"
        assert wire.recv(1) == b""


def test_an_open_link_is_never_late_and_rests() -> None:
    near, far = socket.socketpair()
    with near, far:
        wire = Wire(near, time.monotonic() - 1)
        wire.opened()
        wire.settimeout(0.1)  # as paramiko would
        assert near.gettimeout() == OPEN
        assert wire.send(b"x") == 1
        far.sendall(b"y")
        assert wire.recv(5) == b"y"


def test_paramiko_takes_it_for_a_socket_and_needs_no_timer() -> None:
    """What is leaned on: the keyword `packetizer_class`, the names of the timer, and what is asked of a socket."""
    near, far = socket.socketpair()
    with near, far:
        wire = Wire(near, time.monotonic() + SOON)
        transport = paramiko.Transport(wire, packetizer_class=Untimed)  # type: ignore[arg-type] # it answers like one
        transport.packetizer.start_handshake(0.0)
        assert not transport.packetizer.handshake_timed_out()
        transport.packetizer.complete_handshake()
        transport.close()


def test_a_link_that_is_opened_between_two_words_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"a")
        wire = Wire(near, 0.0)
        real = time.monotonic

        def meanwhile() -> float:
            wire.opened()
            return 0.0 if wire.moved else real()

        monkeypatch.setattr("drctl.adapters.ssh_wire.time.monotonic", meanwhile)
        assert wire.recv(1) == b"a"


def test_a_link_that_cannot_be_looked_after_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_watch, "PING", 0.01)
    looked = threading.Event()

    class Broken:
        alive = True

        def look_after(self) -> None:
            raise RuntimeError("can't start new thread")

    class Sound:
        alive = True

        def look_after(self) -> None:
            looked.set()

    broken, sound, watch = Broken(), Sound(), ssh_watch.Watch()
    watch.add(broken)
    watch.add(sound)
    assert looked.wait(30)
    broken.alive = sound.alive = False
