"""A host with a real sudo of its own: sshd in a mount namespace with private /etc, /home and records of sudo.

Only root can make one. The machine's own users and rules are neither read nor changed.
"""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.sshservers import Keys, openssh_server

LOGIN, OTHER, PASSWORD = "drli", "drdb", "sesam-4711"
_HASH = "$6$drctl$5YhOQWrXoz504A.GgTfGoS5EvH8N/0jXjVMEripJYrdBkw24p3XHm0rmYgoaOPMID.I1f.lgfiKHCG8iIrGXy1"
_UIDS = {LOGIN: 48211, OTHER: 48212}
_ENTER = (
    'mount --bind "$1/etc" /etc && mount --bind "$1/home" /home && mount -t tmpfs none /run/sudo && shift && exec "$@"'
)


@dataclass(frozen=True, slots=True)
class SudoHost:
    """A host whose rules are `sudoers`; `home` holds the homes of its two users."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def restart(self) -> None:
        (self.folder / "etc/drctl-boot").write_text("boot-2\n")

    def allow(self, *rules: str) -> None:
        path = self.folder / "etc/sudoers"
        path.unlink(missing_ok=True)
        path.write_text(
            "Defaults env_reset\nDefaults env_keep += DRCTL_BOOT_ID_FILE\n" + "".join(f"{rule}\n" for rule in rules)
        )
        path.chmod(0o440)


@contextlib.contextmanager
def sudo_host(keys: Keys, folder: Path) -> Iterator[tuple[SudoHost, Callable[[], socket.socket]]]:
    """Give the host and a function that connects to its sshd."""
    host = SudoHost(folder)
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore_dangling_symlinks=True)
    with (folder / "etc/passwd").open("a") as passwd, (folder / "etc/shadow").open("a") as shadow:
        for name, uid in _UIDS.items():
            passwd.write(f"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n")
            shadow.write(f"{name}:{_HASH if name == LOGIN else '*'}:19000:0:99999:7:::\n")
            (host.home / name).mkdir(parents=True)
            os.chown(host.home / name, uid, uid)
    public = folder / "etc/drctl-client.pub"
    shutil.copyfile(keys.folder / "client.pub", public)
    public.chmod(0o644)
    (folder / "etc/drctl-boot").write_text("boot-1\n")
    for entry in (folder, host.home, folder / "etc"):
        entry.chmod(0o755)
    Path("/run/sudo").mkdir(mode=0o711, exist_ok=True)
    env = {"DRCTL_BOOT_ID_FILE": "/etc/drctl-boot"}
    inside = ("unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-ec", _ENTER, "enter", str(folder))
    with openssh_server(keys, folder, env, inside=inside, AuthorizedKeysFile="/etc/drctl-client.pub") as connect:
        yield host, connect
