import random
import threading
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.lab.invoices import BAD_RELEASE, Invoices
from drctl.lab.service import Answer, Log, Refusal, Request, Routes, Running
from drctl.lab.tax import Tax
from drctl.lab.traffic import Traffic
from drctl.lab.traffic_ledger import Content, Ledger, Outages, compare
from tests.lab.cluster import Services, ask, ask_list, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

RNG = random.Random(1)
A = Content(company="A", amount="1.00", date="2026-01-01", state="issued")


def test_a_change_without_an_acknowledgement_may_or_may_not_have_happened() -> None:
    ledger = Ledger()
    ledger.issued("F1-000001", "k1", A)
    change = ledger.begin_change(RNG, void=True)
    assert change is not None
    assert ledger.begin_change(RNG, void=True) is None  # one change at a time
    ledger.unchanged(change, certain=False)
    expected = ledger.freeze()
    for found in (A, change.after):
        assert compare(expected, {"F1-000001": found}) == ([], [])
    assert compare(expected, {"F1-000001": Content(company="A", amount="2.00", date=A.date, state="issued")}) == (
        [],
        ["F1-000001"],
    )
    assert compare(expected, {}) == (["F1-000001"], [])


def test_an_acknowledged_change_leaves_one_right_content_and_a_frozen_ledger_begins_none() -> None:
    ledger = Ledger()
    ledger.issued("F1-000001", "k1", A)
    change = ledger.begin_change(RNG, void=False)
    assert change is not None
    ledger.changed(change)
    assert compare(ledger.freeze(), {"F1-000001": A}) == ([], ["F1-000001"])
    assert ledger.begin_change(RNG, void=False) is None
    ledger.thaw()
    assert ledger.begin_change(RNG, void=False) is not None


def test_a_number_given_out_twice_is_noticed() -> None:
    ledger = Ledger()
    ledger.issued("F1-000001", "k1", A)
    ledger.issued("F1-000001", "k1", A)
    assert ledger.reused() == []
    ledger.issued("F1-000001", "k2", A)
    assert ledger.reused() == ["F1-000001"]


def test_an_outage_reaches_from_the_first_refusal_to_the_first_of_a_row_of_acknowledgements() -> None:
    outages = Outages(in_a_row=2)
    outages.acknowledged(10.0)
    outages.refused(9.0)  # sent before the last acknowledgement: users were served until 10
    outages.acknowledged(12.0)
    outages.refused(12.5)
    report = outages.report(15.0)
    assert report["outages"] == [{"from": "1970-01-01T00:00:10.000Z", "to": None, "seconds": 5.0}]
    outages.acknowledged(20.0)
    outages.acknowledged(21.0)
    report = outages.report(99.0)
    assert report["outages"] == [
        {"from": "1970-01-01T00:00:10.000Z", "to": "1970-01-01T00:00:20.000Z", "seconds": 10.0}
    ]
    assert (report["outage_seconds"], report["refusals"]) == (10.0, 2)


@given(st.lists(st.booleans()), st.integers(1, 6))
def test_outages_never_overlap_and_lie_within_what_happened(goods: list[bool], row: int) -> None:
    outages = Outages(in_a_row=row)
    for at, good in enumerate(goods):
        if good:
            outages.acknowledged(float(at))
        else:
            outages.refused(float(at))
    report = outages.report(float(len(goods)))
    spans = report["outages"]
    assert isinstance(spans, list)
    assert [one["from"] for one in spans] == sorted(one["from"] for one in spans)
    assert all(one["to"] is None or one["to"] >= one["from"] for one in spans)
    assert all(before["to"] <= after["from"] for before, after in pairwise(spans))
    assert bool(spans) == (False in goods)


class Shop:
    """An invoice service that is only a dict, and does what a test tells it to: refuse, lose answers, lose invoices."""

    def __init__(self, _config: object, _log: Log) -> None:
        self.headers: Mapping[str, str] = {}
        self.rows: dict[str, dict[str, str]] = {}
        self.keys: dict[str, str] = {}
        self.lock = threading.Lock()
        self.refuse = False
        self.lose_answers = 0
        self.routes = Routes()
        self.routes.add("POST", "/invoices", self._issue)
        self.routes.add("GET", "/invoices/export", lambda _request: Answer(body=[*self.rows.values()]))

    def _issue(self, request: Request) -> Answer:
        with self.lock:
            if self.refuse:
                raise Refusal(503, "refused")
            body = request.json_object()
            key = str(body.pop("key"))
            number = self.keys.setdefault(key, f"F1-{len(self.keys) + 1:06d}")
            row = {"number": number, "company": "", "amount": "", "date": "", "state": "issued"}
            self.rows[number] = row | {name: str(text) for name, text in body.items()}
            if self.lose_answers > 0:
                self.lose_answers -= 1
                raise Refusal(503, "done, but not acknowledged")
            return Answer(status=201, body=self.rows[number])

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def extra_ready(self) -> dict[str, object]:
        return {}


def counts(traffic: Running) -> dict[str, int]:
    return {name: value for name, value in ask("GET", f"{traffic.url}/status")[1].items() if isinstance(value, int)}


def audit(traffic: Running) -> dict[str, object]:
    status, body = ask("POST", f"{traffic.url}/audit")
    assert status == 200, body
    return body


@pytest.mark.lab
def test_users_retry_with_the_same_key_and_count_refusals_outage_and_loss(services: Services) -> None:
    shop_at = services.start(Shop)
    shop = shop_at._program
    assert isinstance(shop, Shop)
    shop.lose_answers = 7
    traffic = services.start(Traffic, target=shop_at.url, rate=200, amends=0, voids=0, seed=1)
    wait_until("30 are acknowledged", lambda: counts(traffic)["acknowledged"] >= 30)
    shop.refuse = True
    wait_until("users are refused", lambda: counts(traffic)["refusals"] >= 12)
    before = counts(traffic)["acknowledged"]
    shop.refuse = False
    wait_until("users are served again", lambda: counts(traffic)["acknowledged"] >= before + 20)

    status, paused = ask("POST", f"{traffic.url}/pause")
    assert (status, paused["running"]) == (200, False)
    outages = paused["outages"]
    assert isinstance(outages, list)
    assert len(outages) == 2
    assert all(one["to"] for one in outages)
    assert len(shop.rows) - 4 <= counts(traffic)["acknowledged"] <= len(shop.rows)
    assert audit(traffic)["lost"] == 0

    told = min(shop.rows)
    shop.rows.pop(told)
    shop.rows[min(shop.rows)]["amount"] = "0.01"
    found = audit(traffic)
    assert (found["lost"], found["altered"], found["lost_numbers"]) == (1, 1, [told])
    assert ask("POST", f"{traffic.url}/resume")[1]["running"] is True
    ask("POST", f"{traffic.url}/stop")
    assert ask("POST", f"{traffic.url}/resume")[0] == 409


@pytest.mark.lab
def test_the_whole_story_from_a_bad_release_to_a_restore_from_the_authority(
    services: Services, database: dict[str, str], tmp_path: Path
) -> None:
    tax = services.start(Tax, data=str(tmp_path / "tax.db"))
    place = {"site": "a", "db": database, "tax": tax.url}
    service = services.start(Invoices, release="2.0.0", **place)
    traffic = services.start(
        Traffic, target=service.url, tax=tax.url, rate=250, amends=0.1, voids=0.1, seed=7, workers=6
    )
    enough = {"acknowledged": 250, "amended": 15, "voided": 15}
    wait_until("enough traffic", lambda: all(counts(traffic)[name] >= least for name, least in enough.items()))
    assert {name: audit(traffic)[name] for name in ("lost", "altered", "tax_lost", "tax_altered")} == {
        "lost": 0,
        "altered": 0,
        "tax_lost": 0,
        "tax_altered": 0,
    }

    # The bad release is deployed beside the good one, on the same database. (Users rest: one who amends a spoiled
    # invoice heals it, and the counts below are to be exact.)
    ask("POST", f"{traffic.url}/pause")
    bad = services.start(Invoices, release=BAD_RELEASE, cleanup={"delete": 30, "alter": 20}, **place)
    wait_until("the damage is done", lambda: "deleted 30 altered 20" in services.log("invoices"))
    damaged = audit(traffic)
    assert damaged["lost"] == 30
    assert damaged["altered"] == 20
    assert damaged["tax_lost"] == damaged["tax_altered"] == 0
    totals = ask("GET", f"{service.url}/invoices/totals")[1]
    assert totals["gaps"] == 30
    ask("POST", f"{traffic.url}/resume")
    already = counts(traffic)["acknowledged"]
    wait_until("users go on", lambda: counts(traffic)["acknowledged"] >= already + 30)
    services.stop(bad)

    # Restore from the external record while users go on.
    status, done = ask("POST", f"{service.url}/invoices/import", ask_list(f"{tax.url}/records"))
    assert (status, done["inserted"], done["key_used_twice"]) == (200, 30, [])
    assert 1 <= int(str(done["corrected"])) <= 20
    assert {name: audit(traffic)[name] for name in ("lost", "altered", "reused")} == {
        "lost": 0,
        "altered": 0,
        "reused": 0,
    }
    ask("POST", f"{traffic.url}/stop")
    records = ask_list(f"{tax.url}/records")
    assert ask("POST", f"{service.url}/invoices/import", {"invoices": records})[1]["unchanged"] == len(records)
    assert ask_list(f"{service.url}/invoices/export") == records
    assert ask_list(f"{service.url}/invoices/digest?bucket=50") == ask_list(f"{tax.url}/digest?bucket=50")
    totals = ask("GET", f"{service.url}/invoices/totals")[1]
    assert {name: totals[name] for name in ("count", "sum", "voided")} == ask("GET", f"{tax.url}/totals")[1]
    assert totals["gaps"] == 0
