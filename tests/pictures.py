"""Makes the pictures of the README from real runs.

    python -m tests.pictures live RUN_FOLDER           docs/pictures/live.svg    (from its journal)
    drctl plan ... | python -m tests.pictures plan -   docs/pictures/plan.svg    (from a plan's text)
    python -m tests.pictures report RUN_FOLDER         docs/pictures/report.png  (its report in a browser: chromium)

The pictures load nothing from anywhere.
"""

import argparse
import io
import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from drctl.adapters.journal_reader import read
from drctl.cli.runs import entries
from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.records import CHECKPOINT
from drctl.core.values import Time
from drctl.reporting.live import LiveView, phase_rows
from tests.browser import look

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""rich's picture of a terminal without its web font: a picture must not load anything."""


def paper() -> Console:
    """A terminal of 84 columns that remembers what was written."""
    return Console(
        record=True, width=84, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False,
        markup=False, emoji=False,
    )  # fmt: skip


def live(records: list[Entry], title: str) -> str:
    """The view in the middle of the last phase that acts, right after its last intent."""
    state = RunState()
    intents = [i for i, e in enumerate(records) if isinstance(e.event, ev.StepStarted) and e.event.role is ev.Role.ACT]
    shown = records[: intents[-1] + 1] if intents else records
    for entry in shown:
        state.apply(entry)
    now = Time(shown[-1].at.micros + 1_300_000)
    view = LiveView(io.StringIO(), now=lambda: now)
    view.start(state)
    view.pause()
    console = paper()
    for block in state.blocks.values():
        if block.form == "phase" and block.outcome is not None:
            for row in phase_rows(state, block.path):
                console.print(row)
    console.print(view.body())
    return console.export_svg(title=title, code_format=SVG, unique_id="live")


def plan(text: str) -> str:
    """A plan's text as a picture; signs and statuses in their colours."""
    console = paper()
    styles = {"✔": "green", "✖": "bold red", "▶": "cyan", "?": "magenta", "⏸": "yellow"}
    for line in text.splitlines():
        row = Text(line)
        for sign, style in styles.items():
            row.highlight_regex(rf"^ *\d* *{re.escape(sign)} \S+", style)
        row.highlight_regex(r"IRREVERSIBLE|CHANGES.*|PHASE", "bold")
        row.highlight_regex(r"^(Coverage|Not known|Next:).*", "bold")
        console.print(row)
    return console.export_svg(title="drctl plan", code_format=SVG, unique_id="plan")


def events_of(folder: Path) -> list[Entry]:
    """The events of a run folder."""
    journal = folder / "journal.jsonl" if folder.is_dir() else folder
    assert any(record.type != CHECKPOINT for record in read(journal)), f"{journal} has no records"
    return list(entries(journal))


def main() -> int:
    """Make one picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("what", choices=["live", "plan", "report"])
    parser.add_argument("source", help="a run folder, or for a plan its text ('-' is stdin)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder for pictures")
    parser.add_argument("--height", type=int, default=1500, help="of the report's picture, in pixels")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.what == "live":
        target = chosen.out / "live.svg"
        target.write_text(live(events_of(Path(chosen.source)), "drctl run"), encoding="utf-8")
    elif chosen.what == "plan":
        text = sys.stdin.read() if chosen.source == "-" else Path(chosen.source).read_text("utf-8")
        if not text.strip():
            sys.stderr.write("There is no plan text to draw.\n")
            return 1
        target = chosen.out / "plan.svg"
        target.write_text(plan(text), encoding="utf-8")
    else:
        target = chosen.out / "report.png"
        with tempfile.TemporaryDirectory() as profile:
            seen = look(Path(chosen.source) / "report.html", target, profile=Path(profile), height=chosen.height)
        if seen.complaints:
            sys.stderr.write("\n".join(seen.complaints) + "\n")
            return 1
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
