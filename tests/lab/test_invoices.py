from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drctl.lab.invoices import Invoices
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
    keys = [f"k{n % 60}" for n in range(180)]  # each of 60 requests sent three times, all at once
    with ThreadPoolExecutor(24) as pool:
        made = list(pool.map(lambda key: (key, issue(service, key, amount="10")["number"]), keys))
    assert len(set(made)) == 60  # one number per key, whichever retry asked
    totals = ask("GET", f"{service.url}/invoices/totals")[1]
    assert (totals["count"], totals["sum"], totals["gaps"]) == (60, "600.00", 0)
    assert str(totals["first"]).endswith("-000001")
    assert str(totals["last"]).endswith("-000060")
    assert ask("GET", f"{tax.url}/totals")[1] == {"count": 60, "sum": "600.00", "voided": 0}
