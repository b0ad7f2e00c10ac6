"""One SSH server on loopback, in a process of its own so that a client's CPU is a client's: sshd, or else asyncssh.

`python -m bench.far_side FOLDER KIND` (with the keys of `tests.fakes.sshservers` in FOLDER) prints its port when it
listens, and ends with its stdin. OpenSSH's sshd is started for each connection on the accepted socket itself, as
inetd did: an ephemeral port without a race, nothing between the two ends, and any user may do it.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import ROOT
from tests.fakes.sshservers import SSHD, Keys, asyncssh_server, openssh_server


@contextmanager
def far_side(folder: Path, kind: str) -> Iterator[int]:
    """Start it and give its port."""
    argv = [sys.executable, "-m", "bench.far_side", str(folder), kind]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield int(child.stdout.readline() if child.stdout else "")
        finally:
            if child.stdin:
                child.stdin.close()


@contextmanager
def _sshd(keys: Keys, folder: Path, env: dict[str, str]) -> Iterator[int]:
    children: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                near, _ = listener.accept()
                with near:
                    argv = [SSHD, "-i", "-e", "-f", str(folder / "sshd_config")]
                    end = near.fileno()
                    children.append(subprocess.Popen(argv, stdin=end, stdout=end, stderr=subprocess.DEVNULL))

    with openssh_server(keys, folder, env), socket.create_server(("127.0.0.1", 0)) as listener:  # it writes sshd_config
        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    for child in children:
        child.terminate()
        child.wait(30)


def main(folder: Path, kind: str) -> None:
    """Serve until stdin ends."""
    keys, env = Keys(folder), {"HOME": str(folder), "PATH": os.environ["PATH"], "XDG_STATE_HOME": str(folder / "state")}
    with _sshd(keys, folder, env) if kind == "sshd" else asyncssh_server(keys, env) as port:
        print(port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
