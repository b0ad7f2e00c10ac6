"""Where a step runs: one place, or a selection of hosts (language specification, section 4)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from drctl.core.diagnostics import Where
    from drctl.core.inventory import Host
    from drctl.core.templates import Template
    from drctl.core.values import Duration
    from drctl.core.written import Formula


class PlaceKind(enum.Enum):
    """The forms of `on`."""

    LOCAL = "local"
    HOST = "host"
    ROLE = "role"
    COMPUTED = "computed"
    SELECTION = "selection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number of hosts: plain, or a share of all (`20%`), which is rounded up and is at least one."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """The number among `total`."""
        return max(1, -(-total * self.number // 100)) if self.percent else self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which hosts: those of the inventory that satisfy everything given (language specification, section 4).

    Attributes:
        group: members of this group; `on: GROUP` is short for it.
        hosts: a list of hosts or of their names.
        condition: the key `where`: a condition about the candidate host.
        leave_out: the key `except`: a list of hosts, or one.
        take: only the first so many, in inventory order; 1 gives a single result.
        canaries: how many go first, or the group of those that do.
    """

    group: str = ""
    site: str = ""
    role: str = ""
    hosts: Formula | None = None
    condition: Formula | None = None
    leave_out: Formula | None = None
    take: int | None = None
    batch: Count | None = None
    canaries: Count | str | None = None
    soak: Duration | None = None
    max_failures: Count | None = None
    all_or_none: bool = False

    def fits(self, host: Host) -> bool:
        """Whether a host is of the group, site and role that are given."""
        return (
            (not self.group or self.group in host.groups)
            and (not self.site or self.site == host.site)
            and (not self.role or self.role == host.role)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """Where a step runs. `name` is a host or role; `computed` a template that gives exactly one host."""

    kind: PlaceKind
    name: str = ""
    computed: Template | None = None
    selection: Selection | None = None
    where: Where

    @property
    def many(self) -> bool:
        """Whether it gives a table, even of one host; known from the document alone."""
        return self.selection is not None and self.selection.take != 1
