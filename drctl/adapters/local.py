"""`local`: the same claims and looks on the machine of drctl itself, by a child process instead of a link."""

import contextlib
import subprocess
import threading
import time
from pathlib import Path

from drctl.adapters.carrier import Carried, End, Order, Streams
from drctl.adapters.claims import ClaimedShell
from drctl.adapters.pipes import Pipes
from drctl.errors import DefectError


class LocalShell(ClaimedShell):
    """Runs commands on this machine, claimed in `state_dir`; `as_user` by `sudo -n`, claimed in that user's folder."""

    def __init__(self, state_dir: Path, shell: str = "/bin/sh") -> None:
        super().__init__(LocalCarrier(), "local", str(state_dir), shell)


class LocalCarrier:
    """Carries texts to `/bin/sh` as a child in a session of its own: Ctrl-C at the terminal does not reach it."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        self._env = env

    def exchange(self, order: Order) -> Carried:
        """Run the order's exec string; a child still going at the limit is left to itself, and reaped when it ends."""
        if order.door is not None:
            raise DefectError("the inventory has no password for sudo on `local`")
        streams = Streams(order)
        limit = time.monotonic() + order.seconds
        try:
            child = subprocess.Popen(
                ["/bin/sh", "-c", order.shell],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._env,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            return Carried(end=End.NO_LINK, because=f"no process could be started: {error}")
        assert child.stdin is not None  # noqa: S101 - Popen was asked for pipes
        assert child.stdout is not None  # noqa: S101
        assert child.stderr is not None  # noqa: S101
        pipes = Pipes(stdin=child.stdin, out=child.stdout, err=child.stderr)
        end = pipes.converse(streams, limit, order.stdin)
        pipes.close()
        status = None
        if end is End.DONE:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = child.wait(5)
        if status is None:
            threading.Thread(target=child.wait, daemon=True, name="drctl-reap").start()
        return streams.carried(end, status=status)
