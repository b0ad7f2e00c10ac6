"""What is known of a stream that was too long to be kept."""

from drctl.core.nouns import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A stream of which only the beginning was kept.

    Attributes:
        size: bytes of all of it, or of what had come when nobody read on; None where that is not known.
        sha256: hex SHA-256 of all of it; empty where it is not known, or must not be told.
    """

    size: int | None = None
    sha256: str = ""
