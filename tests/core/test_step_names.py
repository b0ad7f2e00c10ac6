"""What people call a step who are told its host besides."""

import pytest

from drctl.core.rounds import step_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("act/put", "put"),
        ("act/put/@web1", "put"),
        ("act/rolling/@web1/renew", "renew"),
        ("act/copy/3", "copy/3"),
        ("act/copy/3/@web1", "copy/3"),
        ("act/put/@web1/undo", "undo"),
        ("exec/1/@web1", "exec/1"),
    ],
)
def test_a_step_is_named_without_its_host(path: str, name: str) -> None:
    assert step_name(path) == name
