"""An ssh-agent that is waited for no longer than a login may take.

paramiko waits for its agent without any limit, so that one which says nothing (a forwarded one whose far end is gone, a
key that waits for a touch) would hold a step for ever; and it does not tell no agent from one without keys.
"""

import os
import socket

import paramiko


class AgentError(Exception):
    """The agent gives no key; the message says why, and what to type next."""


class Agent(paramiko.Agent):
    """The agent that SSH_AUTH_SOCK names, with its keys.

    `mute` is whether it owed an answer when its time was over, for whoever has only paramiko's word for it.

    Raises:
        AgentError: there is none, it says nothing, or it has no key.
    """

    def __init__(self, seconds: float) -> None:
        paramiko.agent.AgentSSH.__init__(self)  # paramiko.Agent would connect, and wait
        self.mute = False
        self.at = os.environ.get("SSH_AUTH_SOCK", "")
        if not self.at:
            raise AgentError("SSH_AUTH_SOCK names no agent. Next: eval $(ssh-agent) && ssh-add FILE, then again")
        conn = socket.socket(socket.AF_UNIX)
        conn.settimeout(seconds)
        try:
            conn.connect(self.at)
            self._connect(conn)  # type: ignore[attr-defined] # paramiko's own, which its types leave out
        except TimeoutError:
            conn.close()
            raise AgentError(self.silence) from None
        except (OSError, paramiko.SSHException) as error:
            conn.close()
            why = getattr(error, "strerror", None) or str(error)
            next_ = f"SSH_AUTH_SOCK={self.at} ssh-add -l"
            raise AgentError(f"no agent answers at {self.at}: {why}. Next: {next_}") from None
        if not self.get_keys():
            self.close()
            raise AgentError(f"the agent at {self.at} has no key. Next: SSH_AUTH_SOCK={self.at} ssh-add FILE")

    @property
    def silence(self) -> str:
        """What is said of an agent that says nothing."""
        return f"the agent at {self.at} does not answer. Next: SSH_AUTH_SOCK={self.at} ssh-add -l"

    def _read_all(self, wanted: int) -> bytes:
        try:
            return bytes(super()._read_all(wanted))  # type: ignore[misc] # paramiko's own, which its types leave out
        except TimeoutError:
            self.mute = True
            raise
