"""A recovery of twelve steps as real processes, on this machine and on a host behind real SSH, and what it left there.

Every effect writes a line into a file of its own case where it happens: whose it is, its claim, and whether its intent
stood in the journal at that moment. People answer what a run asks, and tell the truth: they look at that file.
"""

import getpass
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.farm import address, farm
from drctl.adapters.journal_reader import read
from drctl.adapters.statedir import RunFolder, StateDir
from drctl.cli.runs import entries, fold_of
from drctl.core.fold import RunState
from drctl.core.records import CHECKPOINT
from drctl.core.states import QuestionState
from drctl.core.verification import Verdict
from drctl.errors import DrctlError, Exit
from tests.campaign.registry import Figures
from tests.fakes.processes import Command, DiskFault, Ended, Starter
from tests.fakes.sshservers import SSHD, Keys
from tests.invariants import I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, OPEN_ENDS, Checker, Claimed, Effect, claims_under

CANARY = "correct-horse-battery-staple"
MISSING = "done, and something was not"
NEVER = "never ended"
OTHERWISE = "ended otherwise than well"
PROMISES = (I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, MISSING, NEVER, OTHERWISE)
LIVES = 60

_EFFECT = """\
a=0; grep -qs "$DRCTL_CLAIM" FOLDER/state/runs/*/journal.jsonl && a=1; echo "NAME $DRCTL_CLAIM $a" >>FOLDER/effects"""
_BOOK = """\
runbook: twelve
inputs: {token: {type: secret, from: "env:TWELVE_TOKEN"}}
phases:
  - id: before
    steps:
      - {id: seen, run: "echo 7", effect: read, capture: {n: int(stdout)}}
      - id: suspend
        run: 'DO(suspend)'
        effect: once
        VERIFY(suspend)
        undo: {none: a test}
        restore: {run: 'DO(restored)'}
      - {id: note, run: 'DO(note)', effect: idempotent, VERIFY(note), undo: {none: a test}}
  - id: over
    steps:
      - {id: fence, on: far, run: 'DO(fence)', effect: once, VERIFY(fence), undo: {none: a test}}
      - {id: blind, on: far, run: 'DO(blind)', effect: once, verify: {run: 'DARK(blind)'}, undo: {none: a test}}
      - {id: put, on: far, do: file.put, with: {path: FOLDER/placed, text: "n = ${{ steps.seen.n }}\\n"}}
      - id: both
        parallel:
          - {id: here, run: 'DO(here)', effect: once, VERIFY(here), undo: {none: a test}}
          - {id: there, on: far, run: 'DO(there)', effect: idempotent, VERIFY(there), undo: {none: a test}}
      - id: told
        on: far
        run: 'DO(told); echo "with $TOKEN"'
        with: {env: {TOKEN: "${{ inputs.token }}"}}
        effect: once
        VERIFY(told)
        undo: {none: a test}
      - id: promote
        on: far
        run: 'DO(promote)'
        effect: irreversible
        VERIFY(promote)
        undo: {none: a test}
        approve: {by: [commander], within: 10m}
  - id: after
    steps:
      - id: flaky
        run: 'if test -e FOLDER/tried; then DO(flaky); else : >FOLDER/tried; exit 9; fi'
        effect: once
        retry: {every: 1ms, times: 3}
        VERIFY(flaky)
        undo: {none: a test}
      - {id: up, on: far, run: "grep -c flaky FOLDER/effects", effect: read, expect: int(stdout) >= 1}
"""
CLASSES = {
    "suspend": "once", "restored": "idempotent", "note": "idempotent", "fence": "once", "blind": "once", "here": "once",
    "there": "idempotent", "told": "once", "promote": "irreversible", "flaky": "once",
}  # fmt: skip


def _book(folder: Path) -> str:
    """The runbook of a case."""
    text = _BOOK
    for name in CLASSES:
        text = text.replace(f"DO({name})", _EFFECT.replace("NAME", name))
        text = text.replace(f"VERIFY({name})", f"verify: {{run: 'grep -q \"^{name} \" FOLDER/effects'}}")
    text = text.replace("DARK(blind)", 'test ! -e FOLDER/dark || exit 9; grep -q "^blind " FOLDER/effects')
    return text.replace("FOLDER", str(folder))


@dataclass(frozen=True, slots=True)
class Far:
    """The host behind SSH that all cases share; each has a state folder of its own there."""

    keys: Keys
    port: int

    def inventory(self, folder: Path) -> str:
        """The inventory of a case."""
        return f"""\
inventory: twelve
environment: lab
zone: UTC
hosts:
  far:
    address: {address(1)}
    port: {self.port}
    login: {{user: {getpass.getuser()}, key: {self.keys.folder}/client}}
    host_key: {self.keys.public("host")}
    state_dir: {folder}/far
people: {{li: {{name: Li Na, logins: [lina]}}}}
roles: {{commander: [li]}}
"""


@contextmanager
def far(folder: Path) -> Iterator[Far]:
    """Start it: sshd where there is one, else asyncssh."""
    keys = Keys.make(folder)
    with farm(folder, "sshd" if Path(SSHD).exists() else "asyncssh", ["good"]) as port:
        yield Far(keys, port)


@dataclass(slots=True)
class Twelve:
    """One case: one run from its first process to its end, and what is known of its host."""

    folder: Path
    far: Far
    starter: Starter
    figures: Figures
    where: str
    dark: bool = False
    """Whether nobody but a person can see what became of one of the acts, once a process was killed."""
    sabotage: str = ""
    lives: int = 0
    kills: int = 0
    attested: bool = False
    """Whether a person said that something was done: then the run ends with an exception."""
    journal: bytes = b""
    calls: Sequence[str] = ()
    codes: list[int] = field(default_factory=list)
    _run: RunFolder | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "book.yaml").write_text(_book(self.folder))
        (self.folder / "inventory.yaml").write_text(self.far.inventory(self.folder))
        (self.folder / "effects").touch()

    @property
    def check(self) -> Checker:
        return Checker(self.figures, f"{self.where}, life {self.lives}, exits {self.codes}")

    @property
    def run(self) -> RunFolder | None:
        """The run; one that was killed before its plan was on the disk does not count."""
        if self._run is None:
            found = [run for run in StateDir(self.folder / "state").list() if _planned(run)]
            self._run = found[0] if found else None
        return self._run

    # --- lives ------------------------------------------------------------------------------------------------------

    def live(
        self, *, kill_before: int = 0, signals: Sequence[tuple[float, int]] = (), fault: DiskFault | None = None,
        cold: bool = False,
    ) -> Ended:  # fmt: skip
        """One process: the first begins the run, later ones take it up. Traced when a call is to end or to fail it."""
        run = self.run
        state = self.folder / "state"
        words = ["--state-dir", str(state)]
        if run is None:
            words += ["run", str(self.folder / "book.yaml"), "--inventory", str(self.folder / "inventory.yaml")]
        else:
            words += ["resume", run.id]
        said = self.folder / f"said.{self.lives}"
        ended = self.starter.run(
            Command(
                words=[*words, "--no-live"], env={"TWELVE_TOKEN": CANARY, "HOME": str(self.folder)}, said=said,
                begins=str(state) if kill_before or fault else "", kill_before=kill_before, signals=signals,
                fault=fault, cold=cold, sabotage=self.sabotage,
            )
        )  # fmt: skip
        self.lives += 1
        self.calls = ended.calls
        self.codes.append(ended.code)
        self.kills += ended.code == -9
        if ended.code == -9 and self.dark:
            (self.folder / "dark").touch()
        self._after(ended)
        return ended

    def _after(self, ended: Ended) -> None:
        """What must hold after every life, however it ended."""
        run = self.run
        if run is None:
            self.check.announced(self.effects())  # there can be none yet
            return
        data = run.journal.read_bytes()
        self.check.grew(self.journal, data)
        self.journal = data
        self.check.verifies(data, (*OPEN_ENDS, Verdict.INTACT_NOT_ANCHORED))
        if ended.code >= 0:  # a signal may end it before it minds them, and after: then it says nothing
            self._judge_exit(ended, run)

    def _judge_exit(self, ended: Ended, run: RunFolder) -> None:
        events = [record for record in read(run.journal) if record.type != CHECKPOINT]
        report = run.path / "report.json"
        closed = events[-1].type == "run_closed"
        if ended.code == Exit.NOTHING_CHANGED and closed:
            return  # it was closed already: what was left to sign is signed
        self.check.ended(ended.code, (events[-1].type, events[-1].body), report if closed and report.exists() else None)

    @property
    def closed(self) -> bool:
        run = self.run
        return run is not None and b'"type":"run_closed"' in self.journal[-4096:]

    # --- people -----------------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer what waits, truthfully: a doubt by looking at the host when nothing of the run is left there."""
        run = self.run
        for question in fold_of(run).open_questions if run is not None else ():
            assert run is not None
            choice = self._choice(question)
            run.inbox.put(
                "answer",
                {
                    "question": question.asked.id, "choice": choice, "by": "li", "login": "lina", "reason": "I looked",
                    "target": question.asked.target, "values": {}, "given_at": question.asked_at.micros + 1,
                },
            )  # fmt: skip
            self.figures.count(f"answered {question.asked.kind}: {choice}")

    def _choice(self, question: QuestionState) -> str:
        asked = question.asked
        if asked.kind == "approval":
            return "approve"
        if asked.kind != "doubt":
            return "retry"
        (self.folder / "dark").unlink(missing_ok=True)
        name = asked.path.rsplit("/", 1)[-1]
        name = "restored" if "/restore/" in asked.path else name
        there = any(effect.step == name for effect in self.effects()) or (self.folder / name).exists()
        self.attested |= there
        return "done" if there else "not_done"

    # --- evidence ---------------------------------------------------------------------------------------------------

    def effects(self) -> list[Effect]:
        """Every effect, as the host tells it."""
        lines = (line.split() for line in (self.folder / "effects").read_text().splitlines())
        return [Effect(step=name, key=key, announced=there == "1") for name, key, there in lines]

    def claims(self) -> list[Claimed]:
        """Every claim of the run, on both hosts."""
        places = {"far": self.folder / "far", "local": self.folder / "state" / "local"}
        return [claim for host, path in places.items() for claim in claims_under(path, host)]

    def judge(self) -> None:
        """Everything that must hold in the end."""
        if self.closed and self.codes[-1] < 0:
            self.live()  # killed, maybe between the last record and its signature: the next one signs
        check, run = self.check, self.run
        effects = self.effects()
        check.announced(effects)
        check.once(effects, CLASSES)
        self.figures.check(self.closed, NEVER, f"{check.where}: {self.said()}")
        if run is None or not self.closed:
            return
        state = fold_of(run)
        closed = state.closed
        assert closed is not None
        self.figures.count(f"ended {closed.state}")
        check.verifies(self.journal, (Verdict.INTACT_NOT_ANCHORED,))
        check.folded(state, RunState.of(entries(run.journal)))
        check.told(state, self.claims())
        check.approved(state, ["over/promote"])
        check.renewed(state)
        check.epochs(read(run.journal), {"far": _epochs(self.folder / "far")})
        check.secret(CANARY, self.folder)
        done = closed.state == "done" or (closed.state == "exceptions" and self.attested)
        check.missing(MISSING, CLASSES if done else (), {effect.step for effect in effects})
        self.figures.check(done, OTHERWISE, f"{check.where}: {closed}: {self.said()}")
        placed = (self.folder / "placed").read_text() if (self.folder / "placed").exists() else ""
        self.figures.check(not done or placed == "n = 7\n", MISSING, f"{check.where}: {placed!r}")

    def said(self) -> str:
        """The end of what the last process said."""
        return (self.folder / f"said.{self.lives - 1}").read_text(errors="replace")[-1500:] if self.lives else ""

    def forget(self) -> None:
        """Free what it took on the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _planned(run: RunFolder) -> bool:
    try:
        state = fold_of(run)
    except DrctlError:
        return False
    return state.opened is not None and len(state.plan) == state.opened.plan_parts


def _epochs(folder: Path) -> list[int]:
    """The epochs that a host has seen."""
    return [int(path.name) for path in folder.glob("runs/*/epochs/*") if path.name.isdigit()]
