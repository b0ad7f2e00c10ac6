"""The shells a unit is given: as the step's user, and for an act bound to its claim, good for one command.

What a host says about a claim becomes a reply, or a `Doubt`: the act's own end cannot be had, and only a look decides.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from drctl.core.kind import FieldError
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect, Outcome
from drctl.core.ports import Claim, ClaimReply, ClaimShell, ClaimState, Command, Probe, ReadShell, Reply
from drctl.core.values import Duration, Unknown
from drctl.errors import DefectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drctl.core.model import Step
    from drctl.core.ports import Clock
    from drctl.engine.scope import RunScope
    from drctl.engine.stops import Control

_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")
_POLL: Final = Duration(1_000_000)
_LEAST: Final = Duration(1_000_000)


def user_of(step: Step, scope: RunScope) -> str | Unknown | None:
    """The user a step works as; None is the login user.

    Raises:
        FieldError: the text is no user's name.
    """
    if step.as_user is None:
        return None
    name = step.as_user.resolve(scope)
    if isinstance(name, Unknown):
        return name
    if not isinstance(name, str) or not _USER.fullmatch(name):
        raise FieldError("as", "is not the name of a user")
    return name


def as_digest(digest: str, user: str | None) -> str:
    """A command's digest for the record: who runs it is part of what happens."""
    return digest if user is None else hashlib.sha256(f"drctl/as/v1\n{user}\n{digest}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class UserShell:
    """Looks as another user."""

    shell: ReadShell
    user: str

    def read(self, command: Command) -> Reply:
        """Look."""
        return self.shell.read(replace(command, as_user=self.user))


def viewed(probe: Probe, user: str | None) -> Probe:
    """The ports for looking, as the step's user."""
    return probe if user is None else replace(probe, shell=UserShell(probe.shell, user))


class Doubt(Exception):  # noqa: N818 - a signal of the engine, not an error
    """The act's own reply cannot be had. `gone`: nothing of it runs any more. `never`: it surely did not begin."""

    def __init__(
        self, because: str, *, gone: bool = False, never: bool = False, outcome: Outcome = Outcome.FAILED
    ) -> None:
        super().__init__(because)
        self.because = because
        self.gone = gone
        self.never = never
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """How a unit's one command goes out.

    Attributes:
        path: the unit's address, for whoever ends it.
        effect: an irreversible command is never ended by drctl.
        user: whom it runs as; None is the login user.
        sensitive: its output must not stay on the host.
        attach: get the outcome of an earlier execution; nothing is started.
        left: when attaching, how long its end is waited for.
    """

    path: str
    effect: Effect
    user: str | None = None
    sensitive: bool = False
    attach: bool = False
    left: Duration = _LEAST


@dataclass(frozen=True, slots=True)
class Running:
    """A claim under way, for a person who wants it ended."""

    bond: Bond
    claim: Claim
    shell: ClaimShell
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told about a unit's command: that it goes out, and what the host said."""

    goes: Callable[[Running], None]
    told: Callable[[ClaimReply], None]
    clock: Clock
    control: Control


class BoundShell:
    """The shell of one unit: bound to its claim, good for one command; attaches instead of running after a crash."""

    def __init__(self, shell: ClaimShell, claim: Claim, bond: Bond, watch: Watch) -> None:
        self._shell = shell
        self._claim = claim
        self._bond = bond
        self._watch = watch
        self.used = False

    @property
    def attaches(self) -> bool:
        """Whether the outcome of an earlier execution is wanted."""
        return self._bond.attach

    def read(self, command: Command) -> Reply:
        """Look; free of the claim."""
        return self._shell.read(command if self._bond.user is None else replace(command, as_user=self._bond.user))

    def stage(self, chunks: Iterable[bytes]) -> str:
        """Upload beside the claim; when attaching nothing is sent, since the outcome is already on the host."""
        return "" if self._bond.attach else self._shell.stage(self._claim, chunks)

    def run(self, command: Command) -> Reply:
        """Run under the claim, or get its outcome back."""
        if self.used:
            raise DefectError("A step kind ran two commands in one execution", meaning="A unit has one claim.")
        self.used = True
        bond = self._bond
        command = replace(
            command, as_user=bond.user, killable=bond.effect is not Effect.IRREVERSIBLE,
            sensitive=command.sensitive or bond.sensitive,
        )  # fmt: skip
        self._watch.goes(Running(bond, self._claim, self._shell, command))
        answer = self._attached(command) if bond.attach else self._shell.run(self._claim, command)
        self._watch.told(answer)
        if answer.state in {ClaimState.RAN, ClaimState.REATTACHED} and answer.reply is not None:
            return answer.reply
        raise self._doubt(answer)

    def _attached(self, command: Command) -> ClaimReply:
        """Ask what became of it; one that still runs is waited for up to its limit, then ended if it may be."""
        clock, control, left = self._watch.clock, self._watch.control, self._bond.left
        end = clock.monotonic().micros + left.micros
        asking = replace(command, timeout=max(_LEAST, left))
        answer = self._shell.attach(self._claim, asking)
        while answer.state is ClaimState.STILL_RUNNING and clock.monotonic().micros < end and not control.ending:
            clock.sleep(_POLL, lambda: control.ending)
            asking = replace(asking, timeout=max(_LEAST, Duration(end - clock.monotonic().micros)))
            answer = self._shell.attach(self._claim, asking)
        if answer.state is ClaimState.STILL_RUNNING and command.killable:
            answer = self._shell.kill(self._claim, command)
        return answer

    def _doubt(self, answer: ClaimReply) -> Doubt:
        because, attach = answer.because or answer.state.value, self._bond.attach
        match answer.state:
            case ClaimState.NOT_STARTED:
                return Doubt(because, gone=True, never=True, outcome=Outcome.NOT_RUN)
            case ClaimState.REFUSED:
                # A refusal to run proves that nothing began; a refusal to answer proves nothing about what was sent.
                return Doubt(because, gone=not attach, never=not attach)
            case ClaimState.UNREACHABLE:
                return Doubt(because, gone=not attach, never=not attach, outcome=Outcome.UNREACHABLE)
            case ClaimState.KILLED:
                return Doubt(because, gone=True, outcome=Outcome.TIMEOUT)
            case ClaimState.STILL_RUNNING:
                return Doubt(f"still running: {because}")
            case _:
                return Doubt(because, gone=answer.gone)
