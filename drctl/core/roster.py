"""What a container evaluated when it began: the items of a loop, or hosts in the batches they are taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import Block, Frame
from drctl.core.nouns import dataclass
from drctl.core.rounds import HOST
from drctl.core.values import Map, Unknown, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drctl.core.model import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Rounds as they are recorded with the beginning of a container.

    Attributes:
        items: of a loop, each a map of names to values; None when it is none.
        batches: of a table or a rolling block; None when it is none.
        earlier: hosts of an attempt before that are not among the batches: only their ways back are left to do.
        anew: the container is begun again, and is to be evaluated again when it is.
    """

    items: tuple[Value, ...] | None = None
    batches: tuple[tuple[str, ...], ...] | None = None
    earlier: tuple[str, ...] = ()
    anew: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Value | Unknown]) -> Roster:
        """Read it from the values of a record; what could not be kept is not there."""
        items, groups, earlier = values.get("items"), values.get("batches"), values.get("earlier")
        batches = None
        if isinstance(groups, tuple):
            batches = tuple(_hosts(group) for group in groups)
        return cls(
            items=items if isinstance(items, tuple) else None, batches=batches, earlier=_hosts(earlier),
            anew=values.get("anew") is True,
        )  # fmt: skip

    @property
    def values(self) -> dict[str, Value]:
        """What a record holds of it."""
        found: dict[str, Value] = {}
        if self.items is not None:
            found["items"] = self.items
        if self.batches is not None:
            found["batches"] = self.batches
        if self.earlier:
            found["earlier"] = self.earlier
        return found | ({"anew": True} if self.anew else {})

    @property
    def known(self) -> bool:
        """Whether there is a list or a selection at all."""
        return self.items is not None or self.batches is not None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host of the batches."""
        return tuple(host for batch in self.batches or () for host in batch)

    def frames(self, step: Step, path: str) -> Iterator[Frame]:
        """The rounds of a step that stands at this address."""
        origin = step.origin or step.path
        if step.loop is not None:
            for number, names in enumerate(self.items or ()):
                if isinstance(names, Map):
                    yield Frame(origin=origin, path=f"{path}/{number}", names=names)
        elif isinstance(step.body, Block) and step.body.rolling:
            for number, hosts in enumerate(self.batches or ()):
                yield Frame(origin=origin, path=f"{path}/{number}", hosts=hosts, on=step.on)
        else:
            yield from (Frame(origin=origin, path=f"{path}/{HOST}{host}", host=host) for host in self.hosts)

    def __str__(self) -> str:
        """How many there are."""
        if self.items is not None:
            return f"{len(self.items)} round(s)"
        number = len(self.batches or ())
        return f"{len(self.hosts)} host(s)" + (f" in {number} batches" if number > 1 else "")


def _hosts(value: object) -> tuple[str, ...]:
    return tuple(str(host) for host in value) if isinstance(value, tuple) else ()
