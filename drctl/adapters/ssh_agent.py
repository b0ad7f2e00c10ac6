"""An ssh-agent that is waited for no longer than a login may take.

paramiko waits for its agent without any limit, so that one which says nothing (a forwarded one whose far end is gone, a
key that waits for a touch) would hold a step for ever; and it does not tell no agent from one without keys.
"""

import errno
import os
import socket
import time

import paramiko

_MOST_KEYS = 256  # sshd takes six tries of a login as it comes
_LIST, _LISTED = b"\x0b", 12  # SSH_AGENTC_REQUEST_IDENTITIES and its answer (draft-ietf-sshm-ssh-agent)


class AgentError(Exception):
    """The agent gives no key; the message says why, and what to type next."""


class Agent(paramiko.Agent):
    """The agent that SSH_AUTH_SOCK names, with its keys.

    `trouble` is what went wrong with it while it was asked to sign, for whoever has only paramiko's word for it.

    Args:
        seconds: what all of its answers together may take, from now.

    Raises:
        AgentError: there is none, it says nothing or nonsense, or it has no key.
    """

    def __init__(self, seconds: float) -> None:
        paramiko.agent.AgentSSH.__init__(self)  # paramiko.Agent would connect, and wait
        self.trouble = ""
        self._until = time.monotonic() + seconds
        self.at = os.environ.get("SSH_AUTH_SOCK", "")
        if not self.at:
            raise AgentError("SSH_AUTH_SOCK names no agent. Next: eval $(ssh-agent) && ssh-add FILE, then again")
        self._conn = socket.socket(socket.AF_UNIX)
        try:
            self._conn.settimeout(seconds)
            self._conn.connect(self.at)
            self._keys = self._listed()
        except (OSError, paramiko.SSHException, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self.close()
            raise AgentError(self.trouble or self._told(f"no agent answers at {self.at}: {why}")) from None
        if not self._keys:
            self.close()
            raise AgentError(f"the agent at {self.at} has no key. Next: SSH_AUTH_SOCK={self.at} ssh-add FILE")

    def _listed(self) -> tuple[paramiko.AgentKey, ...]:
        """Its keys; raises ValueError for an answer that is none."""
        kind, answer = self._send_message(_LIST)  # type: ignore[attr-defined] # paramiko's own; its types leave it out
        count = answer.get_int()
        if kind != _LISTED or count > _MOST_KEYS:
            message = "its answer is no list of keys"
            raise ValueError(message)
        return tuple(
            paramiko.AgentKey(agent=self, blob=answer.get_binary(), comment=answer.get_text()) for _ in range(count)
        )

    def _told(self, what: str) -> str:
        return f"{what}. Next: SSH_AUTH_SOCK={self.at} ssh-add -l"

    def _read_all(self, wanted: int) -> bytes:
        """Read so many bytes, while there is time; an agent that gives a byte now and then is not waited for either."""
        data = b""
        while len(data) < wanted:
            left = self._until - time.monotonic()
            try:
                self._conn.settimeout(max(0.001, left))
                more = self._conn.recv(min(65536, wanted - len(data))) if left > 0 else None
            except TimeoutError:
                more = None
            if more is None:
                self.trouble = self._told(f"the agent at {self.at} does not answer")
                raise TimeoutError(errno.ETIMEDOUT, self.trouble)
            if not more:
                self.trouble = self._told(f"the agent at {self.at} ended before it had answered")
                raise paramiko.SSHException(self.trouble)
            data += more
        return data
