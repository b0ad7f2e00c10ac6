"""SSH hosts on 127.0.1.1 to 250 at one ephemeral port, good and dead ones, in a process apart from its clients.

`python -m bench.farm FOLDER KIND WORD...` (with the keys of `tests.fakes.sshservers` in FOLDER) prints its port when
all hosts are as their words say, and ends with its stdin, whatever became of its parent. Host N is 127.0.1.N:

- good: OpenSSH's sshd, or with KIND `asyncssh` that; sshd is started for each connection on the accepted socket
  itself, as inetd did: one process can listen on 250 addresses (sshd takes 16), no port is raced for, and MaxStartups
  plays no part.
- refuse: nobody listens, so the kernel answers with a reset.
- mute: connections are taken by the kernel and nobody ever says a word, not even a banner.
- drop: every SYN is dropped without an answer, as behind a firewall (`tests.fakes.sshservers.drop_all`).

A process whose parent ended becomes a child of the farm, which ends what is left before it ends itself.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from bench.measure import ROOT
from bench.process_tree import end_all, offspring, orphans_adopted
from tests.fakes.sshservers import SSHD, Keys, asyncssh_server, drop_all, openssh_server

Word = Literal["good", "refuse", "mute", "drop"]
_BACKLOG = 1024
_TRIES = 20  # ports


def address(number: int) -> str:
    """Where host `number`, from 1 on, is."""
    return f"127.0.1.{number}"


@contextmanager
def farm(folder: Path, kind: str, words: Sequence[Word]) -> Iterator[int]:
    """Start it and give its port.

    Raises:
        RuntimeError: it did not come up.
    """
    argv = [sys.executable, "-m", "bench.farm", str(folder), kind, *words]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:  # of a session of its own: Ctrl-C is for the clients, and the farm outlives them by a moment
        try:
            said = child.stdout.readline() if child.stdout else ""
            if not said:
                raise RuntimeError("the farm did not come up; it says why above")
            yield int(said)
        finally:
            if child.stdin:
                child.stdin.close()


def main(folder: Path, kind: str, words: Sequence[str]) -> None:
    """Serve until stdin ends."""
    keys, env = Keys(folder), {"HOME": str(folder), "PATH": os.environ["PATH"]}
    sockets, port = _bound([address(number) for number, _ in enumerate(words, 1)])
    with orphans_adopted(), contextlib.ExitStack() as stack:
        stack.callback(end_all, lambda: offspring(os.getpid()))
        good = [sock for sock, word in zip(sockets, words, strict=True) if word == "good"]
        for sock, word in zip(sockets, words, strict=True):
            if word == "refuse":
                sock.close()
            elif word == "mute":
                sock.listen(_BACKLOG)
        drop_all([sock for sock, word in zip(sockets, words, strict=True) if word == "drop"], stack)
        if kind == "sshd":
            stack.enter_context(openssh_server(keys, folder, env))  # it writes sshd_config
            for sock in good:
                sock.listen(_BACKLOG)
        else:
            at = [sock.getsockname()[0] for sock in good]
            stack.enter_context(asyncssh_server(keys, env, at=at, port=port))
            good = []
        print(port, flush=True)
        _serve(good, folder / "sshd_config")


def _bound(addresses: Sequence[str]) -> tuple[list[socket.socket], int]:
    """A socket for each address, all at one port that was free."""
    for _ in range(_TRIES):
        with contextlib.ExitStack() as unwanted:
            sockets: list[socket.socket] = []
            port = 0
            for one in addresses:
                sock = unwanted.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((one, port))
                except OSError:
                    break  # somebody has this port there
                port = sock.getsockname()[1]
                sockets.append(sock)
            else:
                unwanted.pop_all()
                return sockets, port
    raise RuntimeError(f"no port was free on all of {len(addresses)} addresses")


def _serve(listeners: Sequence[socket.socket], config: Path) -> None:
    waiting = select.epoll()
    by_fd = {sock.fileno(): sock for sock in listeners}
    for fd in by_fd:
        waiting.register(fd, select.EPOLLIN)
    waiting.register(0, select.EPOLLIN | select.EPOLLHUP)
    argv = [SSHD, "-i", "-e", "-f", str(config)]
    while True:
        for fd, _ in waiting.poll():
            if fd == 0:
                return
            near, _ = by_fd[fd].accept()
            with near:
                end = near.fileno()
                os.posix_spawn(SSHD, argv, {"PATH": os.environ["PATH"]}, file_actions=[
                    (os.POSIX_SPAWN_DUP2, end, 0), (os.POSIX_SPAWN_DUP2, end, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ])  # fmt: skip
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
