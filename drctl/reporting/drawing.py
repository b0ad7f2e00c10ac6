"""The timeline of a report as inline SVG: phases, steps and questions as bars, marks as lines.

Time in which nobody carried the run out is drawn short, with a break, so that a night's pause does not hide the work.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass
from drctl.core.values import Time
from drctl.reporting.texts import clock, cut, human

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.reporting.report_model import Report

WIDTH = 980
LEFT = 210
RIGHT = 14
ROW = 20
TOP = 44
STILL_SHARE = 25
"""A standstill is drawn at most as long as the working time divided by this."""
MOST_STEPS = 120
STEPS_OF_TICKS = tuple(
    s * 1_000_000 for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
)
LABEL_CELLS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of the drawing."""

    label: str
    start: int
    end: int
    tone: str
    title: str
    phase: bool = False


class Scale:
    """Maps time to places, with long standstills cut short."""

    def __init__(self, start: int, end: int, still: Sequence[tuple[int, int]]) -> None:
        self.start, self.end = start, max(end, start + 1)
        idle = sum(b - a for a, b in still)
        most = max(1_000_000, (self.end - self.start - idle) // STILL_SHARE)
        self.breaks = [(a, b, b - a - most) for a, b in still if b - a > most]
        self._length = max(1, self.end - self.start - sum(saved for _, _, saved in self.breaks))

    def x(self, at: int) -> int:
        """The place of a time, in tenths of a unit; whole numbers only, so that it never differs by rounding."""
        saved = 0
        for start, end, less in self.breaks:
            if at >= end:
                saved += less
            elif at > start:
                saved += less * (at - start) // (end - start)
        place = min(max(at, self.start), self.end) - self.start - saved
        return LEFT * 10 + place * (WIDTH - LEFT - RIGHT) * 10 // self._length

    def ticks(self) -> list[int]:
        """Round times for the axis: at most a dozen, none inside a break."""
        step = next((s for s in STEPS_OF_TICKS if self._length // s <= 8), STEPS_OF_TICKS[-1])  # noqa: PLR2004 - what fits
        first = -(-self.start // step) * step
        inside = (range(a, b) for a, b, _ in self.breaks)
        dark = list(inside)
        times: list[int] = []
        at = first
        while at <= self.end and len(times) < 24:  # noqa: PLR2004 - a drawing, not a table
            hole = next((h for h in dark if at in h), None)
            if hole is not None:
                at = -(-hole.stop // step) * step
                continue
            times.append(at)
            at += step
        return times


def drawing(report: Report) -> str:
    """The whole drawing; empty when nothing began."""
    opened, last = report.header.opened, report.header.last
    bars = _bars(report)
    if opened is None or last is None or not bars:
        return ""
    scale = Scale(opened.us, max(last.us, opened.us + 1_000_000), report.standstills)
    height = TOP + ROW * len(bars) + 8
    what = f"Timeline of run {report.header.id}: {len(bars)} rows from {opened.utc} to {last.utc}"
    parts = [
        f'<svg class="gantt" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(what)}">',
        *_axis(scale, height),
        *(part for i, bar in enumerate(bars) for part in _bar(scale, bar, TOP + ROW * i)),
        *_marks(report, scale, height),
        "</svg>",
    ]
    return "\n".join(parts)


def _bars(report: Report) -> list[Bar]:
    last = report.header.last.us if report.header.last is not None else 0
    bars: list[Bar] = []
    for phase in report.phases:
        if phase.state == "skipped":
            continue
        end = phase.exit.us if phase.exit is not None else last
        bars.append(
            Bar(
                label=phase.path,
                start=phase.entry.us,
                end=end,
                tone="phase",
                phase=True,
                title=f"{phase.path}: {phase.state}",
            )
        )
        inside = [
            Bar(
                label=s.path.split("/", 1)[-1],
                start=s.started.us,
                end=s.finished.us if s.finished is not None else last,
                tone="good" if s.outcome == "ok" else "quiet" if s.good else "bad",
                title=f"{s.path}: {s.word}" + (f", {human(s.elapsed_us)}" if s.elapsed_us is not None else ""),
            )
            for s in report.steps
            if s.started is not None and s.role in {"act", "look", "method"} and s.path.split("/", 1)[0] == phase.path
        ]
        inside += [
            Bar(
                label=f"{d.id} {d.kind}",
                start=d.asked.us,
                end=d.asked.us + (d.waited_us or 0) if d.waited_us is not None else last,
                tone="wait",
                title=f"{d.id} {d.kind} {d.path}: {d.state}",
            )
            for d in report.decisions
            if d.path.split("/", 1)[0] == phase.path
        ]
        bars += sorted(inside, key=lambda bar: bar.start)
    more = len(bars) - MOST_STEPS
    if more <= 0:
        return bars
    last_bar = Bar(label=f"… {more} more rows", start=last, end=last, tone="quiet", title="see the steps below")
    return [*bars[:MOST_STEPS], last_bar]


def _axis(scale: Scale, height: int) -> list[str]:
    parts = []
    for at in scale.ticks():
        x = _tenths(scale.x(at))
        parts.append(f'<line class="tick" x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height}"/>')
        parts.append(f'<text class="axis" x="{x}" y="{TOP - 12}" text-anchor="middle">{clock(Time(at))}</text>')
    for start, end, _ in scale.breaks:
        box = _box("still", scale.x(start), TOP - 8, scale.x(end), height - TOP + 8)
        parts.append(f"{box}<title>stood still for {human(end - start)}, drawn short</title></rect>")
    return parts


def _bar(scale: Scale, bar: Bar, y: int) -> list[str]:
    left, right = scale.x(bar.start), scale.x(bar.end)
    width = max(20, right - left)
    left = min(left, (WIDTH - RIGHT) * 10 - width)
    label = escape(cut(bar.label, LABEL_CELLS))
    kind, indent = ("phase-label", 2) if bar.phase else ("step-label", 14)
    box = _box(f"bar {bar.tone}", left, y + 4, left + width, ROW - 8)
    return [
        f'<text class="{kind}" x="{indent}" y="{y + 14}">{label}</text>',
        f"{box}<title>{escape(bar.title)}</title></rect>",
    ]


def _box(kind: str, left: int, top: int, right: int, height: int) -> str:
    """The opening tag of a rectangle; left and right in tenths."""
    place = f'x="{_tenths(left)}" y="{top}" width="{_tenths(right - left)}" height="{height}"'
    return f'<rect class="{kind}" {place} rx="2">'


def _marks(report: Report, scale: Scale, height: int) -> list[str]:
    """Clocks that lie within the run, as lines with their names; names that would overlap go on two rows."""
    parts, ends = [], [0, 0]
    times = sorted((_us(m.value), m.name) for m in report.marks if _us(m.value))
    for at, name in times:
        if not scale.start <= at <= scale.end:
            continue
        x = scale.x(at)
        width = len(name) * 62
        row = 0 if x - width // 2 > ends[0] else 1
        ends[row] = x + width // 2
        middle = min(max(x, LEFT * 10 + width // 2), WIDTH * 10 - width // 2)
        parts.append(f'<line class="mark" x1="{_tenths(x)}" y1="{12 + row * 11}" x2="{_tenths(x)}" y2="{height}"/>')
        place = f'x="{_tenths(middle)}" y="{10 + row * 11}"'
        parts.append(f'<text class="mark-label" {place} text-anchor="middle">{escape(name)}</text>')
    return parts


def _us(value: str) -> int:
    try:
        return Time.parse(value).micros
    except ValueError:
        return 0


def _tenths(value: int) -> str:
    whole, tenth = divmod(value, 10)
    return f"{whole}.{tenth}" if tenth else str(whole)
