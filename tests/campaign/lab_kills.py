"""A whole recovery killed at any record and taken up again ends as one that was left alone, with no effect twice.

Each case is a fresh lab, broken by one of two scenarios, and `drctl run` of the reference runbook as a process of its
own. It is killed as soon as a drawn record is on the disk, or a drawn time after the intent of a drawn act, while its
effect is under way on the host; some are killed again while they are taken up. Effects are counted on the hosts and
services. A case takes most of a minute, so the box of 60 seconds that other campaigns live in holds one case of each
scenario at most; this one brings its own box, large enough for the two cases of each that the suite asks for.
"""

import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from drctl.core.fold import RunState
from drctl.core.outcomes import Outcome
from tests.campaign.registry import Figures, box_closed
from tests.e2e import evidence
from tests.e2e.commands import Commands, Done, Follower, People, Started, follow_new_run
from tests.lab.running import RunningLab, processes_of, running_lab, wait_until

NAME = "lab-kills"
ROWS = ("R5", "R6")
COUNT = 40
CI_COUNT = 4
SECONDS = 400.0
"""The box of the suite: see above."""

SCENARIOS = ("primary-host", "bad-delete")
_WARM_UP, _AFTER_FAULT = 30, 10
_MOST_RESUMES = 6
_CLOSED = "run_closed"
_LATER = 0.4

# What the users do meanwhile decides whether there is anything to re-enter, and nothing else.
_BY_TRAFFIC = ("verify/differences", "verify/reenter")
_DEAD_METHOD = "emergency/fence/methods/0"
_PROMISES = (
    "not killed", "did not close", "steps that end otherwise", "roles that differ", "invoices lost or altered",
    "effects done twice", "effects without intent", "effects missing", "journals not intact", "processes left",
    "cases that broke off",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """When to kill: as soon as so many records are on disk, or some seconds after the intent of an act; and how often.

    `again`: records written by each resumed process that is killed too.
    """

    scenario: str
    record: int = 0
    act: str = ""
    seconds: float = 0.0
    again: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Played:
    """One run, from its first process to its end."""

    state: RunState
    well: bool
    records: int

    @property
    def outcomes(self) -> dict[str, str]:
        """How each step and block ended."""
        ends = {path: step.outcome.value for path, step in self.state.steps.items() if step.outcome is not None}
        blocks = {path: block.outcome.value for path, block in self.state.blocks.items() if block.outcome is not None}
        return {**ends, **blocks}

    @property
    def acts(self) -> list[str]:
        """Paths of the steps that change something, in order."""
        return [
            path for path, step in self.state.steps.items()
            if any(unit.started is not None and unit.started.key for unit in step.units)
        ]  # fmt: skip


@contextmanager
def broken_lab(scenario: str) -> Iterator[RunningLab]:
    """A lab of one's own, in use, and broken."""
    with running_lab() as lab:
        wait_until("invoices are issued", lambda: lab.traffic("/status", "GET")["acknowledged"] >= _WARM_UP)
        lab.break_(scenario)
        if scenario == "bad-delete":
            goal = lab.traffic("/status", "GET")["acknowledged"] + _AFTER_FAULT
            wait_until("invoices are issued", lambda: lab.traffic("/status", "GET")["acknowledged"] >= goal)
        yield lab


class Case:
    """One kill, played."""

    def __init__(self, scenario: str, lab: RunningLab, folder: Path, kill: Kill | None, figures: Figures) -> None:
        self._scenario = scenario
        self._lab = lab
        self._commands = Commands(folder)
        self._kill = kill
        self._figures = figures
        self.where = repr(kill) if kill else f"{scenario}, not killed"

    def check(self, held: bool, name: str, what: str) -> None:  # noqa: FBT001 - as Figures.check
        self._figures.check(held, name, f"{self.where}: {what}")

    def play(self) -> Played:
        """Run, kill, take up until it is closed."""
        with People(self._commands) as people:
            with self._commands.outage(self._lab.info.inventory) as started:
                people.writer = started
                follower = follow_new_run(self._commands, started)
                if self._kill is not None:
                    self._kill_at(started, follower, self._kill)
                done = started.wait()
            run = follower.path.parent.name
            again = list(self._kill.again) if self._kill is not None else []
            for _ in range(_MOST_RESUMES):
                if not self._opened(follower):
                    run, done = self._anew(people, done)
                    break
                if self._look_for_people(people, run) or (self._state(run).closed is not None and not again):
                    break
                done = self._resume(people, run, follower, again)
        state = self._state(run)
        well = state.closed is not None and state.closed.exit in (0, 11)
        if not well:
            gateway = (self._lab.home("gw") / "nginx/logs/error.log").read_text()[-600:]
            self.check(well, "did not close", f"{done}\n{state.closed} {people.unanswered}\n{gateway}")
        self._judge_record(run)
        return Played(state=state, well=well, records=state.records)

    def _state(self, run: str) -> RunState:
        return self._commands.fold(run)

    def _opened(self, follower: Follower) -> bool:
        """Whether the run's frozen plan is on the disk; if not, it was killed before anything could be done."""
        state = self._state(follower.path.parent.name)
        return state.opened is not None and len(state.plan) == state.opened.plan_parts

    def _anew(self, people: People, done: Done) -> tuple[str, Done]:
        """A run that never came to its first step cannot be resumed: the next one is another run."""
        self._figures.count("killed before the plan was on disk")
        besides = frozenset(run.id for run in self._commands.states.list())
        refused = self._commands.run("resume", *besides)
        self.check(refused.code in (4, 13), "did not close", f"a run without a plan was taken up: {refused}")
        with self._commands.outage(self._lab.info.inventory) as started:
            people.writer = started
            run = follow_new_run(self._commands, started, besides).path.parent.name
            done = started.wait()
        return run, done

    def _kill_at(self, started: Started, follower: Follower, kill: Kill) -> None:
        def reached(record: dict[str, object]) -> bool:
            body = record["body"]
            if record["type"] == _CLOSED:
                return True
            if kill.act:
                return record["type"] == "step_started" and isinstance(body, dict) and body["path"] == kill.act
            return follower.records >= kill.record

        found = follower.until(started, reached)
        if found is not None and kill.act:
            threading.Event().wait(kill.seconds)  # the drawn moment itself: nothing is waited for
        self._end(started, after=follower.records)

    def _end(self, started: Started, *, after: int) -> None:
        started.process.kill()
        code = started.process.wait()
        self._figures.count("killed", int(code == -9))
        self.check(code == -9, "not killed", f"after record {after} it ended by itself with {code}")

    def _resume(self, people: People, run: str, follower: Follower, again: list[int]) -> Done:
        with self._commands.resume(run) as started:
            people.writer = started
            if again:
                goal = follower.records + again.pop(0)
                found = follower.until(started, lambda _: follower.records >= goal)
                if found is not None:
                    started.process.kill()
            done = started.wait()
        self._figures.count("killed again", int(done.code == -9))
        return done

    def _look_for_people(self, people: People, run: str) -> bool:
        """A message in doubt: a person looks into the inbox, and says what is there. True when the run is stuck.

        Any other failure or doubt is one that the unharmed run does not have: nobody makes it go away here.
        """
        for question in self._state(run).open_questions:
            asked = question.asked
            if asked.kind not in {"failure", "doubt"}:
                continue
            if asked.kind == "failure" or not asked.path.endswith(("/tell", "/tell_users")):
                return True
            started = self._state(run).step(asked.path).last
            assert started is not None
            assert started.started is not None
            wanted = evidence.message_key(started.started.key, "oncall")
            there = any(message["key"] == wanted for message in evidence.messages(self._lab))
            word = "--done" if there else "--not-done"
            said = self._commands.run(
                "resolve", run, asked.path, word, "--as", "wang", "--reason", "looked into the inbox"
            )
            self.check(said.code == 0, "did not close", str(said))
            self._figures.count("messages in doubt, resolved by a person")
            people.unanswered.clear()
        return False

    def _judge_record(self, run: str) -> None:
        word = self._commands.run("audit", "verify", run)
        self.check(word.code == 23 and "first bad" not in word.out, "journals not intact", str(word))

    def judge(self, played: Played, reference: Played | None) -> None:
        """Everything that must hold in the end."""
        lab, state = self._lab, played.state
        self._judge_effects(state)
        self._judge_counted(state)
        seen = evidence.roles(lab)
        self.check(seen == expected(lab, self._scenario), "roles that differ", str(seen))
        found = evidence.audit(lab)
        bad = {name: found[name] for name in ("lost", "altered", "reused", "tax_lost", "tax_altered") if found[name]}
        self.check(not bad, "invoices lost or altered", f"{found}")
        self.check(not evidence.commands_left(lab), "processes left", str(evidence.commands_left(lab)))
        if reference is None:
            return
        differ = {
            path: (reference.outcomes.get(path), played.outcomes.get(path))
            for path in {**reference.outcomes, **played.outcomes}
            if reference.outcomes.get(path) != played.outcomes.get(path) and not path.startswith(_BY_TRAFFIC)
        }
        # Killed right after this intent, nobody can ask the dead host whether the command came there: it is in doubt,
        # and the fence rests on its proof alone.
        if differ.get(_DEAD_METHOD) == ("unreachable", "in_doubt"):
            del differ[_DEAD_METHOD]
        self.check(not differ, "steps that end otherwise", str(differ))

    def _judge_effects(self, state: RunState) -> None:
        """Claims on the hosts against the intents in the journal: each ran once, none is a stranger."""
        intents = {
            unit.started.key: (path, unit.host)
            for path, step in state.steps.items() for unit in step.units
            if unit.started is not None and unit.started.key
        }  # fmt: skip
        there = evidence.claims(self._lab)
        strangers = [claim for claim in there if claim.key not in intents]
        self.check(not strangers, "effects without intent", str(strangers))
        ran = Counter(intents[claim.key] for claim in there if claim.ran and claim.key in intents)
        self.check(not evidence.twice(ran), "effects done twice", str(evidence.twice(ran)))
        wanted = {
            (path, step.units[-1].host) for path, step in state.steps.items()
            if step.outcome is Outcome.OK and step.units[-1].host in evidence.HOSTS
            and any(unit.started is not None and unit.started.key for unit in step.units)
        }  # fmt: skip
        self.check(wanted <= set(ran), "effects missing", str(wanted - set(ran)))
        self.check(not evidence.owners(self._lab), "processes left", f"hosts still held: {evidence.owners(self._lab)}")

    def _judge_counted(self, state: RunState) -> None:
        """What cannot be claimed is counted where it happened."""
        told = Counter(message["key"] for message in evidence.messages(self._lab))
        self.check(not evidence.twice(told), "effects done twice", f"messages: {told}")
        subjects = Counter(message["subject"] for message in evidence.messages(self._lab))
        self.check(len(subjects) == 2 and not evidence.twice(subjects), "effects done twice", f"messages: {subjects}")
        number = state.step("verify/functions/create").final
        captured = dict(number.captures) if number is not None else {}
        self.check(captured.get("number") in ("S2-000001", None), "effects done twice", f"synthetic invoice {captured}")
        _, calls = evidence.power(self._lab)
        tries = len(state.step("emergency/fence/methods/1").units)
        self.check(len(calls) <= tries, "effects without intent", f"{calls} in {tries} tries")


def expected(lab: RunningLab, scenario: str) -> evidence.Roles:
    """Who must be what in the end; each promotion and each swap shows as one step of a number."""
    if scenario == "primary-host":
        return evidence.Roles(
            power={"inv-a": "off", "inv-b": "on", "gw": "on"},
            databases={"inv-b": "primary 2"},
            streaming={"inv-b": "0"},
            route=evidence.upstream(lab, "inv-b"),
            broken=0,
        )
    return evidence.Roles(
        power={"inv-a": "on", "inv-b": "on", "gw": "on"},
        databases={"inv-a": "primary 2", "inv-b": "standby 2"},
        streaming={"inv-a": "1"},
        route=evidence.upstream(lab, "inv-a"),
        broken=1,
    )


def one(scenario: str, kill: Kill | None, reference: Played | None, figures: Figures) -> Played:
    """Play one case in a lab of its own and judge it."""
    with tempfile.TemporaryDirectory(prefix="drctl-k-") as name:
        with broken_lab(scenario) as lab:
            case = Case(scenario, lab, Path(name), kill, figures)
            played = case.play()
            if played.well:
                case.judge(played, reference)
        case.check(not processes_of(lab.folder), "processes left", str(processes_of(lab.folder)))
        case.check(not processes_of(Path(name)), "processes left", str(processes_of(Path(name))))
    return played


def drawn(scenario: str, count: int, reference: Played, rng: random.Random) -> list[Kill]:
    """Half of the kills by record, spread over the whole run, half during an act; every fourth is killed again."""
    kills = []
    for number in range(count):
        again = tuple(rng.randrange(1, 30) for _ in range(rng.choice((0, 0, 0, 1)) + rng.choice((0, 0, 0, 1))))
        if number % 2:
            kills.append(
                Kill(
                    scenario=scenario,
                    act=rng.choice(reference.acts),
                    seconds=rng.choice((0.0, rng.uniform(0, _LATER))),
                    again=again,
                )
            )
            continue
        low, high = (reference.records * (number + step) // (count + 1) for step in (0, 2))
        kills.append(Kill(scenario=scenario, record=rng.randrange(low, max(high, low + 1)) + 1, again=again))
    return kills


def run(count: int, rng: random.Random) -> Figures:
    """Play both scenarios side by side: first unharmed, for reference, then killed."""
    figures = Figures()
    for name in _PROMISES:
        figures.count(name, 0)
    seeds = {scenario: rng.randrange(2**32) for scenario in SCENARIOS}

    def lane(scenario: str) -> None:
        reference = one(scenario, None, None, figures)
        own = random.Random(seeds[scenario])
        for kill in drawn(scenario, count // len(SCENARIOS), reference, own):
            if box_closed():
                return
            figures.tried += 1
            try:
                one(scenario, kill, reference, figures)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - one case that breaks off ends no campaign
                figures.check(False, "cases that broke off", f"{kill}: {error!r}")  # noqa: FBT003 - see above

    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        for ended in [pool.submit(lane, scenario) for scenario in SCENARIOS]:
            ended.result()
    return figures
