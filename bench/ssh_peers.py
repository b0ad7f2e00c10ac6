"""Python clients that drctl is compared with, each a process of its own: `python -m bench.ssh_peers NAME FILE`.

FILE is a task as JSON; a line of JSON on stdout says what became of each host: `ok` when every step of it gave exit
status 0 and so many bytes, else the fault. A step begins when every host is over with the one before.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncssh

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to do, and as whom.

    Attributes:
        hosts: name to address.
        bytes: how long the stdout of each step is.
        limit: seconds for connecting and for logging in.
    """

    hosts: Mapping[str, str]
    port: int
    user: str
    key: str
    host_key: str
    known_hosts: str
    command: str = "true"
    bytes: int = 0
    steps: int = 1
    at_once: int = 50
    limit: float = 60.0

    def write(self, file: Path) -> None:
        """Keep it for a process to read."""
        file.write_text(json.dumps(asdict(self)))


def verdict(task: Task, status: int | None, size: int) -> str:
    """What a step comes to."""
    if status != 0:
        return f"exit {status}"
    return "ok" if size == task.bytes else f"{size} bytes"


class _ByAsyncssh:
    """Tuned as far as its public interface goes: curve25519, aes128-gcm, key and known hosts read once."""

    def __init__(self, task: Task) -> None:
        import asyncssh  # noqa: PLC0415 - only this client pays for it

        self._task = task
        self._asyncssh = asyncssh
        self._known = asyncssh.import_known_hosts(Path(task.known_hosts).read_text())
        self._key = asyncssh.read_private_key(task.key)
        self.found = dict.fromkeys(task.hosts, "ok")

    async def everything(self) -> None:
        """All steps on all hosts; the first one connects."""
        gate = asyncio.Semaphore(self._task.at_once)

        async def gated(work: Coroutine[object, object, Done]) -> Done:
            async with gate:
                return await work

        links = await asyncio.gather(*(gated(self._first(name)) for name in self._task.hosts))
        open_links = [(name, link) for name, link in zip(self._task.hosts, links, strict=True) if link is not None]
        for _ in range(1, self._task.steps):
            await asyncio.gather(*(gated(self._step(*one)) for one in open_links))
        for _, link in open_links:
            link.close()

    async def _first(self, name: str) -> "asyncssh.SSHClientConnection | None":
        task = self._task
        try:
            link = await self._asyncssh.connect(
                task.hosts[name], task.port, username=task.user, known_hosts=self._known, client_keys=[self._key],
                config=[], agent_path=None, kex_algs=["curve25519-sha256"], encryption_algs=["aes128-gcm@openssh.com"],
                connect_timeout=task.limit, login_timeout=task.limit,
            )  # fmt: skip
        except ConnectionRefusedError:
            self.found[name] = "refused"
            return None
        except (OSError, self._asyncssh.Error) as error:
            self.found[name] = f"silent: {error}"
            return None
        await self._step(name, link)
        if task.steps == 1:
            link.close()
            await link.wait_closed()
        return link

    async def _step(self, name: str, link: "asyncssh.SSHClientConnection") -> None:
        done = await link.run(self._task.command, encoding=None)
        said = verdict(self._task, done.exit_status, len(done.stdout or b""))
        self.found[name] = said if self.found[name] == "ok" else self.found[name]


def by_asyncssh(task: Task) -> dict[str, str]:
    """One loop for all hosts."""
    client = _ByAsyncssh(task)
    asyncio.run(client.everything())
    return client.found


def by_fabric(task: Task) -> dict[str, str]:
    """Fabric as it comes, in a pool of threads; its missing check of host keys is put in."""
    import fabric  # noqa: PLC0415 - only this client pays for it
    import paramiko  # noqa: PLC0415 - the same

    kind, _, text = task.host_key.partition(" ")
    host_key = paramiko.PKey.from_type_string(kind, base64.b64decode(text.split()[0]))
    found = dict.fromkeys(task.hosts, "ok")

    def connection(name: str) -> fabric.Connection:
        address = task.hosts[name]
        made = fabric.Connection(address, user=task.user, port=task.port, connect_timeout=task.limit, connect_kwargs={
            "key_filename": task.key, "allow_agent": False, "look_for_keys": False,
            "banner_timeout": task.limit, "auth_timeout": task.limit,
        })  # fmt: skip
        made.client.get_host_keys().add(f"[{address}]:{task.port}", kind, host_key)
        made.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        return made

    def step(name: str) -> None:
        try:
            done = links[name].run(task.command, hide=True, warn=True)
            said = verdict(task, done.exited, len(done.stdout))
        except ConnectionRefusedError:
            said = "refused"
        except paramiko.ssh_exception.NoValidConnectionsError as error:
            every = all(isinstance(one, ConnectionRefusedError) for one in error.errors.values())
            said = "refused" if every else f"link: {error}"
        except (OSError, EOFError, paramiko.SSHException) as error:
            said = f"silent: {error}"
        found[name] = said if found[name] == "ok" else found[name]
        if task.steps == 1:
            links[name].close()

    links = {name: connection(name) for name in task.hosts}
    with ThreadPoolExecutor(task.at_once) as pool:
        for _ in range(task.steps):
            list(pool.map(step, links))
    for link in links.values():
        link.close()
    return found


CLIENTS: Mapping[str, Callable[[Task], dict[str, str]]] = {"asyncssh": by_asyncssh, "fabric": by_fabric}

if __name__ == "__main__":
    print(json.dumps(CLIENTS[sys.argv[1]](Task(**json.loads(Path(sys.argv[2]).read_text())))), flush=True)
