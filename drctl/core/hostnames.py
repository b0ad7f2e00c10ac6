"""Names of hosts as OpenSSH matches them, in known_hosts files and in host certificates."""

from __future__ import annotations


def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern of `*` (any text) and `?` (any sign); capitals do not count.

    Only the newest `*` is ever tried again, so the work is bounded by the product of both lengths.
    """
    pattern, name = pattern.lower(), name.lower()
    at = here = 0
    star, mark = -1, 0
    while here < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, mark = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            mark += 1
            at, here = star + 1, mark
        else:
            return False
    return not pattern[at:].strip("*")
