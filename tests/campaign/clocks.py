"""Clocks that are moved, slewed, put to sleep or started anew under random runs: no length is wrong, no jump unsaid.

The runs are those of `engine-kills`; the clock knows how much time really passed. UTC is moved once in a run, by a
second to years, at any reading; the machine may sleep, the writer may die, and the machine may be started anew.
"""

import random

from drctl.core import events as ev
from drctl.core.fold import RunState, attained
from drctl.core.timeline import NOTICED
from drctl.core.values import Time
from drctl.engine.recorder import Recorder
from drctl.errors import Exit
from drctl.reporting.facts import step_facts, waited
from drctl.reporting.report_clock import Clock, split, standstills
from drctl.reporting.report_rows import timeline
from tests.campaign.engine_kills import HOSTS, Case
from tests.campaign.registry import Figures, box_closed
from tests.engine.rig import Crash
from tests.fakes.clocks import FakeClock

NAME = "clocks"
ROWS = ("R14",)
COUNT = 5000
CI_COUNT = 100
_LIVES = 60
_HOUR, _DAY, _SECOND = 3_600_000_000, 86_400_000_000, 1_000_000
_END_OF_32_BITS = 2**31 * _SECOND
_PROMISES = ("ordering errors", "lengths that are wrong", "jumps unsaid", "jumps said that were none", "never ended")


class Moved(FakeClock):
    """A clock whose UTC is moved at its n-th reading, or slewed a little at every one."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        kind = rng.choice(("hour", "day", "2038", "step", "slew", "none"))
        sign = rng.choice((1, -1))
        self.kind = kind
        self.jump = sign * {"hour": _HOUR, "day": _DAY, "step": rng.randint(6, 600) * _SECOND}.get(kind, 0)
        if kind == "2038":
            self.jump = _END_OF_32_BITS - 5 * _SECOND - self.micros
        self.slew = sign * 500 if kind == "slew" else 0  # microseconds; 500 ppm is what NTP slews at most
        self.left = rng.randint(3, 60)
        self.asleep_at = rng.randint(3, 60) if rng.random() < 0.3 else -1
        self.true: dict[int, int] = {}
        self.slept_all = 0
        self.done = False

    def now(self) -> Time:
        self.left -= 1
        self.asleep_at -= 1
        if self.left == 0:
            self.moved += self.jump
            self.done = bool(self.jump)
        if self.asleep_at == 0:
            self.slept += 90 * _SECOND
            self.slept_all += 90 * _SECOND
        self.moved += self.slew * (self.left > 0)
        at = super().now()
        self.true[at.micros] = self.micros + self.slept_all
        return at


class Timed(Case):
    """A random run under such a clock."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.clock = Moved(random.Random(seed + 1))
        self.rig.clock = self.rig.world.clock = self.rig.journal.clock = self.clock
        self.power_losses = False
        self.restarts = 0
        self.rig.host(HOSTS[0]).on("see-up", 0)

    def _text(self) -> str:
        more = (
            "  - id: last\n    steps:\n      - {id: up, on: h1, run: see-up, effect: read, marks: service_restored}\n"
        )
        return super()._text() + more

    def live(self) -> Exit | None:
        rig, rng = self.rig, self.rng
        rig._again()
        rig.journal.die_at = len(rig.lines) + rng.randint(2, 40) if rng.random() < 0.5 else None
        try:
            if rig.lines:
                Recorder(rig.journal, rig.state, actor="ops").write(ev.RunResumed(), durable=True)
            return rig._carry()
        except Crash:
            told = rig.lines and rig.lines[-1][0].ts - self.clock.true[rig.lines[-1][0].ts] == self.clock.jump
            if rng.random() < 0.3 and told:  # a jump that no record shows before a restart cannot be told from time
                self.clock.restart()
                self.restarts += 1
            return None


def run(count: int, rng: random.Random) -> Figures:
    """Cases by seed; each is lived until it ends, then looked at as people see it."""
    figures = Figures()
    for name in _PROMISES:
        figures.count(name, 0)
    while figures.tried < count and not box_closed():
        seed = rng.getrandbits(32)
        case = Timed(seed)
        figures.tried += 1
        for _ in range(_LIVES):
            code = case.live()
            if case.rig.lines and case.rig.lines[-1][1] == "run_closed":
                break
            if code is not None:
                case.answer()
        case.rig.state = RunState.of(case.rig.entries())
        figures.check(case.rig.state.closed is not None, "never ended", f"Timed({seed})")
        _judge(case, figures, f"Timed({seed})")
    return figures


def _judge(case: Timed, figures: Figures, where: str) -> None:
    rig, clock = case.rig, case.clock
    state, entries = rig.state, rig.entries()
    figures.count(clock.kind)
    figures.count("restarts", case.restarts)
    times = Clock(state)
    rows = [row.seq for row in timeline(entries, state, times)]
    figures.check(rows == sorted(rows), "ordering errors", where)

    warned = len([1 for entry in entries if isinstance(entry.event, ev.ClockWarned)])
    jumped = clock.done and abs(clock.jump) > NOTICED
    offsets = [entry.at.micros - clock.true[entry.at.micros] for entry in entries]
    if jumped and (offsets[-1] == offsets[0] or offsets[-1] != offsets[-2]):
        figures.count("jumps at the last record")  # nobody is there to tell of them; its own time does
        jumped = False
    if jumped and 0 < clock.jump <= clock.slept_all + NOTICED:
        figures.count("jumps no longer than a sleep")
        jumped = bool(warned)
    figures.check(not jumped or warned >= 1, "jumps unsaid", f"{where}: {clock.kind}")
    figures.check(jumped or not warned, "jumps said that were none", f"{where}: {clock.kind}")

    facts = [step_facts(step) for step in state.steps.values()]
    lengths = [f.elapsed.micros for f in facts if f.elapsed is not None]
    lengths += [w.micros for w in map(waited, state.questions.values()) if w is not None]
    lengths += [row.us for row in split(state, standstills(state)) if row.us is not None]
    lengths += [b.finished_us - b.started_us for b in state.blocks.values() if b.finished_at is not None]
    figures.check(min(lengths, default=0) >= 0, "lengths that are wrong", f"{where}: {lengths}")
    if case.restarts:
        figures.check(bool(state.timeline.walls), "lengths that are wrong", f"{where}: a restart is not told")
        return
    first, last = entries[0], entries[-1]
    asleep = [clock.true[entry.at.micros] - entry.mono for entry in entries]
    slept = [n for n in range(1, len(asleep)) if asleep[n] != asleep[n - 1]]
    told = slept and any(isinstance(entry.event, ev.Suspended) for entry in entries[slept[-1] :])
    if slept and not told and slept[-1] >= len(entries) - 2:
        figures.count("sleeps at the last records")  # between the last look at the clocks and the end: nobody tells it
        last = entries[slept[-1] - 1]
    true = clock.true[last.at.micros] - clock.true[first.at.micros]
    slack = clock.slept_all and NOTICED
    if slack and any(isinstance(e.event, ev.ClockWarned) and "while nobody" in e.event.because for e in entries):
        figures.count("slept and moved in one standstill")  # with nobody there the two cannot be told apart
        slack += clock.slept_all
    own = state.timeline.at(last.seq) - state.timeline.at(first.seq)
    figures.check(abs(own - true) <= slack, "lengths that are wrong", f"{where}: {own} of {true}")
    rta, mark = attained(state).rta, state.mark("service_restored")
    if rta is not None and mark is not None and isinstance(mark.value, dict) and not clock.slept_all:
        really = clock.true[mark.value["$time"]] - clock.true[first.at.micros]
        figures.check(rta.micros == really, "lengths that are wrong", f"{where}: RTA {rta} of {really}")
