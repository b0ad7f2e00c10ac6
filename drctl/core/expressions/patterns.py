"""The two little languages inside an expression: regular expressions (RE2's) and time formats.

Both are literals, checked when the expression is parsed. RE2 runs in time linear in the text, so no output of a host
can hang a run; re2 is imported when the first regex is met and not before.
"""

from __future__ import annotations

import functools
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drctl.core.quantities import Time
from drctl.core.value_types import MAX_MEMBERS, MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTIVES = frozenset("YmdHMSfzbBaAjyIp%")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MAX_PATTERN = 1000


class PatternError(ValueError):
    """A regular expression or time format that is refused; the text says why."""


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:  # noqa: ANN401 - google-re2 has no types
    """The regular expression, ready to search.

    Raises:
        PatternError: when RE2 does not take it; it has no look-around and no back-references.
    """
    import re2  # noqa: PLC0415 - a native module that runbooks without a regex never need

    if len(pattern) > _MAX_PATTERN:
        raise PatternError(f"the regex is longer than {_MAX_PATTERN} characters")
    if "C" in _ESCAPED.findall(pattern):
        raise PatternError("\\C would cut characters into bytes")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except UnicodeEncodeError:
        raise PatternError("the regex is not UTF-8") from None
    except re2.error as error:
        detail = error.args[0]
        said = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise PatternError(f"the regex is refused: {said}") from None


def _searchable(text: str) -> str:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise PatternError("the text is not UTF-8") from None
    if length > MAX_TEXT:
        raise PatternError("the text is longer than 1 MiB")
    return text


def first_match(pattern: str, text: str) -> str | None:
    """The first group of the first place that matches, or the whole of it; None when nothing does.

    Raises:
        PatternError: for a text that is too long or not UTF-8.
    """
    found = compiled(pattern).search(_searchable(text))
    return None if found is None else _group(found)


def all_matches(pattern: str, text: str) -> Iterator[str | None]:
    """The same for every place that matches, from left to right, at most as many as a list may have.

    Raises:
        PatternError: for a text that is too long or not UTF-8, or too many matches.
    """
    for count, found in enumerate(compiled(pattern).finditer(_searchable(text))):
        if count >= MAX_MEMBERS:
            raise PatternError(f"there are more than {MAX_MEMBERS:,} matches")
        yield _group(found)


def _group(found: Any) -> str | None:  # noqa: ANN401 - google-re2 has no types
    group = found.group(1 if found.re.groups else 0)
    return group if group is None else str(group)


def check_time_format(written: str) -> None:
    """Refuse a format of `time(t, ...)` that could not name one moment.

    Raises:
        PatternError: for a directive that is not taken, or a format without `%z`.
    """
    directives = re.findall(r"%(.?)", written, re.DOTALL)
    for directive in directives:
        if directive not in _DIRECTIVES or not directive:
            raise PatternError(
                f"%{directive} is not part of a time format; use %Y %m %d %H %M %S %f %z %b %B %j %y %I %p"
            )
    if "z" not in directives:
        raise PatternError("the time format has no zone; end it with %z, and add a zone to the text if it has none")
    if not {"Y", "y"} & set(directives):
        raise PatternError("the time format has no year (%Y)")


def read_time(text: str, written: str) -> Time:
    """The time a text shows in this format.

    Raises:
        ValueError: when it does not.
    """
    check_time_format(written)
    try:
        return Time.from_datetime(datetime.strptime(text, written))  # noqa: DTZ007 - %z is required just above
    except (ValueError, OverflowError, re.error) as error:
        raise ValueError(f"the text does not fit the format {written}: {error}") from None
