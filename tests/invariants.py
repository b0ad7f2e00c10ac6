"""The invariants I1 to I10, counted: the one checker of all campaigns that kill, disturb or starve a run.

Evidence is taken where things happen (on hosts, in files, from exit codes) and held against the journal, never the
journal against itself. A campaign hands over what it has; what it has no evidence for it does not call. There is no
index beside the journal, so of I6 only the fold is left: a state kept in memory equals the fold of what is on the disk.
"""

import base64
import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drctl.adapters.keys import verify_signature
from drctl.core.fold import RunState
from drctl.core.outcomes import Outcome
from drctl.core.records import CHECKPOINT, Record
from drctl.core.states import Unit
from drctl.core.verification import Verdict, Verification, verify
from drctl.errors import Exit
from tests.campaign.registry import Figures

I1 = "I1 effects without an earlier durable intent"
I2 = "I2 effects done twice"
I3 = "I3 acknowledged records lost"
I4 = "I4 outcomes that differ from the host"
I5 = "I5 journals that do not verify"
I6 = "I6 states that are not the fold"
I7 = "I7 irreversible acts without approval"
I8 = "I8 epochs that fell, or generations that did not rise"
I9 = "I9 secrets seen"
I10 = "I10 exit codes or reports that differ from the journal"

AT_MOST_ONCE = ("once", "irreversible")
NEVER_RAN = ("void", "refused")
OPEN_ENDS = (Verdict.OPEN, Verdict.UNSIGNED_TAIL, Verdict.TORN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One effect, as the place where it happened tells it.

    Attributes:
        step: which act's.
        key: the claim it ran under; empty where nothing can be claimed.
        announced: whether its intent was on the disk at that moment.
    """

    step: str
    key: str = ""
    announced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One claim folder on a host: its key, and what became of its command (an exit code, `pending`, `void`, ...)."""

    host: str
    run: str
    key: str
    end: str

    @property
    def ran(self) -> bool:
        """Whether a command was started under it."""
        return self.end not in NEVER_RAN


def claims_under(folder: Path, host: str) -> list[Claimed]:
    """Every claim in a host's state folder."""
    found = []
    for claim in sorted(folder.glob("runs/*/claims/*")):
        if claim.suffix:  # being put aside by the wrapper: nothing was started under it
            continue
        rc = claim / "rc"
        end = rc.read_text().strip() if rc.exists() else "none"
        found.append(Claimed(host=host, run=claim.parent.parent.name, key=claim.name, end=end))
    return found


@dataclass(frozen=True, slots=True)
class Checker:
    """Counts into `figures`; `where` says how the case can be seen again."""

    figures: Figures
    where: str

    def start(self, *names: str) -> None:
        """Let promises stand in the report even when none is broken."""
        for name in names:
            self.figures.count(name, 0)

    def _check(self, name: str, wrong: object) -> None:
        self.figures.check(not wrong, name, f"{self.where}: {wrong}")

    def announced(self, effects: Iterable[Effect]) -> None:
        """I1: every effect had its intent before it."""
        self._check(I1, [effect.step for effect in effects if not effect.announced])

    def once(self, effects: Iterable[Effect], classes: Mapping[str, str]) -> None:
        """I2: no claim ran twice, and no step that is to happen once did, whatever its claims.

        Args:
            effects: all of them.
            classes: step to the effect its runbook states; what is not in it counts as `once`.
        """
        effects = list(effects)
        keys = Counter(effect.key for effect in effects if effect.key)
        steps = Counter(effect.step for effect in effects if classes.get(effect.step, "once") in AT_MOST_ONCE)
        self._check(I2, [f"{what}: {times}" for what, times in (keys + steps).items() if times > 1])

    def kept(self, before: Mapping[int, Record], after: Mapping[int, Record]) -> None:
        """I3: what was acknowledged is there after the crash, as it was."""
        self._check(I3, [seq for seq, record in before.items() if after.get(seq) != record])

    def grew(self, before: bytes, after: bytes) -> None:
        """I3, by bytes: the whole lines of an earlier life of the file are the beginning of it for ever."""
        whole = before[: before.rfind(b"\n") + 1]
        lost = "" if after.startswith(whole) else f"{len(whole)} bytes were there, and are not the beginning any more"
        self._check(I3, lost)

    def told(self, state: RunState, claims: Sequence[Claimed]) -> None:
        """I1 and I4: each claim on a host is one that was announced, and what the record says of it is its exit code.

        Args:
            state: the fold, of a run that is over.
            claims: of this run, on all its hosts.
        """
        units = {
            unit.started.key: unit for step in state.steps.values() for unit in step.units
            if unit.started is not None and unit.started.key
        }  # fmt: skip
        self._check(I1, [claim for claim in claims if claim.ran and claim.key not in units])
        differ = []
        for claim in claims:
            unit = units.get(claim.key)
            if unit is not None and not _agree(unit, claim):
                differ.append(f"{claim}: {unit.commands} {unit.finished}")
        self._check(I4, differ)

    def missing(self, name: str, wanted: Iterable[str], there: Collection[str]) -> None:
        """I4 in another name: what is told as done is there."""
        self._check(name, [what for what in wanted if what not in there])

    def verifies(self, data: bytes | Path, wanted: Collection[Verdict], key: bytes | None = None) -> Verification:
        """I5: the journal is intact, and its end is one of those that are wanted."""
        if isinstance(data, Path):
            data = data.read_bytes()
        word = verify(data.splitlines(keepends=True), public_key=key, check_signature=verify_signature)
        self._check(I5, "" if word.verdict in wanted else f"{word.verdict.name} {word.first_bad}")
        return word

    def folded(self, kept: RunState, folded: RunState) -> None:
        """I6: the state that acts were decided by is the fold of the records."""
        self._check(I6, "" if kept == folded else "the state is not the fold")

    def approved(self, state: RunState, paths: Iterable[str]) -> None:
        """I7: before each intent of these steps stands an accepted yes to the question about it."""
        bare = []
        for path in paths:
            begun = [unit.started_seq for unit in state.step(path).units if unit.started is not None]
            yes = [
                question.decided_seq for question in state.questions.values()
                if question.asked.path == path and question.asked.kind == "approval"
                and question.decided is not None and question.decided.choice == "approve"
            ]  # fmt: skip
            bare += [path for seq in begun if not any(0 <= said < seq for said in yes)]
        self._check(I7, bare)

    def epochs(self, records: Iterable[Record], hosts: Mapping[str, Sequence[int]] | None = None) -> None:
        """I8: epochs of records never fall, and no host knows one that the journal does not."""
        seen = [record.epoch for record in records if record.type != CHECKPOINT]
        fell = [pair for pair in itertools.pairwise(seen) if pair[1] < pair[0]]
        ahead = [name for name, known in (hosts or {}).items() if known and max(known) > max(seen, default=0)]
        self._check(I8, [*fell, *ahead])

    def renewed(self, state: RunState) -> None:
        """I8: what is tried again after a known failure has a claim of its own: an old one would answer for it."""
        stale = []
        for path, step in state.steps.items():
            failed: set[str] = set()
            for unit in step.units:
                if unit.started is not None and unit.started.key:
                    stale += [f"{path} attempt {unit.attempt}"] if unit.started.key in failed else []
                    ran = any(command.exit is not None for command in unit.commands)  # it has an end on the host
                    failed |= {unit.started.key} if ran and unit.outcome is Outcome.FAILED else set()
                if unit.outcome is Outcome.IN_DOUBT:
                    failed.clear()  # whoever is in doubt asks the old claim again
        self._check(I8, stale)

    def secret(self, canary: str, *folders: Path) -> None:
        """I9: a secret, or its base64, stands in no file there."""
        forms = [canary.encode(), base64.b64encode(canary.encode()).rstrip(b"=")[:-1]]
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        self._check(I9, [str(path) for path in files if any(form in path.read_bytes() for form in forms)])

    def ended(self, code: int, last: tuple[str, Mapping[str, Any]] | None, report: Path | None = None) -> None:
        """I10: the exit code is the last record's, and the report says the same; 74 says that there is no such record.

        Args:
            code: the process's.
            last: type and body of the last record that is no checkpoint; None when there is no journal.
            report: the JSON report of a closed run.
        """
        type_, body = last or ("nothing", {})
        if code == Exit.JOURNAL and type_ != "run_closed":
            self._check(I10, "")
            return
        if type_ not in ("run_closed", "run_paused") or body.get("exit") != code:
            self._check(I10, f"exit {code} after {type_} {dict(body)}")
        elif report is not None:
            said = json.loads(report.read_bytes())
            self._check(I10, "" if said["verdict"]["exit"] == code else f"exit {code}, the report: {said['verdict']}")
        else:
            self._check(I10, "")


def _agree(unit: Unit, claim: Claimed) -> bool:
    """Whether a unit's record fits what its claim on the host says."""
    exits = [ran.exit for ran in unit.commands if ran.exit is not None]
    if any(str(code) != claim.end for code in exits):
        return False
    finished = unit.finished
    if finished is None or finished.outcome != "ok" or finished.found or finished.by:
        return True  # open, or not said to be done by this claim
    return claim.end == "0"
