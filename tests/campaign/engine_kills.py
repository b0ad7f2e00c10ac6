"""Random runbooks with faults, killed at random records: nothing twice, nothing unannounced, and an end.

The engine is the real one; hosts, clock and journal are in memory, so that a case takes milliseconds and the world can
be asked what really happened. People answer, and tell the truth: they look before they answer a doubt.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from drctl.core.fold import RunState
from drctl.errors import Exit
from tests.campaign.registry import Figures, box_closed
from tests.engine.rig import Crash, Rig
from tests.invariants import I1, I2, I6, I8, I10, Checker, Effect

NAME = "engine-kills"
ROWS = ("R5", "R6")
COUNT = 20_000
CI_COUNT = 300
HOSTS = ("h1", "h2", "h3")
_LIVES = 80
_FAULTS = ("before", "after", "during", "refuse", "hang")
NEVER = "never ended"
MISSING = "done, and something was not"
RESTORES = "restores lost"
_PROMISES = (I1, I2, I6, I8, I10, NEVER, MISSING, RESTORES)


@dataclass(slots=True)
class Plan:
    """One act of a random runbook: where, what kind of effect, and how its first executions end."""

    name: str
    host: str
    effect: str
    ends: list[str]
    flaky: int
    restores: bool


@dataclass(slots=True)
class Truth:
    """What really happened in the world."""

    effects: list[Effect] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    restored: Counter[str] = field(default_factory=Counter)


class Case:
    """One random runbook in one random world."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.plans: dict[str, Plan] = {}
        self.truth = Truth()
        self.by_hand: set[str] = set()
        self.power_losses = self.rng.random() < 0.3
        self.rig = Rig(self._text(), hosts=HOSTS)
        for plan in self.plans.values():
            self._arrange(plan)

    # --- the runbook ------------------------------------------------------------------------------------------------

    def _text(self) -> str:
        rng, phases = self.rng, []
        for number in range(rng.choice((1, 1, 2))):
            steps = [self._top(f"p{number}s{n}") for n in range(rng.randint(1, 4))]
            phases.append(f"  - id: phase{number}\n    steps:\n" + "".join(f"      - {step}\n" for step in steps))
        return "runbook: random\nphases:\n" + "".join(phases)

    def _top(self, name: str) -> str:
        kind = self.rng.choice(("act", "act", "look", "steps", "parallel"))
        if kind == "steps":
            inner = ", ".join(self._act(f"{name}i{n}", self.rng.choice(HOSTS)) for n in range(self.rng.randint(1, 3)))
            return f"{{id: {name}, steps: [{inner}]}}"
        if kind == "parallel":
            branches = []
            for n, host in enumerate(self.rng.sample(HOSTS, self.rng.randint(2, 3))):
                acts = [self._act(f"{name}b{n}n{m}", host) for m in range(self.rng.randint(1, 2))]
                branches.append(acts[0] if len(acts) == 1 else f"{{id: {name}b{n}, steps: [{', '.join(acts)}]}}")
            return f"{{id: {name}{self._on_failure()}, parallel: [{', '.join(branches)}]}}"
        if kind == "look":
            return f"{{id: {name}, on: {self.rng.choice(HOSTS)}, run: see-{name}, effect: read, observe: true}}"
        return self._act(name, self.rng.choice(HOSTS), self._on_failure())

    def _on_failure(self) -> str:
        return self.rng.choice(("", "", "", ", on_failure: rollback", ", on_failure: abort"))

    def _act(self, name: str, host: str, more: str = "") -> str:
        rng = self.rng
        effect = rng.choice(("once", "once", "idempotent", "irreversible"))
        ends = [
            rng.choice(("ok", "ok", "ok", "fail", "half", "before", "after", "during", "refuse", "hang"))
            for _ in range(3)
        ]
        plan = Plan(name, host, effect, ends, rng.choice((0, 0, 0, 1, 3)), rng.random() < 0.4)
        self.plans[name] = plan
        parts = [f"id: {name}, on: {host}, run: do-{name}, effect: {effect}, timeout: 20s, verify: {{run: is-{name}}}"]
        parts.append(f"undo: {{run: un-{name}}}" if rng.random() < 0.5 else "undo: {none: a test}")
        parts += [f"restore: {{run: re-{name}}}"] if plan.restores else []
        parts += [f"retry: {{every: 1s, times: {rng.randint(2, 3)}}}"] if rng.random() < 0.3 else []
        return f"{{{', '.join(parts)}{more}}}"

    # --- the world --------------------------------------------------------------------------------------------------

    def _arrange(self, plan: Plan) -> None:
        """Teach a host what an act's scripts do."""
        host, name = self.rig.host(plan.host), plan.name

        def behaves(script: str, what: Callable[[Plan], int]) -> None:
            host.on(lambda command: command.script.strip() == script, lambda _: what(plan))

        behaves(f"do-{name}", self._acts)
        behaves(f"is-{name}", self._is_there)
        behaves(f"un-{name}", self._undoes)
        behaves(f"re-{name}", self._restores)
        host.on("see-", 0)
        host._faults += [how for how in plan.ends if how in _FAULTS and self.rng.random() < 0.5]  # type: ignore[misc] # words of a fault
        plan.ends = [how for how in plan.ends if how not in _FAULTS]

    def _acts(self, plan: Plan) -> int:
        path = next(step.path for step in self.rig.runbook.steps() if step.id == plan.name)
        known = self.rig.lines[: self.rig.journal.settled + 1]
        announced = any(type_ == "step_started" and body.get("path") == path for _, type_, body, _ in known)
        how = plan.ends.pop(0) if plan.ends else "ok"
        if how == "fail":
            return 1
        self.truth.effects.append(Effect(step=plan.name, announced=announced))
        self.truth.there.add(plan.name)
        return 1 if how == "half" else 0

    def _is_there(self, plan: Plan) -> int:
        if plan.flaky:
            plan.flaky -= 1
            return 9
        return 0 if plan.name in self.truth.there else 1

    def _undoes(self, plan: Plan) -> int:
        self.truth.there.discard(plan.name)
        return 0

    def _restores(self, plan: Plan) -> int:
        self.truth.restored[plan.name] += 1
        return 0

    # --- people -----------------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer what waits, truthfully."""
        rng, rig = self.rng, self.rig
        for question in rig.state.open_questions:
            asked = question.asked
            name = asked.path.rsplit("/", 1)[-1]
            if asked.kind == "doubt":
                for host in rig.world.hosts.values():
                    host.finish()  # they wait until nothing of it runs any more
                choice = rng.choice(("look", "done" if name in self.truth.there else "not_done"))
            elif name == "undo":
                choice = rng.choice(("retry", "skip"))
            else:
                choice = rng.choice(("retry", "retry", "retry", "skip", "abort"))
                if choice == "retry" and name in self.plans and rng.random() < 0.1:
                    choice = "done"
                    self.truth.there.add(name)
                    self.by_hand.add(name)
            rig.answer(choice, question=asked.id, reason="I looked")

    # --- lives ------------------------------------------------------------------------------------------------------

    def live(self) -> Exit | None:
        """One life of the writer; None when it was killed."""
        rig, rng = self.rig, self.rng
        rig._again()
        rig.journal.die_at = len(rig.lines) + rng.randint(1, 25) if rng.random() < 0.6 else None
        rig.journal.die_after = rng.random() < 0.5
        try:
            return rig._carry()
        except Crash:
            if self.power_losses:
                del rig.lines[rig.journal.settled + 1 :]
            if rng.random() < 0.1:
                rig.host(rng.choice(HOSTS)).restart()
            return None


def _judge_end(case: Case, code: Exit, check: Checker) -> None:
    rig = case.rig
    check.ended(int(code), rig.lines[-1][1:3])
    check.folded(rig.state, RunState.of(rig.entries()))


def _judge(case: Case, check: Checker) -> None:
    rig, truth, figures = case.rig, case.truth, check.figures
    check.announced(truth.effects)
    check.once(truth.effects, {name: plan.effect for name, plan in case.plans.items()})
    check.renewed(rig.state)
    closed = rig.state.closed
    figures.check(closed is not None, NEVER, check.where)
    if closed is None:
        return
    figures.count(f"ended {closed.state}")
    check.missing(MISSING, case.plans if closed.exit == Exit.DONE else (), truth.there)
    owed = {effect.step for effect in truth.effects if case.plans[effect.step].restores}
    said = {d.path.rsplit("/", 1)[-1] for _, d in rig.state.deviations if d.what == "not restored"}
    undone = {p.split("/")[-2] for p, b in rig.state.blocks.items() if b.form == "undo"}
    check.missing(RESTORES, owed, set(+truth.restored) | said | undone)


def run(count: int, rng: random.Random) -> Figures:
    """Cases by seed; each is lived until it ends."""
    figures = Figures()
    for name in (*_PROMISES, "kills"):
        figures.count(name, 0)
    while figures.tried < count and not box_closed():
        seed = rng.getrandbits(32)
        check = Checker(figures, f"Case({seed})")
        case = Case(seed)
        figures.tried += 1
        for _ in range(_LIVES):
            code = case.live()
            if code is None:
                figures.count("kills")
                if case.rig.lines and case.rig.lines[-1][1] == "run_closed":
                    case.rig.state = RunState.of(case.rig.entries())
                    break
                continue
            _judge_end(case, code, check)
            if case.rig.state.closed is not None:
                break
            case.answer()
        _judge(case, check)
    return figures
