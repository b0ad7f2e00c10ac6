"""Very many hosts on loopback addresses, in one process of their own; some of them dead, each in its way.

`python -m tests.fakes.fleets FOLDER` (with the keys of `sshservers` and `fleet.json`, names to sorts, in FOLDER) prints
where they listen as one line of JSON, and ends with its stdin. Each host has a home folder FOLDER/NAME.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncssh

from bench.measure import ROOT
from tests.fakes.sshservers import Commands, ForwardingServer, drop_all

OK, HANGS, REFUSES, MUTE, DROPS = "ok", "hangs", "refuses", "mute", "drops"
"""Sorts: in order; its command never ends (that is the runbook's part: the file `hangs` is in its home folder); nothing
listens; the connection is taken and nothing said; the connection is never answered, as behind a firewall."""

Place = tuple[str, int]


def address(number: int) -> str:
    """The loopback address of a host: 127.0.1.1 and on, 250 in each network."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


@contextmanager
def fleet(folder: Path, sorts: Mapping[str, str]) -> Iterator[Mapping[str, Place]]:
    """Start it; gives name to address and port."""
    (folder / "fleet.json").write_text(json.dumps(sorts))
    argv = [sys.executable, "-m", "tests.fakes.fleets", str(folder)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            listening = json.loads(child.stdout.readline() if child.stdout else "")
            yield {name: (host, port) for name, (host, port) in listening.items()}
        finally:
            if child.stdin:
                child.stdin.close()


class _Homes(Commands):
    """Commands in the home folder of the host whose address was called."""

    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        super().__init__({"PATH": os.environ["PATH"]}, "")
        self._folder = folder
        self._names = names

    def env_of(self, channel: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
        home = self._folder / self._names[channel.get_extra_info("sockname")[0]]
        return self.env | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}


def _dead(sort: str, host: str, stack: contextlib.ExitStack) -> socket.socket:
    """A host that nobody can log in to."""
    sock = stack.enter_context(socket.socket())
    sock.bind((host, 0))
    if sort == MUTE:
        sock.listen(100)
    return sock


async def _serve(folder: Path) -> None:
    sorts: Mapping[str, str] = json.loads((folder / "fleet.json").read_text())
    hosts = {name: address(number) for number, name in enumerate(sorts)}
    homes = _Homes(folder, {host: name for name, host in hosts.items()})
    options = asyncssh.SSHServerConnectionOptions(
        server_factory=lambda: ForwardingServer(homes.connections),
        server_host_keys=[str(folder / "host")],
        authorized_client_keys=str(folder / "client.pub"),
        process_factory=homes.serve,
        encoding=None,
    )
    listening: dict[str, Place] = {}
    dead: dict[str, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        acceptors = []
        for name, sort in sorts.items():
            if sort in (OK, HANGS):
                (folder / name).mkdir()
                if sort == HANGS:
                    (folder / name / "hangs").touch()
                acceptors.append(await asyncssh.listen(hosts[name], 0, options=options))
                listening[name] = (hosts[name], acceptors[-1].get_port())
            else:
                dead[name] = _dead(sort, hosts[name], stack)
                listening[name] = dead[name].getsockname()
        drop_all([sock for name, sock in dead.items() if sorts[name] == DROPS], stack)
        print(json.dumps(listening), flush=True)  # noqa: T201 - its output
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for acceptor in acceptors:
            acceptor.close()
        await homes.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
