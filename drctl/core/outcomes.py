"""The words for what a step does to the world, how it ends, and what follows a bad end."""

from __future__ import annotations

import enum


class Effect(enum.Enum):
    """What carrying out a step does to the world, and so what a second time would do."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"
    IRREVERSIBLE = "irreversible"


class Outcome(enum.Enum):
    """How a step ends (language specification, section 5)."""

    OK = "ok"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    IN_DOUBT = "in_doubt"
    SKIPPED = "skipped"
    EMPTY = "empty"
    NOT_RUN = "not_run"
    PARTIAL = "partial"

    @property
    def bad(self) -> bool:
        """The field `failed` of the language: it ran or tried and did not end well."""
        return self in {Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.EMPTY}


class OnFailure(enum.Enum):
    """What a failed step does to the run."""

    PAUSE = "pause"
    ROLLBACK = "rollback"
    ABORT = "abort"
