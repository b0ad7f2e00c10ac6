"""Runbooks made by hand, with every noun, the later ones too: what a picture must be able to show."""

from dataclasses import replace

from drctl.core.diagnostics import Where
from drctl.core.expressions import parse
from drctl.core.model import (
    Action,
    AnyOf,
    Approve,
    Block,
    Body,
    Check,
    Decide,
    Fence,
    Guards,
    Include,
    Judgement,
    Loop,
    Manual,
    Mark,
    Objectives,
    Phase,
    Repeat,
    RestoreNow,
    Rule,
    Runbook,
    Rung,
    SetNames,
    Step,
    Wait,
    Way,
    WayKind,
    Ways,
)
from drctl.core.outcomes import Effect, Outcome
from drctl.core.places import Count, On, PlaceKind, Selection
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Duration
from drctl.core.written import Formula, Text

HERE = Where(file="x.yaml", line=1, column=1)
SECOND = 1_000_000


def text(words: str) -> Text:
    return Text(by_language={"": Template.parse(words)})


def formula(words: str) -> Formula:
    return Formula(expression=parse(words), where=HERE)


def seconds(number: int) -> Duration:
    return Duration(number * SECOND)


def step(id_: str, body: Body | None = None) -> Step:
    return Step(id=id_, path=f"p/{id_ or '0'}", where=HERE, body=body or Action(kind="host.status", fields={}))


def script(id_: str, source: str) -> Step:
    action = Action(kind="shell", fields={"run": Script.parse(source)})
    return replace(step(id_, action), effect=Effect.IDEMPOTENT)


def on(name: str) -> On:
    return On(kind=PlaceKind.HOST, name=name, where=HERE)


def runbook(*steps: Step, name: str = "by-hand", title: str = "") -> Runbook:
    phase = Phase(id="only", where=HERE, steps=steps)
    return Runbook(name=name, where=HERE, title=text(title) if title else None, phases=(phase,))


ROLLING = Selection(
    group="web", site="a", condition=formula("host.name != 'w9'"), batch=Count(number=20, percent=True),
    canaries=Count(number=1), soak=seconds(30), max_failures=Count(number=2), all_or_none=True,
)  # fmt: skip


def everything() -> Runbook:
    """One of each noun."""
    looks = Block(parallel=True, at_once=2, steps=(replace(step("web"), judgement=Judgement(observe=True)), step("db")))
    rung = Rung(after=seconds(90), steps=(script("force", "kick it"),))
    waited = replace(
        step("quiet", Check()),
        until=Repeat(every=seconds(5), within=seconds(600), times=60, in_a_row=3, escalate=(rung,)),
        judgement=Judgement(expect=(formula("1 < 2"),)),
    )
    loop = replace(
        script("unpack", "tar xf backup"),
        loop=Loop(lists={"backup": formula("[1, 2]"), "site": ("a", "b")}, at_once=2, first_ok=True, max_failures=1),
        retry=Repeat(every=seconds(1), times=3),
        ways=Ways(undo=Way(kind=WayKind.STEPS, steps=(script("", "rm -r data"), script("", "sync")))),
    )
    rolling = replace(
        script("restart", "restart web"),
        on=On(kind=PlaceKind.SELECTION, selection=ROLLING, where=HERE),
        verify=(script("", "pgrep web"),),
        unless=(step("", Check()),),
        ways=Ways(restore=Way(kind=WayKind.STEPS, steps=(script("", "resume"),)), undo=Way(kind=WayKind.AUTO)),
    )
    proof = (AnyOf(looks=(step("", Action(kind="tcp.check", fields={})), step(""))), step(""))
    fence = replace(
        step("fence", Fence(methods=(script("", "stop db"), script("", "power off")), proof=proof)), on=on("a")
    )
    promote = replace(
        step("promote", Action(kind="postgres.promote", fields={})),
        effect=Effect.IRREVERSIBLE,
        when=formula("steps.kind.value == 'hardware'"),
        guards=Guards(
            caution=text("No way back."),
            approve=Approve(by=("commander", "owner"), quorum=2, within=seconds(600)),
            recheck=("db",),
        ),
        ways=Ways(no_return=True, undo=Way(kind=WayKind.NONE, why="needs a rebuild")),
        marks=(Mark(name="promoted"),),
    )
    lift = replace(step("unfence", Fence(methods=(), proof=(step(""),), lift=True)), on=on("a"))
    rules = (Rule(condition=formula("1 == 1"), then="hardware"),)
    kind = step("kind", Decide(rules=rules, otherwise="none", has_otherwise=True))
    inner = replace(runbook(script("copy", "copy all"), name="inner"), title=text("Inside"))
    values = (
        kind, step("names", SetNames(values={})), step("pause", Wait(length=Template.parse("30s"))),
        step("back", RestoreNow(steps=("restart",))), step("hand", Manual(say=text("Do it"))),
        replace(step("seen"), judgement=Judgement(tolerate=frozenset({Outcome.TIMEOUT, Outcome.FAILED}))),
    )  # fmt: skip
    act = Phase(
        id="act", where=HERE, title=text("处理: move the service"), when=formula("steps.kind.value != 'none'"),
        guards=Guards(caution=text("Users are cut off.")),
        steps=(fence, promote, rolling, loop, step("call", Include(file="inner.yaml", runbook=inner)), lift),
    )  # fmt: skip
    first = Phase(id="look", where=HERE, steps=(step("all", looks), waited, *values))
    goals = Objectives(rto=seconds(900), rpo=seconds(5))
    return Runbook(name="everything", where=HERE, title=text("Everything"), objectives=goals, phases=(first, act))
