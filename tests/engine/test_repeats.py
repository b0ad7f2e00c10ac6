"""Lists that go on as other lists: numbers stay, so that what was done stays done."""

from drctl.core.values import Map
from drctl.engine.repeats import relisted


def items(*names: str) -> tuple[Map, ...]:
    return tuple(Map({"n": name}) for name in names)


def test_members_keep_their_numbers_and_new_ones_come_after_them() -> None:
    assert relisted(items("a", "b", "c"), items("c", "x", "a")) == items("a", "b", "c", "x")
    assert relisted(items("a"), ()) == items("a")
