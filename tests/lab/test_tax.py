from collections.abc import Mapping
from pathlib import Path

import pytest

from drctl.lab.records import FIELDS
from drctl.lab.service import Running
from drctl.lab.tax import Tax
from tests.lab.cluster import Services, ask, ask_list

pytestmark = pytest.mark.lab


@pytest.fixture
def tax(services: Services, tmp_path: Path) -> Running:
    return services.start(Tax, data=str(tmp_path / "tax.db"))


def record(number: str = "F1-000001", second: int = 1, **more: str) -> Mapping[str, str]:
    return {
        "number": number,
        "company": "Company 01",
        "amount": "10.00",
        "date": "2026-11-23",
        "state": "issued",
        "key": f"k-{number}",
        "at": f"2026-11-23T15:00:{second:02d}.000Z",
    } | more


def report(tax: Running, one: Mapping[str, str]) -> tuple[int, dict[str, object]]:
    return ask("POST", f"{tax.url}/records", one)


def test_a_report_is_idempotent_and_an_older_one_never_replaces_a_newer(tax: Running) -> None:
    status, first = report(tax, record(second=2))
    assert (status, first["result"]) == (201, "recorded")
    assert report(tax, record(second=2)) == (200, first | {"result": "known"})
    assert report(tax, record(second=3, amount="20.00", state="amended"))[1]["result"] == "recorded"
    assert report(tax, record(second=1, amount="5.00"))[1]["result"] == "older"
    assert ask_list(f"{tax.url}/records") == [record(second=3, amount="20.00", state="amended")]
    assert len(ask_list(f"{tax.url}/records/F1-000001/versions")) == 3
    assert list(ask("GET", f"{tax.url}/records/F1-000001")[1]) == list(FIELDS)


def test_another_content_of_the_same_version_is_refused(tax: Running) -> None:
    report(tax, record())
    status, body = report(tax, record(amount="11.00"))
    assert (status, "another content" in str(body["error"])) == (409, True)
    assert ask_list(f"{tax.url}/records") == [record()]


def test_a_number_that_was_given_out_before_is_refused(tax: Running) -> None:
    report(tax, record())
    status, body = report(tax, record(second=9, key="another"))
    assert (status, "given out before" in str(body["error"])) == (409, True)
    assert ask_list(f"{tax.url}/records") == [record()]


def test_totals_lists_and_their_parameters(tax: Running) -> None:
    for one in (
        record("F10-000001", 3, amount="0.10"),
        record("F2-000002", 2, amount="0.20"),
        record("F2-000001", 1, state="void"),
        record("S1-000001", 4, company="SYNTHETIC x"),
    ):
        assert report(tax, one)[0] == 201
    assert [one["number"] for one in ask_list(f"{tax.url}/records")] == ["F2-000001", "F2-000002", "F10-000001"]
    assert ask("GET", f"{tax.url}/totals")[1] == {"count": 3, "sum": "0.30", "voided": 1}
    assert ask("GET", f"{tax.url}/totals?synthetic=1")[1] == {"count": 4, "sum": "10.30", "voided": 1}
    assert [one["number"] for one in ask_list(f"{tax.url}/records?state=void")] == ["F2-000001"]
    late = ask_list(f"{tax.url}/records?since=2026-11-23T16:00:02%2B01:00&fields=number")
    assert late == [{"number": "F2-000002"}, {"number": "F10-000001"}]
    assert ask("GET", f"{tax.url}/records?since=yesterday")[0] == 400
    assert ask("GET", f"{tax.url}/records?fields=number,secret")[0] == 400
    assert [one["from"] for one in ask_list(f"{tax.url}/digest?bucket=1")] == ["F2-000001", "F2-000002", "F10-000001"]
    assert ask("DELETE", f"{tax.url}/synthetic")[1] == {"deleted": 1}


@pytest.mark.parametrize(
    "wrong", [{"number": "7"}, {"amount": "x"}, {"state": "gone"}, {"at": "2026-11-23"}, {"key": ""}]
)
def test_a_malformed_report_is_refused(tax: Running, wrong: dict[str, str]) -> None:
    assert report(tax, {**record(), **wrong})[0] == 400
    assert ask_list(f"{tax.url}/records") == []


def test_the_records_survive_a_restart_of_the_authority(services: Services, tmp_path: Path) -> None:
    first = services.start(Tax, data=str(tmp_path / "tax.db"))
    report(first, record())
    services.stop(first)
    assert ask_list(f"{services.start(Tax, data=str(tmp_path / 'tax.db')).url}/records") == [record()]
