"""The hypervisor's endpoint: is a host on, switch it off, switch it on. A few lines of HTTP on 127.0.0.1.

    GET  /             {"hosts": {NAME: "on" | "off"}, "calls": ["HOST off", ...] every switching asked for, in order}
    GET  /HOST         {"host": NAME, "state": "on" | "off"}
    POST /HOST/off     answers when every process of the host is gone
    POST /HOST/on      answers when the host boots; switching on what is on and dead starts it anew, as a reset does

`state` is the switch, not the health: a host that crashed is still on until someone switches it off.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from drctl.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.lab.machine import Machine

_REQUEST_SECONDS = 10.0
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}


async def serve(machines: Mapping[str, Machine]) -> tuple[asyncio.Server, int]:
    """Start the endpoint; gives the server and its port."""
    calls: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, body = await _answer(machines, calls, head)
            text = json.dumps(body).encode()
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n".encode()
            writer.write(head + f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return server, int(server.sockets[0].getsockname()[1])


async def _answer(machines: Mapping[str, Machine], calls: list[str], head: bytes) -> tuple[int, dict[str, object]]:
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split()
    if len(words) != 3:  # noqa: PLR2004
        return 400, {"error": "not HTTP"}
    method, parts = words[0], [part for part in words[1].partition("?")[0].split("/") if part]
    if not parts:
        return 200, {"hosts": {name: machine.power for name, machine in machines.items()}, "calls": calls}
    machine = machines.get(parts[0])
    if machine is None or len(parts) > 2 or (len(parts) == 2 and parts[1] not in ("on", "off")):  # noqa: PLR2004
        return 404, {"error": f"no such host or action; hosts: {', '.join(machines)}"}
    if method != ("GET" if len(parts) == 1 else "POST"):
        return 405, {"error": "GET /HOST, POST /HOST/on, POST /HOST/off"}
    calls += [" ".join(parts)] if parts[1:] else []
    try:
        if parts[1:] == ["off"]:
            await machine.power_off()
        elif parts[1:] == ["on"]:
            await machine.power_on()
    except LabError as error:
        return 500, {"error": str(error)}
    return 200, {"host": machine.name, "state": machine.power}
