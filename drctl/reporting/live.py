"""The live view: what a run does right now, at the bottom of a terminal whose scrollback stays whole.

A phase that is over is printed above and stays; below it the view shows the objective's clock, the phases, and the
steps of the phase being carried out. Text that came from a host never becomes markup. Reading keys is left to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from drctl.core import events as ev
from drctl.reporting.facts import SIGNS, StepFacts, is_bad, objectives, question_word
from drctl.reporting.fleets import rows
from drctl.reporting.lines import line
from drctl.reporting.status import HOST_CELLS, NAME_CELLS, group_text
from drctl.reporting.texts import (
    clean,
    clock,
    count,
    cut,
    human,
    last_name,
    local_clock,
    one_line,
    pad,
    plain_signs,
    width,
    zone_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from drctl.core.fold import Entry, RunState
    from drctl.core.values import Time

PER_SECOND = 4
SECOND = 1_000_000
MOST_ROWS = 30
OTHER_ROWS = 6
"""Rows besides those of steps: head, clock, phases, what was left out, the hint, and the cursor's own."""
BAR = 15
COUNTS = "none"
"""The style of rows with counts; it changes nothing, and tells them from others."""
STYLES = {
    "ok": "green", "running": "cyan", "in_doubt": "bold magenta", "skipped": "dim", "not_run": "dim",
    "partial": "yellow",
}  # fmt: skip
_LINES = (
    ev.NoteAdded, ev.DeviationNoted, ev.ControlReceived, ev.Answered, ev.MarkSet, ev.LockLost, ev.Suspended,
    ev.ClockWarned, ev.Recovered, ev.Degraded, ev.UnknownEvent, ev.RunResumed, ev.RunTakenOver, ev.PreflightFinished,
    ev.RunPaused,
)  # fmt: skip
"""Events that get a line of their own above the view; steps are shown in it."""


class LiveView:
    """The view over one run: `start`, `update` for each record, `stop`. Callers keep threads apart."""

    def __init__(
        self,
        stream: Any,  # noqa: ANN401 - anything with write, flush, isatty and encoding
        *,
        color: bool = True,
        ascii_only: bool = False,
        mask: Callable[[str], str] = str,
        now: Callable[[], Time] | None = None,
    ) -> None:
        self._ascii = ascii_only
        self._mask = mask
        self._now = now
        self._seen: Time | None = None
        self._state: RunState | None = None
        self._console = Console(
            file=cast("IO[str]", stream), no_color=not color, force_terminal=stream.isatty() or None, highlight=False,
            markup=False, emoji=False, soft_wrap=True,
        )  # fmt: skip
        self._live: Live | None = None
        self._drawn = Group()

    def start(self, state: RunState) -> None:
        """Begin to show a run."""
        self._state = state
        self._begin()

    def _begin(self) -> None:
        self._live = Live(
            _Body(self), console=self._console, refresh_per_second=PER_SECOND, screen=False, transient=True,
            redirect_stdout=False, redirect_stderr=False, vertical_overflow="ellipsis",
        )  # fmt: skip
        self._live.start()

    def update(self, entry: Entry, state: RunState) -> None:
        """Take one more record into account."""
        self._state, self._seen = state, entry.at
        event = entry.event
        if isinstance(event, _LINES):
            text = line(entry, state)
            if text is not None:
                self.say(text)
        elif isinstance(event, ev.BlockFinished) and "/" not in event.path:
            self._print(*phase_rows(state, event.path))

    def say(self, text: str) -> None:
        """Print a line above the view; it stays in the scrollback."""
        self._print(Text(text))

    def _print(self, *rows: Text) -> None:
        self._console.print(*map(self._written, rows), sep="\n", soft_wrap=True)

    def _written(self, text: Text) -> Text:
        plain = self._mask(text.plain)
        if self._ascii:
            plain = plain_signs(plain)
        return text if plain == text.plain else Text(plain)

    def pause(self) -> None:
        """Take the view away while a question is asked."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def go_on(self, state: RunState) -> None:
        """Show it again."""
        self._state = state
        if self._live is None:
            self._begin()

    def stop(self) -> None:
        """Take the view away; the steps of a phase that is not over are printed, so that they stay."""
        self.pause()
        if self._state is not None and self._state.phase:
            block = self._state.blocks[self._state.phase]
            if block.outcome is None:
                self._print(*phase_rows(self._state, block.path))

    def body(self) -> Group:
        """What stands below the scrollback right now."""
        try:
            self._drawn = self._draw()
        except RuntimeError:
            # The engine added to a table while it was read; in a quarter of a second it is drawn again.
            return self._drawn
        return self._drawn

    def _draw(self) -> Group:
        state = self._state
        if state is None:
            return Group()
        now = self._now() if self._now is not None else state.last_at
        head = [head_row(state, now), phases_row(state)]
        under_way = state.phase and state.blocks[state.phase].outcome is None
        steps = step_rows(state, state.phase, now) if under_way else []
        waiting = waiting_rows(state, now)
        room = min(MOST_ROWS, max(3, self._console.size.height - OTHER_ROWS - len(waiting)))
        shown = _newest(steps, room)
        hidden = len(steps) - len(shown)
        if hidden > 0:
            head.append(Text(f"   … {count(hidden, 'earlier step')}", style="dim"))
        rows = [self._written(row) for row in (*head, *shown, *waiting)]
        for row in rows:
            row.no_wrap, row.overflow = True, "ellipsis"  # a row that wraps would push the newest off the screen
        return Group(*rows)


def _newest(steps: list[Text], room: int) -> list[Text]:
    """The newest rows; the counts of the last loop or table stay, however many rows follow them."""
    if len(steps) <= room:
        return steps
    counts = [index for index, row in enumerate(steps) if row.style == COUNTS and index < len(steps) - room]
    return [steps[counts[-1]], *steps[1 - room :]] if counts and room > 1 else steps[-room:]


class _Body:
    """Renders the view anew each time rich asks, so that its clocks run."""

    def __init__(self, view: LiveView) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._view.body()


def head_row(state: RunState, now: Time | None) -> Text:
    """Runbook, run, environment, the time here and in UTC, and how much of the RTO is used."""
    opened = state.opened
    if opened is None or state.opened_at is None or now is None:
        return Text("")
    there = local_clock(now, zone_of(opened.zone))
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{clean(opened.runbook)}  run {opened.id}  {opened.environment.upper()}", style="bold")
    text.append(f"  {clock(now)}" + (f" ({there})" if there else ""))
    text.append(f"  elapsed {_since(state.opened_at, now)}")
    rto = objectives(state)[0]
    if rto.promised is not None and rto.promised.micros > 0:
        declared = state.mark("declared")
        start = declared.at if declared is not None else state.opened_at
        used = rto.reached.micros if rto.reached is not None else max(0, now.micros - start.micros)
        percent = used * 100 // rto.promised.micros
        full = min(BAR, percent * BAR // 100)
        text.append(f"\nRTO {'█' * full}{'░' * (BAR - full)} ", style="red" if percent > 100 else "")  # noqa: PLR2004 - percent
        text.append(f"{percent}% of {human(rto.promised)}" + ("  restored" if rto.reached is not None else ""))
    return text


def _since(start: Time, now: Time) -> str:
    return human(max(0, now.micros - start.micros) // SECOND * SECOND)


def phases_row(state: RunState) -> Text:
    """All phases met so far on one line."""
    text = Text()
    for block in list(state.blocks.values()):
        if block.form == "phase":
            word = block.outcome.value if block.outcome is not None else "running"
            text.append(f"{SIGNS[word]} {clean(block.path)}  ", style=STYLES.get(word, "red"))
    return text


def phase_rows(state: RunState, phase: str) -> list[Text]:
    """A phase and its steps, for the scrollback."""
    block = state.blocks[phase]
    word = block.outcome.value if block.outcome is not None else "running"
    title = f"  {one_line(block.title)}" if block.title else ""
    reason = f": {one_line(block.because)}" if block.because else ""
    rows = [Text(f"{SIGNS[word]} {clean(phase)}{title}  {word}{reason}", style="bold")]
    return rows if word == "skipped" else rows + step_rows(state, phase, state.last_at)


def step_rows(state: RunState, phase: str, now: Time | None) -> list[Text]:
    """The steps of a phase; those that run show for how long."""
    found = []
    for row in rows(state, phase):
        indent = "  " * row.depth
        if row.group is not None:
            text = Text(cut(indent + group_text(row.group), 80), style=COUNTS)
            text.stylize("" if row.group.tolerated else STYLES.get(row.group.outcome, "bold red"))
            found.append(text)
        elif row.step is not None:
            found.append(Text(indent).append_text(step_row(row.step, now, 80 - len(indent))))
    return found


def step_row(facts: StepFacts, now: Time | None, cells: int = 80) -> Text:
    """One step: sign, name, host, time, word, and why it is not simply ok."""
    name = clean(facts.path.split("/", 1)[-1])
    name = name if width(name) <= NAME_CELLS else "…" + name[-(NAME_CELLS - 1) :]
    host = "" if facts.host == "local" else cut(clean(facts.host), HOST_CELLS)
    took = human(facts.elapsed) if facts.elapsed is not None else ""
    if facts.outcome == "running" and facts.started_at is not None and now is not None:
        took = _since(facts.started_at, now)
    style = "" if facts.accepted else STYLES.get(facts.outcome, "bold red" if is_bad(facts.outcome) else "")
    text = Text()
    text.append(f" {facts.sign} ", style=style)
    text.append(f"{pad(name, NAME_CELLS)} {pad(host, HOST_CELLS)} {took:>7}  ")
    text.append(facts.word, style=style)
    plain = facts.outcome == "ok" and not facts.found and not facts.by
    reason = one_line(facts.title if plain or facts.outcome == "running" else facts.because)
    left = cells - width(text.plain) - 2
    if reason and left > 4:  # noqa: PLR2004 - less says nothing
        text.append(f"  {cut(reason, left)}", style="dim" if facts.outcome == "ok" else "")
    return text


def waiting_rows(state: RunState, now: Time | None) -> list[Text]:
    """Questions that wait for somebody, and for how long."""
    rows = []
    for question in state.open_questions:
        asked = question.asked
        since = f" {_since(question.asked_at, now)}" if now is not None else ""
        who = f" for {' or '.join(asked.by)}" if asked.by else ""
        text = f"⏸ {question_word(asked.kind)}: {last_name(asked.path)} ({asked.id}) waits{since}{who}"
        rows.append(Text(cut(clean(text), 80), style="bold yellow"))
    if state.opened is not None:
        rows.append(Text(f"another terminal: drctl watch {state.opened.id}", style="dim"))
    return rows
