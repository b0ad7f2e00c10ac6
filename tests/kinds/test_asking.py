"""The kinds that need no shell: `http.check`, `http.request`, `tcp.check`, `notify`, `records.compare`."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.kind import Change, FieldError, Seen
from drctl.core.ports import HttpReply, PortReply, PortState, Reach, Receipt
from drctl.core.values import Duration, Map, Secret, Unknown, Value, from_plain
from drctl.kinds.http_check import HttpCheck
from drctl.kinds.http_request import HttpRequestKind
from drctl.kinds.notify import Notify
from drctl.kinds.records_compare import RecordsCompare
from drctl.kinds.tcp_check import TcpCheck
from tests.kinds.worlds import LIMIT, Facts, Notices, Ports, Web, act, probe


def answered(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpReply:
    return HttpReply(
        reach=Reach.COMPLETE, status=status, headers=headers or {}, body=body, latency=Duration(1500), sent=True
    )


# --- http -------------------------------------------------------------------------------------------------------------


def test_an_answer_is_given_back_with_types() -> None:
    reply = answered(503, b'{"writable": false}', {"Content-Type": "application/json", "X-Site": "a"})
    web = Web(reply)
    outputs = HttpCheck(url="http://h/healthz", headers={"x-n": 3}, bearer=Secret("token-1")).look(probe(http=web))
    assert outputs.values["status"] == 503
    assert outputs.values["headers"] == Map({"content-type": "application/json", "x-site": "a"})
    assert outputs.values["json"] == Map({"writable": False})
    assert outputs.values["latency"] == Duration(1500)
    (request,) = web.read_requests
    assert request.timeout == LIMIT
    assert request.headers["x-n"] == "3"
    assert isinstance(request.headers["authorization"], Secret)
    assert request.headers["authorization"].reveal() == "Bearer token-1"


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (answered(body=b"\xe4", headers={"content-type": "text/plain; charset=iso-8859-1"}), "ä"),
        (answered(body="ä".encode()), "ä"),
        (answered(body=b"\xe4"), "the body is not UTF-8 text"),
        (answered(body=b"x", headers={"content-type": "text/plain; charset=klingon"}), "the body is not klingon text"),
        (HttpReply(reach=Reach.COMPLETE, status=200, body=b"x", cut=True), "the body is longer than 1 MiB"),
    ],
)
def test_a_body_is_text_or_has_no_value(reply: HttpReply, body: str) -> None:
    outputs = HttpCheck(url="http://h/").look(probe(http=Web(reply)))
    assert str(outputs.values["body"]) == body
    assert outputs.values["status"] == 200
    assert outputs.streams["body"] == reply.body


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://h/"},
        {"url": "h/"},
        {"url": "http://"},
        {"url": "http://li:pw@h/"},
        {"url": "http://h/a b"},
        {"url": "http://h:0x/"},
        {"url": "http://h/", "headers": {"a b": "x"}},
        {"url": "http://h/", "headers": {"a": "x\r\nB: y"}},
        {"url": "http://h/", "headers": {"a": Secret("x\r\nB: yyyy")}},
        {"url": "http://h/", "headers": {"a": None}},
    ],
)
def test_what_cannot_be_sent_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        HttpCheck(**fields)


def test_an_act_is_sent_once_with_its_key() -> None:
    web = Web(answered(201))
    kind = HttpRequestKind(url="http://h/off", method="POST", json=Map({"reason": "failover"}))
    outputs = kind.execute(act(probe(), http=web))
    assert outputs.values["status"] == 201
    (request,) = web.sent_requests
    assert request.headers == {"content-type": "application/json", "idempotency-key": "k" * 64}
    assert request.body == b'{"reason": "failover"}'
    assert kind.describe(Facts()).splitlines()[:2] == [
        "POST http://h/off", "idempotency-key: (the key of this step in this run)",
    ]  # fmt: skip


def test_a_key_of_the_authors_own_is_kept() -> None:
    web = Web(answered())
    HttpRequestKind(url="http://h", method="PUT", headers={"Idempotency-Key": "mine"}).execute(act(probe(), http=web))
    assert web.sent_requests[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(("sent", "reach"), [(True, Reach.TIMEOUT), (False, Reach.UNREACHABLE)])
@pytest.mark.parametrize("how", [Reach.TIMEOUT, Reach.UNREACHABLE])
def test_a_lost_answer_says_whether_it_may_have_been_acted_upon(*, sent: bool, reach: Reach, how: Reach) -> None:
    web = Web(HttpReply(reach=how, because="the line broke", sent=sent))
    outputs = HttpRequestKind(url="http://h", method="POST").execute(act(probe(), http=web))
    assert outputs.reach is reach
    assert all(isinstance(value, Unknown) for value in outputs.values.values())
    assert len(web.sent_requests) == 1


def test_a_look_sends_no_post() -> None:
    web = Web(answered())
    outputs = HttpRequestKind(url="http://h", method="POST").look(probe(http=web))
    assert (web.read_requests, web.sent_requests) == ([], [])
    assert outputs.because == "a look sends GET or HEAD only, not POST"
    assert HttpRequestKind(url="http://h").look(probe(http=web)).values["status"] == 200


@pytest.mark.parametrize("fields", [{"body": "a", "json": 1, "method": "POST"}, {"body": "a"}, {"json": Map({})}])
def test_a_body_stands_where_it_may(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        HttpRequestKind(url="http://h", **fields)


def test_the_digest_covers_what_is_sent() -> None:
    base = HttpRequestKind(url="http://h", method="POST", body="a").digest(Facts())
    for other in ({"url": "http://i"}, {"method": "PUT"}, {"body": "b"}, {"headers": {"x": "y"}}):
        fields: dict[str, Any] = {"url": "http://h", "method": "POST", "body": "a", **other}
        assert HttpRequestKind(**fields).digest(Facts()) != base


# --- tcp --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(PortState))
def test_a_port_is_in_one_state(state: PortState) -> None:
    reach = Reach.TIMEOUT if state is PortState.SILENT else Reach.COMPLETE
    ports = Ports(PortReply(reach=reach, state=state, latency=Duration(900)))
    outputs = TcpCheck(host="db-primary", port=5432).look(
        probe(dialer=ports, facts=Facts(names={"db-primary": "10.0.0.1"}))
    )
    assert ports.asked == [("10.0.0.1", 5432)]
    assert outputs.reach is reach
    assert outputs.values["state"] == state.value
    assert [name for name in ("open", "refused", "silent") if outputs.values[name] is True] == [state.value]
    assert isinstance(outputs.values["latency"], Unknown) == (state is PortState.SILENT)


def test_a_vantage_that_cannot_tell_says_nothing_about_the_port() -> None:
    outputs = TcpCheck(host="h", port=1).look(probe(dialer=Ports()))
    assert outputs.reach is Reach.UNREACHABLE
    assert all(isinstance(value, Unknown) for value in outputs.values.values())


@pytest.mark.parametrize("fields", [{"host": "h", "port": 0}, {"host": "h", "port": 65536}, {"host": "", "port": 1}])
def test_ports_that_are_none_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        TcpCheck(**fields)


# --- notify -----------------------------------------------------------------------------------------------------------


def told(notifier: Notices, **fields: Any) -> Any:  # noqa: ANN401 - fields and outputs of any shape
    base: dict[str, Any] = {"to": ("oncall", "mail"), "text": "It is down.\nMore."}
    return Notify(**(base | fields)).execute(act(probe(), notifier=notifier))


def test_each_channel_gets_the_message_once_under_its_own_stable_key() -> None:
    first, again = Notices(), Notices()
    outputs = told(first)
    told(again)
    assert [message.channel for message in first.sent] == ["oncall", "mail"]
    assert [message.subject for message in first.sent] == ["It is down.", "It is down."]
    assert first.sent == again.sent
    assert len({message.key for message in first.sent}) == 2
    assert outputs.values["delivered"] is True
    assert outputs.values["enough"] is True
    assert outputs.values["receipts"][0] == Map({"channel": "oncall", "sent": True, "doubt": False, "because": ""})
    assert sum(limit.micros for limit in first.limits) <= 2 * LIMIT.micros


@pytest.mark.parametrize(
    ("doubt", "required", "enough", "reach"),
    [
        (False, False, True, Reach.COMPLETE),
        (True, False, True, Reach.COMPLETE),
        (False, True, False, Reach.COMPLETE),
        (True, True, False, Reach.TIMEOUT),
    ],
)
def test_a_channel_that_does_not_take_it(*, doubt: bool, required: bool, enough: bool, reach: Reach) -> None:
    notifier = Notices({"oncall": Receipt(channel="oncall", sent=False, doubt=doubt, because="HTTP 500")})
    outputs = told(notifier, required=required)
    assert len(notifier.sent) == 2, "one channel that fails does not keep the others waiting"
    assert outputs.values["delivered"] is False
    assert outputs.values["enough"] is enough
    assert outputs.reach is reach
    assert "oncall: " in outputs.because
    assert "HTTP 500" in outputs.because


def test_a_preview_names_channels_that_are_not_there() -> None:
    assert Notify(to=("oncall",), text="x").preview(probe()).change is Change.WOULD_CHANGE
    strange = Notify(to=("oncall", "pigeon"), text="x").preview(probe())
    assert (strange.change, strange.because) == (Change.CANNOT_TELL, "the inventory has no channel pigeon")
    assert Notify(to=("oncall",), text="x").verify(probe()).seen is Seen.UNKNOWN


@pytest.mark.parametrize(
    "fields", [{"to": (), "text": "x"}, {"to": ("a", "a"), "text": "x"}, {"to": ("a",), "text": " "}]
)
def test_a_message_needs_a_channel_and_a_text(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        Notify(**fields)


# --- records.compare --------------------------------------------------------------------------------------------------


def records(*plain: object) -> tuple[Value, ...]:
    value = from_plain(list(plain))
    assert isinstance(value, tuple)
    return value


def compared(left: tuple[Value, ...], right: tuple[Value, ...], **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - outputs of any shape
    return dict(RecordsCompare(left=left, right=right, **{"key": "n", **fields}).look(probe()).values)


def test_differences_are_listed_by_key() -> None:
    left = records({"n": "A", "sum": 1}, {"n": "B", "sum": 2}, {"n": "C", "sum": 3, "x": 1})
    right = records({"n": "D", "sum": 4}, {"n": "C", "sum": 5, "x": 1}, {"n": "A", "sum": 1})
    values = compared(left, right)
    assert values["same"] is False
    assert values["missing"] == (left[1],)
    assert values["extra"] == (right[0],)
    assert values["different"] == (Map({"key": "C", "left": left[2], "right": right[1], "fields": ("sum",)}),)
    assert values["counts"] == Map({"left": 3, "right": 3, "missing": 1, "extra": 1, "different": 1, "twice": 0})


def test_only_the_fields_named_are_compared() -> None:
    left, right = records({"n": 1, "a": 1, "b": 1}), records({"n": 1, "a": 1, "b": 2})
    assert compared(left, right, fields=("a",))["same"] is True
    assert compared(left, right, fields=("a", "b"))["same"] is False
    assert compared(left, records({"n": 1, "a": 1}), fields=("a", "c"))["same"] is True
    assert compared(left, records({"n": 1, "b": 1}), fields=("a",))["same"] is False


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1200", "1200", True),
        ("1200", 1200, False),
        (True, 1, False),
        (False, None, False),
        ([1, {"a": True}], [1, {"a": True}], True),
        ([1, {"a": True}], [1, {"a": 1}], False),
        (None, None, True),
    ],
)
def test_types_count_and_numbers_are_equal_by_value(one: object, other: object, *, same: bool) -> None:
    assert compared(records({"n": 1, "v": one}), records({"n": 1, "v": other}))["same"] is same


def test_numbers_are_equal_by_value() -> None:
    from decimal import Decimal  # noqa: PLC0415 - one use

    left, right = records({"n": Decimal("1.0"), "v": Decimal("1200.00")}), records({"n": 1, "v": 1200})
    assert compared(left, right)["same"] is True


def test_a_key_that_stands_twice_is_no_agreement() -> None:
    values = compared(records({"n": 1}, {"n": 1}), records({"n": 1}))
    assert (values["same"], values["twice"]) == (False, ("1",))


@pytest.mark.parametrize("bad", [("text",), ({"m": 1},), ({"n": None},), ({"n": [1]},), ({"n": True},)])
def test_lists_that_are_no_records_are_refused(bad: tuple[object, ...]) -> None:
    with pytest.raises(FieldError):
        RecordsCompare(left=records(*bad), right=(), key="n")


@given(
    st.dictionaries(st.integers(0, 30), st.integers(0, 3), max_size=20),
    st.dictionaries(st.integers(0, 30), st.integers(0, 3), max_size=20),
)
def test_it_finds_what_sets_find(left: dict[int, int], right: dict[int, int]) -> None:
    values = compared(
        records(*({"n": n, "v": v} for n, v in left.items())), records(*({"n": n, "v": v} for n, v in right.items()))
    )
    assert {record["n"] for record in values["missing"]} == left.keys() - right.keys()
    assert {record["n"] for record in values["extra"]} == right.keys() - left.keys()
    assert {int(d["key"]) for d in values["different"]} == {n for n in left.keys() & right if left[n] != right[n]}
    assert values["same"] is (left == right)


def test_many_records_take_one_pass() -> None:
    count = 50_000
    left = records(*({"n": f"F1-{number:06}", "v": number} for number in range(count)))
    values = compared(left, tuple(reversed(left[7:])))
    assert values["counts"]["missing"] == 7
    assert values["counts"]["different"] == 0
