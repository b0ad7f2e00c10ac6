"""One line of JSON in, one line of JSON out, over a unix socket: how the lab's processes ask each other for things.

The supervisor has such a socket (`lab status`, `lab break`, tests), and so has every host (units, provisioning).
Whoever may open the socket may do everything: it lies in the lab's folder, which is its owner's alone.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

from drctl.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_LIMIT = 32 * 1024 * 1024


class ControlError(LabError):
    """The other side understood, and says no; the message is its own."""


async def serve(path: Path, answer: Callable[[dict[str, Any]], Awaitable[Any]]) -> asyncio.Server:
    """Listen on a unix socket and answer each line with what `answer` makes of it.

    Args:
        path: the socket; one left over from an earlier life is replaced.
        answer: gives the result; a LabError, KeyError or ValueError it raises is told to the asker.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _answered(answer, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    return await asyncio.start_unix_server(talk, str(path), limit=_LIMIT)


async def _answered(answer: Callable[[dict[str, Any]], Awaitable[Any]], line: bytes) -> dict[str, Any]:
    try:
        return {"ok": True, "result": await answer(json.loads(line))}
    except (LabError, ValueError, OSError) as error:
        return {"ok": False, "error": f"{error}" or type(error).__name__}
    except KeyError as error:
        return {"ok": False, "error": f"the lab has no {error}"}


async def ask(path: Path, request: dict[str, Any], within: float = 60.0) -> Any:  # noqa: ANN401 - JSON
    """Ask once, from inside an event loop.

    Raises:
        ControlError: the other side refused.
        LabError: nobody answers on that socket, or not within the seconds given.
    """
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_LIMIT)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise _unanswered(path, request, error) from error
    return _result(path, request, line)


def request(path: Path, what: dict[str, Any], within: float = 60.0) -> Any:  # noqa: ANN401 - JSON
    """Ask once, from ordinary code; see `ask`."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(within)
            channel.connect(str(path))
            channel.sendall(json.dumps(what).encode() + b"\n")
            with channel.makefile("rb") as answers:
                line = answers.readline(_LIMIT)
    except (OSError, TimeoutError) as error:
        raise _unanswered(path, what, error) from error
    return _result(path, what, line)


def _result(path: Path, what: dict[str, Any], line: bytes) -> Any:  # noqa: ANN401 - JSON
    if not line:
        raise _unanswered(path, what, ConnectionError("it closed the connection"))
    answer = json.loads(line)
    if not answer["ok"]:
        raise ControlError(answer["error"])
    return answer["result"]


def _unanswered(path: Path, what: dict[str, Any], error: BaseException) -> LabError:
    return LabError(
        f"the lab did not answer {what.get('op')!r}: {error or type(error).__name__}",
        where=str(path),
        meaning="It may have ended, or be too busy.",
        next="drctl lab status",
    )
