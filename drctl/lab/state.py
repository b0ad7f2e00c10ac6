"""Where a lab lies and what it says about itself: one folder, one `lab.json` in it, found again by its user.

The path is kept short on purpose: a unix socket's path may have 107 bytes, and PostgreSQL's lies deep in a host.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drctl.errors import LabError
from drctl.lab.processes import is_running

_PREFIX = "drctl-lab-"
_LONGEST = 55  # + /hosts/inv-a/pg/sockets/restore/.s.PGSQL.5432.lock stays below 107
_ROOM = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LabInfo:
    """A running lab.

    Attributes:
        folder: everything the lab has on disk.
        inventory: the drctl inventory that describes it.
        data: `lab.json` as written when the lab became ready: hosts, edges, urls, keys, people, pids.
    """

    folder: Path
    inventory: Path
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """The names of things in a lab folder."""

    folder: Path

    @property
    def control(self) -> Path:
        """The supervisor's socket."""
        return self.folder / "control.sock"

    @property
    def lab_json(self) -> Path:
        """The lab's description."""
        return self.folder / "lab.json"

    @property
    def inventory(self) -> Path:
        """The inventory for drctl."""
        return self.folder / "inventory.yaml"

    @property
    def log(self) -> Path:
        """What the supervisor and the lab's services have to say."""
        return self.folder / "log"

    @property
    def run(self) -> Path:
        """Configurations and ready files of what is no host's."""
        return self.folder / "run"

    @property
    def keep_marker(self) -> Path:
        """Present when the folder is to stay after the lab ends."""
        return self.folder / "keep"

    @property
    def login_key(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "keys" / "login"

    def host(self, name: str) -> Path:
        """A host's own folder: its HOME."""
        return self.folder / "hosts" / name


def write_json(path: Path, value: object) -> None:
    """Write a file that is whole at every moment and its owner's alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(value, indent=1) + "\n")
    draft.replace(path)


def make_folder(wanted: Path | None) -> Path:
    """Make the lab's folder, its owner's alone.

    Args:
        wanted: a folder that does not exist or is empty; None picks one under the runtime folder or the temp folder.

    Raises:
        LabError: the folder is in use, or its path is too long for unix sockets.
    """
    if wanted is None:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-", dir=_base()))
    else:
        folder = wanted.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LabError(
                "the folder for the lab is not empty",
                where=str(folder),
                meaning="Nothing was started.",
                next=f"drctl lab down --folder {folder}, or name another folder",
            )
        folder.chmod(0o700)
    if len(str(folder)) > _LONGEST:
        raise LabError(
            f"the path of the lab's folder has {len(str(folder))} characters; unix sockets allow {_LONGEST} here",
            where=str(folder),
            meaning="Nothing was started.",
            next="name a folder with a short path, such as one in /tmp",
        )
    return folder


def read(folder: Path) -> LabInfo:
    """Read a lab's description.

    Raises:
        LabError: there is no lab in that folder.
    """
    places = Places(folder)
    try:
        data = json.loads(places.lab_json.read_text())
    except (OSError, ValueError) as error:
        raise LabError(
            "no lab lies in this folder", where=str(folder), meaning=f"{error}", next="drctl lab up"
        ) from error
    return LabInfo(folder=folder, inventory=places.inventory, data=data)


def supervisor_runs(data: dict[str, Any]) -> bool:
    """Tell whether the supervisor a description names is still that very process."""
    supervisor = data.get("supervisor", {})
    return is_running(supervisor.get("pid", 0), supervisor.get("start"))


def find() -> Path | None:
    """Give the folder of this user's running lab, the newest when there are several; None when there is none."""
    found: list[tuple[float, Path]] = []
    for base in {_temp(), *_runtime()}:
        for folder in base.glob(f"{_PREFIX}{os.getuid()}-*"):
            try:
                if folder.stat().st_uid in (os.getuid(), 65534) and supervisor_runs(read(folder).data):
                    found.append((Places(folder).lab_json.stat().st_mtime, folder))
            except (LabError, OSError):
                continue
    return max(found)[1] if found else None


def _base() -> Path:
    """Prefer the user's runtime folder when it has room and may hold programs: it is emptied at logout, and private."""
    for folder in _runtime():
        facts = os.statvfs(folder)
        if facts.f_bavail * facts.f_frsize > _ROOM and not facts.f_flag & os.ST_NOEXEC:
            return folder
    return _temp()


def _runtime() -> list[Path]:
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(named)
    usable = named and len(named) < _LONGEST // 2 and folder.is_dir() and folder.stat().st_uid == os.getuid()
    return [folder] if usable else []


def _temp() -> Path:
    folder = Path(tempfile.gettempdir())
    return folder if len(str(folder)) < _LONGEST // 2 else Path("/tmp")  # noqa: S108 - mkdtemp makes the name unguessable
