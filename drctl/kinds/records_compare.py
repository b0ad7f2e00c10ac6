"""The kind `records.compare`: two lists of records, key by key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, FieldError, FieldSpec, LookKind, Outputs, Place, arg
from drctl.core.nouns import dataclass
from drctl.core.values import Map, Unknown, Value, order_key, text_of

if TYPE_CHECKING:
    from drctl.core.ports import Facts, Probe

_Record = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class RecordsCompare(LookKind):
    """Compares two lists of maps by a key, in one pass over each: what the records say against what is held.

    `missing` are records of `left` that `right` lacks, `extra` those of `right` that `left` lacks, and `different` has
    `{key left right fields}` for a record whose compared fields differ. `fields` names what is compared; without it,
    every field that either record has. Numbers are equal by value (`1200` and `1200.00`); different types never are:
    a number is not the text of it. A key that stands twice on one side is listed in `twice` and counts as a difference.
    """

    NAME: ClassVar[str] = "records.compare"
    PLACE: ClassVar[Place] = Place.NONE
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "same": "bool",
        "missing": "list",
        "extra": "list",
        "different": "list",
        "twice": "list",
        "counts": "map",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="same", fields=frozenset({"same", "missing", "extra", "different", "twice", "counts"})),
    )
    EXAMPLE: ClassVar[str] = """
- {id: tax, do: http.check, with: {url: "https://tax.example/records"}}
- {id: ours, do: http.check, with: {url: "https://invoices.example/invoices/export"}}
- id: differences
  do: records.compare
  with:
    left: "${{ steps.tax.json }}"
    right: "${{ steps.ours.json }}"
    key: number
    fields: [company, amount, state]
  observe: true
"""

    left: tuple[Value, ...] = arg(type="list", doc="What should be: a list of maps.")
    right: tuple[Value, ...] = arg(type="list", doc="What is: a list of maps.")
    key: str = arg(type="text", doc="The field both sides are matched by.")
    compared: tuple[str, ...] = arg(type="list", doc="Fields to compare; all if not given.", default=())

    def __init__(self, *, left: tuple[Value, ...], right: tuple[Value, ...], key: str, **rest: tuple[str, ...]) -> None:
        """Take the fields by their names in the language; `fields` is what every kind calls its own."""
        if not set(rest) <= {"fields"}:
            raise TypeError(f"records.compare takes left, right, key and fields, not {', '.join(sorted(rest))}")
        values = {"left": left, "right": right, "key": key, "compared": rest.get("fields", ())}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not key:
            raise FieldError("key", "records are matched by a field: name it")
        for side, records in (("left", left), ("right", right)):
            _check(side, records, key)

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """The fields by their names in the language."""
        declared = super(RecordsCompare, cls).fields()  # noqa: UP008 - a slotted class is made anew: no cell
        return tuple(dataclasses.replace(spec, name="fields") if spec.name == "compared" else spec for spec in declared)

    def look(self, probe: Probe) -> Outputs:  # noqa: ARG002 - the contract's parameter
        """Compare."""
        left, left_twice = _by_key(self.left, self.key)
        right, right_twice = _by_key(self.right, self.key)
        missing = tuple(record for key, record in left.items() if key not in right)
        extra = tuple(record for key, record in right.items() if key not in left)
        different = tuple(
            Map({"key": text_of(record[self.key]), "left": record, "right": right[key], "fields": names})
            for key, record in left.items()
            if key in right and (names := self._differences(record, right[key]))
        )
        twice = tuple(dict.fromkeys([*left_twice, *right_twice]))
        counts = {
            "left": len(self.left),
            "right": len(self.right),
            "missing": len(missing),
            "extra": len(extra),
            "different": len(different),
            "twice": len(twice),
        }
        values: dict[str, Value | Unknown] = {
            "same": not (missing or extra or different or twice),
            "missing": missing,
            "extra": extra,
            "different": different,
            "twice": twice,
            "counts": Map(counts),
        }
        return Outputs(values=values, because=", ".join(f"{name} {count}" for name, count in counts.items()))

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """What is compared with what."""
        what = ", ".join(self.compared) or "every field"
        return f"compare {len(self.left)} records with {len(self.right)} by {self.key}: {what}"

    def _differences(self, left: _Record, right: _Record) -> tuple[str, ...]:
        names = self.compared or tuple(dict.fromkeys([*left, *right]))
        return tuple(name for name in names if not _equal(left, right, name))


def _check(side: str, records: Sequence[Value], key: str) -> None:
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise FieldError(side, f"member {index} is no map")
        if order_key(record.get(key)) is None:
            raise FieldError(side, f"member {index} has no {key} that is text or a number")


def _by_key(records: Sequence[Value], key: str) -> tuple[dict[object, _Record], list[str]]:
    """The first record of each key, and the keys that stand twice."""
    found: dict[object, _Record] = {}
    twice = []
    for record in records:
        if not isinstance(record, Mapping):
            continue  # refused when the kind was built
        own = order_key(record[key])
        if own in found:
            twice.append(text_of(record[key]))
        else:
            found[own] = record
    return found, twice


def _equal(left: _Record, right: _Record, name: str) -> bool:
    if (name in left) != (name in right):
        return False
    return _comparable(left.get(name)) == _comparable(right.get(name))


def _comparable(value: Value) -> object:
    """The value with its type, so that true is not 1 and a number is not its text."""
    if isinstance(value, tuple):
        return tuple(_comparable(member) for member in value)
    if isinstance(value, Mapping):
        return {name: _comparable(member) for name, member in value.items()}
    return order_key(value) or (type(value), value)
