"""`--transport`: what opens links to hosts, for every command that may open one.

It stands in the record with whoever opened or took up the run; who goes on without the option uses the newest one.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import click

from drctl.core.transports import FABRIC, OPENSSH
from drctl.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.cli.app import Settings


def over(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option; `Settings.transport` is its value, empty when it was not given."""
    return click.option(
        "--transport", type=click.Choice([FABRIC, OPENSSH]), expose_value=False, callback=_keep,
        help="What opens links to hosts: fabric (unless the run says otherwise), or openssh, the ssh of this machine.",
    )(command)  # fmt: skip


def _keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    settings: Settings = ctx.obj
    settings.transport = value or ""
    require(settings.transport)


def require(transport: str) -> None:
    """Refuse a transport that this machine lacks, before anything is opened or recorded. Empty stands for the default.

    Raises:
        RefusedError: there is no `ssh` here, or a newer drctl recorded a transport that this one does not know.
    """
    if transport not in {"", FABRIC, OPENSSH}:
        raise RefusedError(
            f"The record says that links were opened by {transport!r}, which this version of drctl does not know.",
            where="transport", meaning="Nothing was changed.",
            next=f"go on with the drctl that ran it, or say how to log in: --transport {FABRIC}, or {OPENSSH}",
        )  # fmt: skip
    if transport == OPENSSH and shutil.which("ssh") is None:
        raise RefusedError(
            "There is no ssh on this machine, which the transport openssh needs.", where=f"--transport {OPENSSH}",
            meaning="Nothing was changed.",
            next=f"apt-get install openssh-client (dnf install openssh-clients), or --transport {FABRIC}",
        )  # fmt: skip
