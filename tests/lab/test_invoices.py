import json
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drctl.lab.calls import call
from drctl.lab.invoices import BAD_RELEASE, Invoices
from drctl.lab.service import Running
from drctl.lab.tax import Tax
from tests.lab.cluster import Cluster, Services, ask, ask_list, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def tax(services: Services, tmp_path: Path) -> Running:
    return services.start(Tax, data=str(tmp_path / "tax.db"))


@pytest.fixture
def service(services: Services, tax: Running, database: dict[str, str]) -> Running:
    running = services.start(Invoices, site="a", release="2.0.0", db=database, tax=tax.url)
    wait_until("the service is healthy", lambda: ask("GET", f"{running.url}/healthz")[0] == 200)
    return running


def issue(service: Running, key: str, company: str = "Company 01", amount: str = "100.00") -> dict[str, object]:
    status, body = ask("POST", f"{service.url}/invoices", {"company": company, "amount": amount, "key": key})
    assert status == 201, body
    return body


def test_an_invoice_is_issued_found_amended_and_voided_and_the_authority_has_every_step(
    service: Running, tax: Running, cluster: Cluster
) -> None:
    made = issue(service, "k1", amount="99.5")
    number = made["number"]
    assert number == f"F{cluster.timeline()}-000001"
    assert (made["amount"], made["state"]) == ("99.50", "issued")
    assert ask("GET", f"{service.url}/invoices/{number}")[1] == made

    status, amended = ask("PUT", f"{service.url}/invoices/{number}", {"amount": "80", "key": "k2"})
    assert (status, amended["amount"], amended["state"]) == (200, "80.00", "amended")
    status, voided = ask("POST", f"{service.url}/invoices/{number}/void", {"key": "k3", "amount": "80"})
    assert (status, voided["state"]) == (200, "void")

    versions = ask_list(f"{tax.url}/records/{number}/versions")
    assert [(one["amount"], one["state"]) for one in versions] == [
        ("99.50", "issued"),
        ("80.00", "amended"),
        ("80.00", "void"),
    ]
    assert ask_list(f"{service.url}/invoices/export") == ask_list(f"{tax.url}/records")
    assert ask("PUT", f"{service.url}/invoices/{number}", {"amount": "1"})[0] == 409
    assert ask("POST", f"{service.url}/invoices/{number}/void", {"amount": "81"})[0] == 409
    assert ask("GET", f"{service.url}/invoices/F1-999999")[0] == 404


def test_numbering_is_unbroken_and_keys_act_once_under_parallel_retries(service: Running, tax: Running) -> None:
    def press(key: str) -> tuple[str, str]:
        for _ in range(20):  # a service pressed this hard may say "busy"; a user tries again with the same key
            status, body = ask("POST", f"{service.url}/invoices", {"company": "C", "amount": "10", "key": key})
            if status != 503:
                break
        assert status == 201, body
        return key, str(body["number"])

    keys = [f"k{n // 3}" for n in range(180)]  # each of 60 requests sent three times at once
    with ThreadPoolExecutor(24) as pool:
        made = list(pool.map(press, keys))
    assert len(set(made)) == 60  # one number per key, whichever retry asked
    totals = ask("GET", f"{service.url}/invoices/totals")[1]
    assert (totals["count"], totals["sum"], totals["gaps"]) == (60, "600.00", 0)
    assert str(totals["first"]).endswith("-000001")
    assert str(totals["last"]).endswith("-000060")
    assert ask("GET", f"{tax.url}/totals")[1] == {"count": 60, "sum": "600.00", "voided": 0}


def totals(service: Running) -> dict[str, object]:
    return ask("GET", f"{service.url}/invoices/totals")[1]


def healthy(service: Running) -> bool:
    return ask("GET", f"{service.url}/healthz")[0] == 200


def test_without_the_authoritys_receipt_nothing_is_acknowledged_and_a_retry_finishes_it_once(
    service: Running, tax: Running
) -> None:
    number = issue(service, "k1")["number"]
    ask("POST", f"{tax.url}/outage", {"seconds": 600})
    wish = {"company": "Company 02", "amount": "5", "key": "k2"}
    for _ in range(2):
        status, body = ask("POST", f"{service.url}/invoices", wish)
        assert (status, "receipt" in str(body["error"])) == (503, True)
    assert ask("PUT", f"{service.url}/invoices/{number}", {"amount": "1", "key": "k3"})[0] == 503
    ask("POST", f"{tax.url}/outage", {"seconds": 0})
    assert str(issue(service, "k2", company="Company 02", amount="5")["number"]).endswith("-000002")
    assert ask("PUT", f"{service.url}/invoices/{number}", {"amount": "1", "key": "k3"})[0] == 200
    assert totals(service)["count"] == 2
    assert len(ask_list(f"{tax.url}/records/{number}/versions")) == 2
    assert ask_list(f"{service.url}/invoices/export") == ask_list(f"{tax.url}/records")


def test_a_key_is_for_one_request_and_remembers_an_invoice_that_is_gone(
    service: Running, cluster: Cluster, database: dict[str, str]
) -> None:
    number = issue(service, "k1")["number"]
    other = {"company": "Company 01", "amount": "7", "key": "k1"}
    assert ask("POST", f"{service.url}/invoices", other)[0] == 409
    cluster.sql("DELETE FROM invoices", database=database["database"])
    status, body = ask("POST", f"{service.url}/invoices", {"company": "Company 01", "amount": "100", "key": "k1"})
    assert (status, str(number) in str(body["error"])) == (409, True)
    assert totals(service)["gap_numbers"] == [number]  # a missing last number is a gap, too


def test_commits_that_wait_for_a_standby_end_in_503_and_the_retry_finishes_them_once(
    service: Running, cluster: Cluster, database: dict[str, str], tax: Running
) -> None:
    issue(service, "k0")
    cluster.alter("synchronous_standby_names", "nobody")
    try:
        wish = {"company": "Company 01", "amount": "100", "key": "k1"}
        status, body = ask("POST", f"{service.url}/invoices", wish)
        assert (status, "did not answer" in str(body["error"])) == (503, True)
        with ThreadPoolExecutor(30) as pool:  # users press on; the database must not fill with hanging connections
            again = pool.map(lambda n: ask("POST", f"{service.url}/invoices", wish | {"key": f"p{n}"})[0], range(30))
        assert set(again) == {503}
        assert len(cluster.pids(database["database"])) <= 11
        wait_until("the health page tells it", lambda: not healthy(service))
        health = ask("GET", f"{service.url}/healthz")[1]
        assert (health["database"], health["writable"]) == ("primary", False)
        assert "no standby?" in str(health["reason"])
        assert totals(service)["count"] == 1  # what is not replicated is not seen, and reads go on
        assert ask("GET", f"{tax.url}/totals")[1]["count"] == 1
    finally:
        cluster.alter("synchronous_standby_names", None)
    wait_until("the service is healthy again", lambda: healthy(service))
    assert str(issue(service, "k1")["number"]).endswith("-000002")
    assert (totals(service)["count"], totals(service)["gaps"]) == (2, 0)
    assert ask("GET", f"{tax.url}/totals")[1]["count"] == 2


def test_a_wait_for_the_standby_that_somebody_cancels_is_no_acknowledgement(
    service: Running, cluster: Cluster, tax: Running
) -> None:
    cluster.alter("synchronous_standby_names", "nobody")
    try:
        wish = {"company": "Company 01", "amount": "100", "key": "k1"}
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, "POST", f"{service.url}/invoices", wish)
            wait_until("the commit waits and is cancelled", cluster.cancel_commits)
            status, body = asked.result()
        assert (status, "not confirmed" in str(body["error"])) == (503, True)
        # It is committed here now, so a retry finds it; but its lock is a commit that has to wait as well.
        assert ask("POST", f"{service.url}/invoices", wish)[0] == 503
        assert ask("GET", f"{tax.url}/totals")[1]["count"] == 0
    finally:
        cluster.alter("synchronous_standby_names", None)
    wait_until("the service is healthy again", lambda: healthy(service))
    issue(service, "k1")
    assert ask("GET", f"{tax.url}/totals")[1]["count"] == totals(service)["count"] == 1


def test_a_database_that_hangs_is_told_within_seconds_and_found_again(
    service: Running, cluster: Cluster, database: dict[str, str]
) -> None:
    issue(service, "k0")
    pids = cluster.pids(database["database"])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wish = {"company": "Company 01", "amount": "100", "key": "k1"}
        assert ask("POST", f"{service.url}/invoices", wish)[0] == 503
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until("the service is healthy again", lambda: healthy(service))
    issue(service, "k1")
    assert (totals(service)["count"], totals(service)["gaps"]) == (2, 0)


def test_restarts_and_crashes_of_the_database_lose_no_acknowledged_invoice(
    service: Running, cluster: Cluster, tax: Running
) -> None:
    ending = threading.Event()
    acknowledged: dict[str, str] = {}

    def user(name: int) -> None:
        for n in range(100_000):
            wish = {"company": f"Company {name}", "amount": "1", "key": f"u{name}-{n}"}
            status = 0
            while status != 201:
                if ending.is_set():
                    return
                status, body = ask("POST", f"{service.url}/invoices", wish)
                assert status in {201, 503}, body
            acknowledged[wish["key"]] = str(body["number"])

    with ThreadPoolExecutor(4) as pool:
        users = [pool.submit(user, n) for n in range(4)]
        try:
            for number in (signal.SIGINT, signal.SIGQUIT):
                least = len(acknowledged) + 30
                wait_until("invoices are acknowledged", lambda least=least: len(acknowledged) >= least)  # type: ignore[misc]
                cluster.stop(number)
                assert ask("GET", f"{service.url}/healthz")[1]["database"] == "unreachable"
                cluster.start()
            least = len(acknowledged) + 30
            wait_until("invoices are acknowledged again", lambda: len(acknowledged) >= least)
        finally:
            ending.set()
        for one in users:
            one.result()
    kept = {one["key"]: one["number"] for one in ask_list(f"{service.url}/invoices/export")}
    assert acknowledged.items() <= kept.items()
    assert len(set(acknowledged.values())) == len(acknowledged)
    assert totals(service)["gaps"] == 0
    records = {one["number"] for one in ask_list(f"{tax.url}/records")}
    assert set(acknowledged.values()) <= records


def test_a_standby_refuses_writes_at_once_and_begins_a_new_series_when_promoted(
    service: Running, cluster: Cluster, tax: Running
) -> None:
    first = issue(service, "k1")
    timeline = cluster.timeline()
    cluster.stop()
    cluster.start(standby=True)
    try:
        wait_until(
            "the service sees a standby", lambda: ask("GET", f"{service.url}/healthz")[1]["database"] == "standby"
        )
        status, health = ask("GET", f"{service.url}/healthz")
        assert (status, health["status"], health["writable"]) == (503, "unavailable", False)
        assert health["heartbeat_at"] is not None  # what bounds the loss when the primary is dead
        number = first["number"]
        for method, path, body in (
            ("POST", "/invoices", {"company": "Company 01", "amount": "1", "key": "k2"}),
            ("POST", "/invoices", {"company": "Company 01", "amount": "100.00", "key": "k1"}),
            ("PUT", f"/invoices/{number}", {"amount": "1"}),
            ("POST", f"/invoices/{number}/void", {}),
            ("POST", "/invoices/import", ask_list(f"{tax.url}/records")),
            ("DELETE", "/synthetic", None),
        ):
            status, answer = ask(method, service.url + path, body)
            assert (status, "read-only" in str(answer["error"])) == (503, True), path
        assert ask("GET", f"{service.url}/invoices/{number}")[1]["amount"] == "100.00"
    finally:
        cluster.promote()
    wait_until("the promoted database is healthy", lambda: healthy(service))
    assert issue(service, "k1")["number"] == number
    assert issue(service, "k2")["number"] == f"F{timeline + 1}-000001"
    assert totals(service)["gaps"] == 0
    assert totals(service)["last"] == f"F{timeline + 1}-000001"


def test_a_database_made_read_only_is_told_by_the_health_page(service: Running, cluster: Cluster) -> None:
    cluster.alter("default_transaction_read_only", "on")
    try:
        wait_until("the health page tells it", lambda: not healthy(service))
        assert ask("POST", f"{service.url}/invoices", {"company": "C", "amount": "1", "key": "k"})[0] == 503
        assert "read-only" in str(ask("GET", f"{service.url}/healthz")[1]["reason"])
    finally:
        cluster.alter("default_transaction_read_only", None)
    wait_until("the service is healthy again", lambda: healthy(service))


def test_synthetic_records_have_their_own_series_and_count_nowhere(service: Running, tax: Running) -> None:
    issue(service, "k1")
    made = issue(service, "s1", company="SYNTHETIC check")
    issue(service, "k2")
    assert str(made["number"]).startswith("S")
    assert totals(service)["count"] == ask("GET", f"{tax.url}/totals")[1]["count"] == 2
    assert totals(service)["gaps"] == 0
    assert ask("GET", f"{service.url}/invoices/totals?synthetic=1")[1]["count"] == 3
    assert len(ask_list(f"{service.url}/invoices/export")) == len(ask_list(f"{tax.url}/records")) == 2
    assert len(ask_list(f"{service.url}/invoices/export?synthetic=1")) == 3
    assert ask("PUT", f"{service.url}/invoices/{made['number']}", {"company": "Real"})[0] == 409
    assert ask("DELETE", f"{service.url}/synthetic")[1] == {"deleted": 1, "tax": {"deleted": 1}}
    assert len(ask_list(f"{tax.url}/records?synthetic=1")) == 2
    again = issue(service, "s1", company="SYNTHETIC check")  # the key went with it, the number does not come back
    assert str(again["number"]).endswith("-000002")


def test_queries_by_company_date_and_key(service: Running) -> None:
    for n in range(4):
        body = {"company": f"Company {n % 2}", "amount": "1", "date": f"2026-01-0{n + 1}", "key": f"k{n}"}
        assert ask("POST", f"{service.url}/invoices", body)[0] == 201
    list_at = f"{service.url}/invoices"
    assert [one["key"] for one in ask_list(f"{list_at}?company=Company%201")] == ["k3", "k1"]
    assert [one["key"] for one in ask_list(f"{list_at}?date=2026-01-03")] == ["k2"]
    assert [one["key"] for one in ask_list(f"{list_at}?key=k0")] == ["k0"]
    assert [one["key"] for one in ask_list(f"{list_at}?limit=2")] == ["k3", "k2"]
    assert call("GET", f"{list_at}?limit=0")[0] == 400
    assert call("GET", f"{list_at}?date=yesterday")[0] == 400
    at = ask_list(f"{list_at}?key=k2")[0]["at"]
    assert [one["key"] for one in ask_list(f"{list_at}/export?since={at}")] == ["k2", "k3"]
    assert ask_list(f"{list_at}/export?fields=amount,number&since={at}")[0] == {
        "number": ask_list(f"{list_at}?key=k2")[0]["number"],
        "amount": "1.00",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 5},
        {"amount": "1.234"},
        {"amount": "-1"},
        {"amount": "0.00"},
        {"amount": "1e3"},
        {"company": ""},
        {"company": "a\nb"},
        {"company": None},
        {"date": "2026-02-30"},
        {"date": 5},
        {"key": ""},
        {"key": None},
        {"key": "a b"},
    ],
)
def test_a_wrong_request_is_refused_with_400_and_leaves_no_gap(service: Running, wrong: dict[str, object]) -> None:
    body = {"company": "Company 01", "amount": "1", "key": "k1"} | wrong
    status, answer = ask("POST", f"{service.url}/invoices", body)
    assert (status, list(answer)) == (400, ["error"])
    assert totals(service)["count"] == totals(service)["gaps"] == 0


def test_import_enters_missing_corrects_different_and_keeps_newer(service: Running, cluster: Cluster) -> None:
    series = f"F{cluster.timeline()}"
    first, second = issue(service, "k1"), issue(service, "k2")
    old = ask_list(f"{service.url}/invoices/export")
    assert ask("PUT", f"{service.url}/invoices/{second['number']}", {"amount": "3"})[0] == 200
    wrong = old[0] | {"amount": "77.00"}
    missing = old[0] | {"number": f"{series}-000004", "key": "k4"}
    listed = [wrong, old[1], missing, missing | {"amount": "1.00", "at": "2020-01-01T00:00:00.000Z"}]
    done = ask("POST", f"{service.url}/invoices/import", {"invoices": listed})[1]
    assert done == {"inserted": 1, "corrected": 1, "unchanged": 0, "kept_newer": 1, "key_used_twice": []}
    assert ask("GET", f"{service.url}/invoices/{first['number']}")[1]["amount"] == "77.00"
    assert ask("GET", f"{service.url}/invoices/{second['number']}")[1]["amount"] == "3.00"
    assert ask("GET", f"{service.url}/invoices/{missing['number']}")[1]["amount"] == "100.00"  # of two the newer
    assert totals(service)["gap_numbers"] == [f"{series}-000003"]
    assert str(issue(service, "k5")["number"]).endswith("-000005")  # a number that was entered is not given out again
    assert issue(service, "k4")["number"] == missing["number"]  # and its request counts as carried out

    untimed = {name: text for name, text in old[0].items() if name != "at"}
    twice = untimed | {"number": f"{series}-000003", "key": "k2"}
    done = ask("POST", f"{service.url}/invoices/import", [untimed, twice])[1]
    assert done == {
        "inserted": 1,
        "corrected": 1,
        "unchanged": 0,
        "kept_newer": 0,
        "key_used_twice": [f"{series}-000003"],
    }
    assert ask("POST", f"{service.url}/invoices/import", [untimed])[1]["unchanged"] == 1
    assert ask("POST", f"{service.url}/invoices/import", [{"number": "x"}])[0] == 400
    assert ask("POST", f"{service.url}/invoices/import", {"invoices": 3})[0] == 400


def test_amends_that_race_end_with_one_content_on_both_sides(service: Running, tax: Running) -> None:
    number = issue(service, "k1")["number"]
    with ThreadPoolExecutor(12) as pool:
        amounts = [f"{n}.00" for n in range(1, 41)]
        ends = pool.map(
            lambda a: ask("PUT", f"{service.url}/invoices/{number}", {"amount": a, "key": f"a{a}"})[0], amounts
        )
    assert set(ends) == {200}
    assert ask_list(f"{service.url}/invoices/export") == ask_list(f"{tax.url}/records")
    assert len(ask_list(f"{tax.url}/records/{number}/versions")) >= 2


def test_the_bad_release_cleans_up_once_and_a_good_one_has_no_cleanup(
    services: Services, service: Running, database: dict[str, str], tax: Running
) -> None:
    for n in range(12):
        issue(service, f"k{n}")
    assert ask("POST", f"{service.url}/admin/cleanup")[0] == 404
    bad = services.start(
        Invoices, site="a", release=BAD_RELEASE, db=database, tax=tax.url, cleanup={"delete": 3, "alter": 2}
    )
    wait_until("the cleanup is logged", lambda: "cleanup: deleted 3 altered 2" in services.log("invoices"))
    wait_until("it goes on serving", lambda: healthy(bad))
    assert totals(bad)["count"] == 9
    assert totals(bad)["gaps"] == 3
    begins = next(line for line in services.log("invoices").splitlines() if line.endswith("cleanup: begins"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN release 2\.1\.0-bad cleanup: begins", begins)
    assert ask("POST", f"{bad.url}/admin/cleanup")[1]["deleted"] == 3  # when it is told to, again


def test_three_thousand_invoices_stay_below_a_mebibyte_and_go_in_at_once(service: Running, cluster: Cluster) -> None:
    series = f"F{cluster.timeline()}"
    listed = [
        {
            "number": f"{series}-{n:06d}",
            "company": f"Company {n % 40:02d}",
            "amount": "9999.99",
            "date": "2026-11-23",
            "state": "issued",
            "key": f"t{2**31:x}-{2**60:x}-{n}",
            "at": "2026-11-23T15:00:00.123Z",
        }
        for n in range(1, 3001)
    ]
    assert ask("POST", f"{service.url}/invoices/import", {"invoices": listed})[1]["inserted"] == 3000
    assert ask("POST", f"{service.url}/invoices/import", listed)[1]["unchanged"] == 3000
    exported = ask_list(f"{service.url}/invoices/export")
    assert exported == listed
    assert len(json.dumps(exported, separators=(",", ":"))) < 2**20
    assert len(ask_list(f"{service.url}/invoices/digest")) == 30
    assert (totals(service)["count"], totals(service)["sum"]) == (3000, "29999970.00")
