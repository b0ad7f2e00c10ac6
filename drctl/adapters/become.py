"""Becoming another user on a host by sudo, without a terminal, and what it means when sudo refuses.

A password never stands in an argument, an environment or a terminal. It is written once, after sudo has printed a
prompt that holds a nonce, and what drctl has to say follows only when the user's shell has said that it is there. So
whatever sudo asks for or refuses, nothing has begun.
"""

import re
from collections.abc import Callable
from dataclasses import field

from drctl.adapters.carrier import Carried, Streams, exec_text
from drctl.adapters.claim_text import nonce
from drctl.core.nouns import dataclass
from drctl.core.values import Secret
from drctl.errors import DefectError, DrctlError

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")
_READY = "@drctl-ready"
PATIENCE = 30.0  # seconds for sudo to ask and to answer: a directory may be slow, a question is never for ever
_MEANINGS = (  # what sudo says in the language of C, what that means, what to do
    (r"sudo: (?:command )?not found|sudo: No such file|can't execute 'sudo'",
     "sudo is not installed", "install it, or log in as {user}: login.user in the inventory"),
    (r"must have a tty|no tty present", "sudoers asks for a terminal (requiretty), which drctl never opens",
     "in sudoers: Defaults:{login} !requiretty"),
    (r"a password is required", "sudo asks {login} for a password, and the inventory gives none",
     "become: {{by: sudo, password: env:NAME}} in the inventory, or NOPASSWD in sudoers"),
    (r"unknown user", "there is no user {user}", "correct `as`, or make the user"),
    (r"not in the sudoers|is not allowed|may not run sudo|not permitted",
     "sudoers does not let {login} become {user}", "in sudoers: {login} ALL=({user}) ALL"),
    (r"expired|account validation|locked", "the account {login} is expired or locked for sudo",
     "on the host, as root: chage -l {login}; passwd -S {login}"),
    (r"incorrect password|try again|no password was provided|Authentication failure",
     "sudo does not take the password of {login}", "correct what become.password of the inventory refers to"),
    (r"effective uid is not 0|nosuid|no new privileges",
     "sudo may not change the user there (nosuid, or no new privileges)", "on the host: ls -l $(command -v sudo)"),
    (r"sudoers|parse error|syntax error", "sudo cannot read its own settings", "on the host, as root: visudo -c"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sudo:
    """How another user's shell is had on one host.

    Attributes:
        host: its name, for messages.
        login: who asks sudo.
        password: gives the password at the moment of use, raising DrctlError; None where sudo asks for none.
    """

    host: str
    login: str = "the login user"
    password: Callable[[], Secret] | None = None

    def way(self, user: str | None, shell: str, script: str = "") -> "tuple[str, Door | None]":
        """The exec string for a shell as this user, and what must be heard before anything is said to it."""
        if user is None:
            return exec_text(shell, script), None
        if not _USER.fullmatch(user):
            raise DefectError(f"{user!r} is not the name of a user")
        to = f"-u '{user}' -H -- "
        if self.password is None:
            return f"exec sudo -n {to}{exec_text(shell, script).removeprefix('exec ')}", None
        door = Door(sudo=self, user=user, password=self.password)
        greeted = exec_text(shell, f'printf "\\n{_READY}\\n"; {script or f"exec {shell}"}').removeprefix("exec ")
        return f"exec sudo -S -k -p {door.prompt} {to}{greeted}", door

    def refusal(self, user: str, carried: Carried) -> str:
        """What it means that no shell came, and what to do."""
        return self.meaning(user, carried.err or carried.out, carried.status)

    def meaning(self, user: str, said: bytes, status: int | None = None) -> str:
        """One sentence about what sudo said."""
        text = said.decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        word = f"it said: {lines[-1][:200]}" if lines else "it said nothing"
        code = "" if status is None else f", exit status {status}"
        for pattern, meaning, then in _MEANINGS:
            if re.search(pattern, text):
                what, to_do = (each.format(login=self.login, user=user) for each in (meaning, then))
                return f"sudo: on {self.host} {what}; {word}{code}. Next: {to_do}"
        what = f"sudo: {self.host} gave {self.login} no shell as {user}; {word}{code}"
        return f"{what}. Next: on the host, sudo -l -U {self.login}"


@dataclass(slots=True, kw_only=True)
class Door:
    """Stands before one exchange while sudo asks. `is_open`: say what is to be said. `shut`: why that never comes."""

    sudo: Sudo
    user: str
    password: Callable[[], Secret]
    prompt: str = field(default_factory=lambda: f"drctl-{nonce()}:")
    is_open: bool = False
    shut: str = ""
    _answered: bool = False

    @property
    def seconds(self) -> float:
        """How long it may stay neither open nor shut."""
        return PATIENCE

    @property
    def over(self) -> bool:
        """Whether it is known which of the two it is."""
        return self.is_open or bool(self.shut)

    def hear(self, streams: Streams) -> bytes:
        """Take what was printed so far; give what is to be written now."""
        if f"\n{_READY}\n".encode() in streams.out.content:
            self.is_open = True
            return b""
        asked = streams.err.content.count(self.prompt.encode())
        if asked > 1:
            self.shut = self.sudo.meaning(self.user, b"Sorry, try again: it asked once more")
        if asked != 1 or self._answered:
            return b""
        self._answered = True
        try:
            password = self.password().reveal()
        except DrctlError as error:
            self.shut = f"sudo: {self.sudo.host} asks {self.sudo.login} for a password: {error.what}"
            return b""
        if set(password) & set("\n\r\0"):  # what follows the line end would be read by the shell
            self.shut = "sudo: become.password of the inventory refers to a text of several lines, which is no password"
            return b""
        return f"{password}\n".encode("utf-8", "surrogateescape")

    def closed(self, streams: Streams, *, waited: bool) -> str:
        """Why it stays shut: the far side has hung up, or `waited` too long."""
        said = streams.err.content.replace(self.prompt.encode(), b"")
        if not waited:
            return self.shut or self.sudo.meaning(self.user, said)
        what = "did not answer the password" if self._answered else "asked for no password and gave no shell"
        return self.shut or (
            f"sudo: on {self.sudo.host} sudo {what} in time. Next: on the host, as {self.sudo.login}: "
            f"time sudo -k -u {self.user} true (a directory or name server that does not answer is the usual cause)"
        )
