"""What to do when a host cannot be reached: one line for each first word of a `LinkProblem`."""

from drctl.core.inventory import Host

_NEXT = {
    "refused": "the machine answers, its sshd does not: on its console, systemctl status ssh; else correct `port`",
    "silent": "look at it another way (console, hypervisor, another site), and at the firewall between",
    "reset": "on its console: journalctl -u ssh (MaxStartups, a full process table), and whatever stands between",
    "address": "write an address that needs no name server into the inventory, if names are what is lost",
    "unreachable": "ip route get {address}",
    "login": "ssh -v {user}@{address}; on the host, the log of sshd says why; then correct login in the inventory",
    "frozen": "look at its console: a full disk or memory freezes a host that still answers ping",
    "busy": "raise MaxSessions in its sshd_config, or lower fan_out",
}


def advised(because: str, host: Host) -> str:
    """The reason with what to do next, unless it says so itself."""
    next_ = _NEXT.get(because.partition(":")[0])
    if next_ is None or "Next: " in because:
        return because
    return f"{because}. Next: {next_.format(address=host.address, user=host.login.user)}"
