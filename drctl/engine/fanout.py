"""One function: units in, outcomes out. Nothing else knows where a unit runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def fan_out(units: Sequence[Unit], carry: Callable[[Unit], Result], at_once: int) -> list[Result]:
    """Carry every unit, at most `at_once` together; results in the order of the units.

    All units are over when it returns, also when one raises: then the first exception, in the order of the units, is
    raised afterwards.
    """
    if len(units) <= 1:  # nothing to be side by side with: no thread is started for it
        return [carry(unit) for unit in units]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - it loads logging, and a plan fans nothing out

    with ThreadPoolExecutor(max_workers=max(1, min(at_once, len(units))), thread_name_prefix="unit") as pool:
        futures = [pool.submit(carry, unit) for unit in units]
    return [future.result() for future in futures]
