"""Files of inputs: names and values as written; everything else is refused at its place."""

import pytest

from drctl.loading import load_answers


def test_values_and_lists_keep_their_written_form() -> None:
    loaded = load_answers("in.yaml", lambda _: b"severity: sev1\nhosts: [db1, db2]\nlimit: 10s\nversion: 3.10\n")
    assert loaded.value == {"severity": "sev1", "hosts": ("db1", "db2"), "limit": "10s", "version": "3.10"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"- a\n", "in.yaml:1:1"),
        (b"a: {b: c}\n", "in.yaml:1:4"),
        (b"a: [[b]]\n", "in.yaml:1:5"),
        (b"a: 1\na: 2\n", "in.yaml:2:1"),
        (b"a: !x 1\n", "in.yaml:1:4"),
    ],
)
def test_what_is_no_map_of_names_to_values_is_refused_at_its_place(text: bytes, place: str) -> None:
    loaded = load_answers("in.yaml", lambda _: text)
    assert loaded.value is None
    assert str(loaded.diagnostics[0].where) == place
