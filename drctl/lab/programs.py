"""The lab's services that are no host's (object store, tax authority, inbox, traffic): one tied process each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from drctl.errors import LabError
from drctl.lab import world
from drctl.lab.processes import tied_to_this_process
from drctl.lab.state import write_json

if TYPE_CHECKING:
    from drctl.lab.state import Places

_START_SECONDS = 60.0
_POLL = 0.03


class Program:
    """One `python -m drctl.lab.NAME CONFIG.json`.

    Attributes:
        name: the module's name.
        ready: what its ready file says, empty until it is ready.
    """

    def __init__(self, name: str, places: Places) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self._places = places
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id, 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self, config: dict[str, Any]) -> dict[str, Any]:
        """Start it with a configuration (ready file and log are added); gives its ready file's content.

        Raises:
            LabError: it ended, or was not ready within a minute.
        """
        path = self._places.run / f"{self.name}.json"
        ready = self._places.run / f"{self.name}.ready"
        log = self._places.log / f"{self.name}.log"
        ready.unlink(missing_ok=True)
        write_json(path, {**config, "ready": str(ready), "log": str(log)})
        with log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"drctl.lab.{self.name}", str(path),
                cwd=self._places.run, env={**os.environ, **world.service_environment()},
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=tied_to_this_process(),
            )  # fmt: skip
        for _ in range(int(_START_SECONDS / _POLL)):
            if ready.exists():
                self.ready = json.loads(ready.read_text())
                return self.ready
            if self._process.returncode is not None:
                break
            await asyncio.sleep(_POLL)
        raise LabError(
            f"the lab's {self.name} did not start: {log.read_text(errors='replace')[-600:]}",
            meaning="The lab is not usable.",
        )
