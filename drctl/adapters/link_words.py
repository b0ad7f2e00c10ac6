"""What to do when a host cannot be reached: one line for each first word of a `LinkProblem`."""

from drctl.core.inventory import Host

NEW_RUN = " in the inventory, for a new run: one that is open keeps the inventory it began with"
_NEXT = {
    "refused": "the machine answers, its sshd does not. There: systemctl status ssh; else correct `port`{open}",
    "silent": "look at it another way (console, hypervisor, another site), and at the firewall between",
    "reset": "on its console: journalctl -u ssh (MaxStartups, a full process table), and whatever stands between",
    "address": "write an address that needs no name server into the inventory, if names are what is lost",
    "unreachable": "ip route get {address}",
    "login": "ssh -v -p {port} {user}@{address}; on the host, the log of sshd says why; then correct login{open}",
    "frozen": "look at its console: a full disk or memory freezes a host that still answers ping",
    "busy": "raise MaxSessions in its sshd_config, or lower fan_out",
}


def advised(because: str, host: Host) -> str:
    """The reason with what to do next, unless it says so itself."""
    next_ = _NEXT.get(because.partition(":")[0])
    if next_ is None or "Next: " in because:
        return because
    words = next_.format(address=host.address, port=host.port, user=host.login.user, open=NEW_RUN)
    return f"{because}. Next: {words}"
