"""Fields of which one is given: which are given is known before any of them has a value."""

import pytest

from tests.loading.documents import load_steps, said

LATER = '"${{ run.id }}"'
PUT = "{id: it, on: db1, do: file.put, with: {path: /f, text: LATER, source: note}, undo: {none: a}}"
NOTHING = "{id: it, on: db1, do: file.put, with: {path: LATER}, undo: {none: a}}"
SCAN = "{id: it, on: db1, do: log.scan, with: {path: LATER, unit: LATER, patterns: {e: x}}}"
START = "{id: it, on: db1, do: postgres.start, with: {service: LATER, data: /srv}}"
SEND = "{id: it, do: http.request, with: {url: LATER, method: POST, body: LATER, json: {a: 1}}, effect: once, "
SEND += "verify: {do: http.check, with: {url: LATER}}, undo: {none: a}}"


@pytest.mark.parametrize(
    ("step", "culprit", "summary"),
    [
        (PUT, "source", "give exactly one of text and source"),
        (NOTHING, "{id", "give exactly one of text and source"),
        (SCAN, "unit", "give exactly one of path and unit"),
        (START, "data", "give exactly one of service and data"),
        (SEND, "json", "body and json exclude each other"),
    ],
)
def test_fields_that_exclude_each_other_are_refused_though_one_has_no_value_yet(
    step: str, culprit: str, summary: str
) -> None:
    written = step.replace("LATER", LATER)
    column = written.index(culprit) + len("      - ") + 1
    (problem,) = said(load_steps(written))
    assert problem.startswith(f"5:{column} E210 {summary}")


def test_a_field_that_is_written_as_empty_is_not_given() -> None:
    assert said(load_steps(SCAN.replace("unit: LATER", 'unit: ""').replace("LATER", LATER))) == []
