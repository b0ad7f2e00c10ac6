"""The HTML report: one file, well formed, loads nothing, runs nothing, escapes everything, opens in a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drctl.core import events as ev
from drctl.reporting.drawing import Scale
from drctl.reporting.html import html
from drctl.reporting.report import build
from tests.browser import look
from tests.reporting.builder import RunBuilder, audit, opened
from tests.reporting.events import failed_run, full_run, waiting_run

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "source", "wbr"}
SELF_CLOSED_SVG = {"line"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background", "ping", "manifest", "xlink:href"}


class Page(HTMLParser):
    """Reads a page: its text, its tags, what is not balanced, and every attribute that could load or run something."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []
        self.dangerous: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.said: list[str] = []
        self.language = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in SELF_CLOSED_SVG:
            self.wrong.append(f"<{tag}/>")
        self._attributes(tag, attrs)

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if tag == "html" and name == "lang":
                self.language = value or ""
            if name == "id":
                self.ids.add(value or "")
            if name == "href":
                self.links.add(value or "")
            if name in LOADS or name.startswith("on") or (name == "href" and not (value or "").startswith("#")):
                self.dangerous.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def page_of(run: RunBuilder) -> str:
    return html(build(run.entries, run.state(), audit(), run.get))


@pytest.mark.parametrize(
    "run", [full_run(), waiting_run(), failed_run(), failed_run(doubt=True)], ids=["full", "waiting", "failed", "doubt"]
)
def test_the_page_is_well_formed_and_stands_alone(run: RunBuilder) -> None:
    source = page_of(run)
    page = Page(source)
    assert page.wrong == []
    assert page.open == []
    assert page.dangerous == []
    assert page.language == "en"
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert "max-width:640px" in style


def test_hostile_texts_stay_texts() -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u202e{{ 7*7 }}{% raw %}"
    run = RunBuilder()
    opened(run, title=bad, operator=bad, zone=bad, language='en" onload="x', runbook=bad)
    run.phase("p", bad)
    run.look(f"p/{bad}", bad, outcome="failed", because=bad, text=bad, outputs={bad: bad}, captures={"x": bad})
    run.act("p/act", bad, text=bad, out={"stdout": run.keep(bad)}, because=bad)
    run.add(
        ev.Asked(id=bad, kind=bad, path=f"p/{bad}", text=bad, choices=(bad,), show=((bad, bad),), target=bad, by=(bad,))
    )
    run.add(ev.Answered(id=bad, choice=bad, by=bad, accepted=True, reason=bad, values={bad: bad}))
    run.add(ev.NoteAdded(by=bad, text="action:" + bad))
    run.add(ev.DeviationNoted(path=bad, what=bad, by=bad, because=bad))
    run.add(ev.MarkSet(name=bad, value={"$time": run.now.micros}, path=bad))
    run.add(ev.RunClosed(state=bad, exit=1, because=bad, exceptions=(bad,)))
    source = page_of(run)
    page = Page(source)
    assert page.wrong == []
    assert page.dangerous == []
    assert not {"script", "img"} & set(page.tags)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", source)
    assert "{{ 7*7 }}" in "".join(page.said)


def test_every_section_is_there() -> None:
    page = Page(page_of(full_run()))
    assert {
        "incident",
        "objectives",
        "phases",
        "timeline",
        "decisions",
        "steps",
        "exceptions",
        "left",
        "evidence",
        "actions",
        "controls",
    } <= page.ids
    said = " ".join("".join(page.said).split())
    for text in (
        "Approvals simulated",
        "pg_promote()",
        "\\x1b[31mbind()",
        "<script>alert(1)</script>",
        "核对发票数量",
        "指挥员已知情",
        "another pair of eyes",
        "ISO 22301",
        "GB/T 20988-2025",
        "SOC 2 A1.3",
        "[to be filled in]",
        "drctl audit verify 8F2KQ",
    ):
        assert text in said


def test_the_drawing_shows_steps_waits_and_marks() -> None:
    source = page_of(full_run())
    svg = source[source.index("<svg") : source.index("</svg>")]
    assert svg.count('class="bar') >= 14
    assert 'class="bar wait"' in svg
    assert "service_restored" in svg
    assert "stood still for 30s" in svg


def test_a_long_standstill_is_drawn_short() -> None:
    hour = 3600 * 1_000_000
    scale = Scale(0, 10 * hour + 200_000_000, [(100_000_000, 10 * hour + 100_000_000)])
    work, night = scale.x(100_000_000) - scale.x(0), scale.x(10 * hour + 100_000_000) - scale.x(100_000_000)
    assert work > 10 * night
    assert len(scale.ticks()) < 24
    places = [scale.x(at) for at in range(0, 10 * hour + 200_000_000, 37 * 1_000_000)]
    assert places == sorted(places)


@pytest.mark.needs("chromium")
def test_a_browser_opens_it_without_complaint(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(page_of(full_run()), encoding="utf-8")
    picture = tmp_path / "report.png"
    seen = look(page, picture, profile=tmp_path / "profile")
    assert seen.complaints == ()
    drawn = Page(seen.dom)
    assert "RECOVERED WITH EXCEPTIONS" in "".join(drawn.said)
    assert "script" not in drawn.tags
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 60_000, "a blank page of this size takes about 10 kB"
