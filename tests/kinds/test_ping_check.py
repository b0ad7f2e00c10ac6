"""`ping.check` with the ping of iputils and that of busybox, as they write, and with a real one where there is one."""

import os

import pytest

from drctl.core.kind import FieldError
from drctl.core.ports import Reach, Reply
from drctl.core.values import Duration, Unknown
from drctl.kinds.ping_check import PingCheck
from tests.fakes.hosts import FakeHost, said
from tests.kinds.worlds import Facts, Machine, probe

IPUTILS = """\
PING db1 (10.0.0.1) 56(84) bytes of data.

--- db1 ping statistics ---
3 packets transmitted, {received} received, {loss}% packet loss, time 2003ms
{times}"""
BUSYBOX = """\
PING db1 (10.0.0.1): 56 data bytes

--- db1 ping statistics ---
3 packets transmitted, {received} packets received, {loss}% packet loss
{times}"""
TIMES = {
    IPUTILS: "rtt min/avg/max/mdev = 0.086/1.280/3.050/0.006 ms\n",
    BUSYBOX: "round-trip min/avg/max = 0.073/1.280/3.086 ms\n",
}


def answered(text: str | Reply) -> FakeHost:
    return FakeHost().on(lambda _: True, text)


@pytest.mark.parametrize("form", [IPUTILS, BUSYBOX])
@pytest.mark.parametrize(("received", "loss"), [(3, 0), (1, 66)])
def test_answers_are_counted(form: str, received: int, loss: int) -> None:
    host = answered(form.format(received=received, loss=loss, times=TIMES[form]))
    outputs = PingCheck(host="db1").look(probe(shell=host))
    assert outputs.reach is Reach.COMPLETE
    assert outputs.values == {"received": received, "latency": Duration(1280)}
    assert outputs.because == f"{received} of 3 answered after {Duration(1280).human()}"


@pytest.mark.parametrize("form", [IPUTILS, BUSYBOX])
def test_silence_is_no_complete_reply(form: str) -> None:
    host = answered(said(form.format(received=0, loss=100, times=""), exit=1))
    outputs = PingCheck(host="db1").look(probe(shell=host))
    assert outputs.reach is Reach.TIMEOUT
    assert outputs.values["received"] == 0
    assert str(outputs.values["latency"]) == "nothing answered"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (127, "ping is not on this machine"),
        (2, "ping: no.such.name: Name or service not known"),
        (1, "ping: bad address 'no.such.name'"),
        (1, "ping: permission denied (are you root?)"),
    ],
)
def test_a_ping_that_could_not_be_sent_tells_nothing(code: int, words: str) -> None:
    outputs = PingCheck(host="db1").look(probe(shell=answered(said(exit=code, stderr=f"{words}\n"))))
    assert all(isinstance(value, Unknown) for value in outputs.values.values())
    assert outputs.because == f"exit {code}: {words}"


def test_a_host_of_the_inventory_is_asked_by_its_address(machine: Machine) -> None:
    (machine.bin / "ping").unlink(missing_ok=True)
    machine.program("ping", 'echo "$LC_ALL $*" >"$HOME/asked"')
    PingCheck(host="db-primary", count=5).look(machine.probe(facts=Facts(names={"db-primary": "10.0.0.1"})))
    assert (machine.home / "asked").read_text() == "C -q -c 5 -W 2 10.0.0.1\n"


@pytest.mark.needs("busybox")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sends ICMP with busybox")
def test_a_real_ping_of_this_machine(machine: Machine) -> None:
    if not (machine.bin / "ping").exists():
        machine.program("ping", 'exec busybox ping "$@"')
    outputs = PingCheck(host="127.0.0.1", count=1).look(machine.probe())
    assert outputs.values["received"] == 1, outputs.because
    assert isinstance(outputs.values["latency"], Duration)


@pytest.mark.parametrize(
    "fields", [{"host": ""}, {"host": "-f"}, {"host": "a b"}, {"host": "a", "count": 0}, {"host": "a", "count": 21}]
)
def test_what_cannot_be_pinged_is_refused(fields: dict[str, str | int]) -> None:
    with pytest.raises(FieldError):
        PingCheck(**fields)  # type: ignore[arg-type] # a map of both
