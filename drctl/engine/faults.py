"""What a step kind may raise and must not: a fault in one step leaves the run with an end that people can act upon."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from drctl.core.kind import FieldError
from drctl.core.nouns import dataclass
from drctl.engine.shells import Doubt
from drctl.engine.stops import Stop
from drctl.errors import DefectError, DrctlError, JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Told:
    """Why there is no result; empty while there may be one."""

    because: str = ""


@contextlib.contextmanager
def telling() -> Iterator[Told]:
    """Around code of a kind: what it raises becomes a sentence, except what ends the run or belongs to the engine.

    A run that broke off here would break off again at every resume, and nobody could skip the step.
    """
    told = Told()
    try:
        yield told
    except (Stop, Doubt, JournalError, DefectError):
        raise
    except FieldError as error:
        told.because = f"needs another value: {error}"
    except DrctlError as error:
        told.because = error.what
    except Exception as error:  # noqa: BLE001 - see above: whatever it is, it belongs to this step alone
        told.because = f"a defect in drctl: {type(error).__name__}: {error}"
