"""What a record says of a stream of which only the beginning was kept, in one wording for every view."""

from drctl.core.event_types import CommandRan
from drctl.reporting.texts import clean


def beginning_of(ran: CommandRan, stream: str, kept: int | None = None) -> str:
    """`first N of M bytes kept, SHA-256 of all: ...`; empty where the whole stream was kept."""
    if not ran.cut or (ran.sizes and stream not in ran.sizes):
        return ""
    size = ran.sizes.get(stream)
    every = f"{size:,} bytes" if size is not None else "a number of bytes that is not known"
    first = "the beginning" if kept is None else f"first {kept:,}"
    return f"{first} of {every} kept, SHA-256 of all: {clean(ran.digests.get(stream, '')) or 'not known'}"
