"""What OpenSSH's client is started with, and what its words mean.

The person's `~/.ssh/config` applies: that is what this transport is for. Whatever would weaken what drctl promises is
said on the command line, where the first word wins: host keys come from the inventory alone, nothing is asked for or
forwarded, and address, port and user are those that the inventory froze.
"""

import re
import shlex
from collections.abc import Collection
from pathlib import Path

from drctl.adapters.ssh_keys import Pins, fingerprints, revoked, stranger
from drctl.adapters.ssh_transport import CONNECT
from drctl.core.hostnames import matches
from drctl.core.inventory import Host
from drctl.core.nouns import dataclass

PING, PINGS = 5, 3  # whole seconds between two questions to a host that says nothing, and how many it may leave open
_FIXED = {
    # nobody is at a terminal, and no window opens
    "BatchMode": "yes", "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "RequestTTY": "no",
    "EscapeChar": "none",
    # only what the inventory pins is believed, whatever else this machine knows
    "StrictHostKeyChecking": "yes", "GlobalKnownHostsFile": "/dev/null", "VerifyHostKeyDNS": "no",
    "FingerprintHash": "sha256", "NoHostAuthenticationForLocalhost": "no", "CheckHostIP": "no", "UpdateHostKeys": "no",
    "CASignatureAlgorithms": "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,"
    "rsa-sha2-512,rsa-sha2-256",
    # the host gets nothing of this machine
    "ForwardAgent": "no", "ForwardX11": "no", "ClearAllForwardings": "yes", "Tunnel": "no", "PermitLocalCommand": "no",
    "RemoteCommand": "none", "AddKeysToAgent": "no", "CanonicalizeHostname": "no",
    # one master, in the foreground, with every limit set
    "ControlMaster": "yes", "ControlPersist": "no", "ConnectionAttempts": "1",
    "TCPKeepAlive": "yes",
}  # fmt: skip
_LATER = {  # not in every ssh since 8.1 (2019); it knows them when it lists the first word among its settings
    "KnownHostsCommand": ("logverbose", "none"),  # both came with 8.5
    "ForkAfterAuthentication": ("forkafterauthentication", "no"),
    "GSSAPIKeyExchange": ("gssapikeyexchange", "no"),  # of Debian and Red Hat: it proves a host without its key
}
_SHOWN = re.compile(
    r"^debug1: (?:sshconnect\.c:\S+ \([^)]*\): )?Server host (?:key|certificate): (\S+?)(-cert-v0\d@openssh\.com)?"
    r" (SHA256:[^\s,]+)",
    re.MULTILINE,
)
_PRINCIPAL = re.compile(
    r"^debug2: (?:sshconnect\.c:\S+ \([^)]*\): )?Server host certificate hostname: ([^\r\n]+)", re.MULTILINE
)
_NAME = re.compile(r"[\w.*?:-]+")
_BELIEVED = re.compile(
    r"^debug1: (?:sshconnect\.c:\S+ \([^)]*\): )?Host '[^']*' is known and matches the \S+ host cert", re.MULTILINE
)
_KEX = re.compile(r"^debug1: kex: algorithm: (\S+)", re.MULTILINE)
_SLOW_KEX, _QUICK_KEX = "sntrup761x25519", "curve25519-sha256"
_REFUSAL = re.compile(r"open failed: (.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a master finds and leaves what is its own."""

    socket: str
    known_hosts: str
    log: str


def known_hosts(host: Host) -> str:
    """The lines of a private `known_hosts` of one host: whatever it is called, it has these keys or none."""
    lines = [f"* {line}" for line in host.host_keys]
    lines += [f"@cert-authority * {line}" for line in host.host_cas]
    lines += [f"@revoked * {line}" for line in host.revoked_keys]
    return "".join(f"{line}\n" for line in lines)


def arguments(host: Host, name: str, files: Files, through: str | None, knows: Collection[str]) -> list[str]:
    """The words after `ssh`, for a master to one host, whose keys are looked up as `name`. `knows`: its settings.

    The host is called by its name in the inventory, so `Host NAME` rules apply; `Match host` rules see the address.
    """
    login = host.login
    options = _FIXED | {option: value for option, (sign, value) in _LATER.items() if sign in knows}
    options |= {
        "HostName": _literal(host.address),
        "HostKeyAlias": name,
        "UserKnownHostsFile": files.known_hosts,
        # the pinned types first; a key of another type is refused as well, but its fingerprint can be told
        "HostKeyAlgorithms": "^" + ",".join(dict.fromkeys(Pins(host).types)),
        "ControlPath": files.socket,
        "ConnectTimeout": f"{CONNECT:.0f}",
        "ServerAliveInterval": f"{PING}",
        "ServerAliveCountMax": f"{PINGS}",
    }
    if not login.agent:
        options["IdentityAgent"] = "none"
    if login.key is not None:
        options["IdentitiesOnly"] = "no" if login.agent else "yes"
    if host.host_cas and "logverbose" in knows:  # whom a certificate names is logged only on request
        options["LogVerbose"] = "sshconnect.c:verify_host_key():*"
    if through is not None:
        # through that socket or not at all: this client must not connect by itself when the socket is gone
        way = ["ssh", "-F", "none", "-oBatchMode=yes", "-oProxyCommand=false", "-S", through]
        options["ProxyCommand"] = _literal(shlex.join([*way, "-W", f"[{host.address}]:{host.port}", "--", "way"]))
        options["ProxyUseFdpass"] = "no"
    key = ["-i", _literal(str(Path(login.key).expanduser()))] if login.key is not None else []
    said = [f"-o{option}={value}" for option, value in options.items()]
    return ["-v", "-N", "-T", "-E", files.log, *said, *key, "-p", f"{host.port}", "-l", login.user, "--", host.name]


def _literal(text: str) -> str:
    """The same for ssh, in whose options `%` stands for something."""
    return text.replace("%", "%%")


def refused_way(host: Host, said: str) -> str:
    """Why a host on the way did not connect to the next, by what it said."""
    where, words = f"{host.address}:{host.port}", said.lower()
    if "refused" in words or "errno 111" in words:
        return f"refused: nothing listens at {where}"
    if "timed out" in words:
        return f"silent: no answer from {where}"
    return f"unreachable: {where}: {said or 'no reason was given'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a master logged, and what it or a proxy wrote to stderr."""

    log: str
    err: str

    @property
    def host_key(self) -> str:
        """The fingerprint of the key that the host showed; empty when it showed none."""
        found = _SHOWN.search(self.log)
        return found[3] if found else ""

    def names_nobody(self, host: Host) -> bool:
        """Whether only a certificate vouches for the host that names no host: ssh takes it for any, drctl for none."""
        by_certificate = _BELIEVED.search(self.log) is not None and self.host_key not in fingerprints(host)
        return by_certificate and _PRINCIPAL.search(self.log) is None

    def certified_name(self, host: Host) -> str:
        """The name of a refused certificate that means this host; empty when there is none, or it was not the name.

        It is not believed for that: ssh has yet to find it in a certificate that holds.
        """
        if "name is not a listed principal" not in self.log:
            return ""
        ours, named = {host.address, host.name}, _PRINCIPAL.findall(self.log)
        return next((one for one in named if _NAME.fullmatch(one) and any(matches(one, name) for name in ours)), "")

    @property
    def way_refused(self) -> bool:
        """Whether the host on the way did not connect."""
        return "stdio forwarding" in self.err.lower()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the link."""
        found = _KEX.search(self.log)
        if found is None or not found[1].startswith(_SLOW_KEX):
            return ()
        costs = f"its link was opened with {found[1]}, which costs the ssh of Debian 12 13 times the CPU of"
        return (f"{costs} {_QUICK_KEX}. Next: for a large fleet, KexAlgorithms ^{_QUICK_KEX} in ~/.ssh/config",)

    @property
    def refusal(self) -> str:
        """The newest words with which the host refused a channel."""
        found = _REFUSAL.findall(self.log)
        return str(found[-1]).strip() if found else ""

    @property
    def end(self) -> str:
        """Why an open link is no more."""
        frozen = "not responding" in self.log
        return "frozen: the host stopped answering on an open link" if frozen else "reset: the link broke"

    def stranger(self, host: Host, why: str) -> str:
        """The host is not what the inventory pins."""
        return stranger(host, self._shown(), why)

    def problem(self, host: Host, *, ended: bool) -> str:
        """Why no link came, by its first word; `ended`: ssh gave up by itself, and was not ended at the limit."""
        where, said = f"{host.address}:{host.port}", self._last()
        if not ended or re.search(r"timed out", said):
            return self._silence(host, where)
        for pattern, meaning in (
            (r"Host key verification failed|no matching host key type", self._host_key),
            (r"Permission denied \(|Too many authentication failures", self._login),
        ):
            if re.search(pattern, self.log):
                return meaning(host)
        because = _fault(said, host.address, where)
        if because.startswith("reset") and not self.host_key:
            because += " before it said what it is"
        proxy = self._proxy()
        return because + (f"; its proxy said: {proxy}" if proxy and proxy != said else "")

    def _shown(self) -> str:
        found = _SHOWN.search(self.log)
        return f"{found[1]} {found[3]}" if found else "a key that is not known"

    def _last(self) -> str:
        """The last word that is no debugging."""
        return _newest(self.log) or self._proxy()

    def _proxy(self) -> str:
        return _newest(self.err)

    def _silence(self, host: Host, where: str) -> str:
        if "Confirm user presence" in self.err + self.log:
            return f"login: the security key of {host.login.user} was not touched in time"
        if "Connection established" not in self.log and "Executing proxy command" not in self.log:
            return f"silent: no answer from {where}"
        if "Remote protocol version" not in self.log:
            return f"silent: {where} took the connection and then said nothing"
        return f"silent: {where} stopped answering while the link was opened"

    def _login(self, host: Host) -> str:
        takes = re.search(r"Permission denied \(([^)]*)\)", self.log)
        parts = [f"login: {host.address}:{host.port} refused {host.login.user}"]
        parts += [f"it takes {takes[1]}"] if takes else []
        parts += [line.strip() for line in re.findall(r'^Load key "[^"]*": [^\r\n]+', self.log, re.MULTILINE)]
        return "; ".join(parts)

    def _host_key(self, host: Host) -> str:
        offer = re.search(r"Their offer: (\S+)", self.log)
        if offer is not None:
            where = f"{host.address}:{host.port}"
            return f"host key: {where} and the inventory have no type of host key in common: it has {offer[1]}"
        if "REVOKED HOST KEY" in self.log or "marked as revoked" in self.log:
            return revoked(host, self._shown())
        if not host.host_cas:
            return stranger(host, self._shown(), "")
        refused = re.search(r"Certificate invalid: ([^\r\n]+)", self.log)
        found = _SHOWN.search(self.log)
        if refused is None and (found is None or found[2] is None):
            return stranger(host, self._shown(), " and no certificate")
        why = self._objection(host, refused[1]) if refused is not None else "it is signed by another authority"
        return stranger(host, self._shown(), f" and a certificate: {why}")

    def _objection(self, host: Host, said: str) -> str:
        """Why ssh did not take a certificate, with what stands in it."""
        valid = re.search(r"Server host certificate: .* valid (?:from|after) (\S+)(?: to (\S+))?", self.log)
        if "principal" in said:
            named = ", ".join(_PRINCIPAL.findall(self.log)[:8])[:200] or "no host at all"
            return f"it names {named}, and not {' or '.join(sorted({host.address, host.name}))}"
        if valid is not None and "not yet valid" in said:
            return f"it is not valid before {valid[1]}"
        if valid is not None and valid[2] and "expired" in said:
            return f"it was valid until {valid[2]}"
        return said


def _fault(said: str, address: str, where: str) -> str:
    """What the last word of ssh means, for faults below the login."""
    reason = said.rpartition(": ")[2]
    faults = (
        (r"Connection refused", f"refused: nothing listens at {where}"),
        (r"Could not resolve hostname", f"address: {address} cannot be resolved: {reason}"),
        (r"No route to host|is unreachable|Network is down", f"unreachable: {where}: {reason}"),
        (r"onnection reset|onnection closed|closed by|Broken pipe", f"reset: {where} closed the connection"),
    )
    found = next((meaning for pattern, meaning in faults if re.search(pattern, said)), "")
    return found or f"link: {where}: ssh said: {said or 'nothing'}"


def _newest(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not re.match(r"debug\d:|OpenSSH_\d", line)]
    return told[-1][:200] if told else ""
