"""The report as one HTML file: nothing is loaded from anywhere, no script runs, it prints, and a phone can read it.

The template lies beside this file; every value is escaped by jinja2, and the drawing escapes its own texts.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import jinja2

from drctl.reporting.control_map import CAVEAT, CONTROL_MAP, FIELDS_FOR_PEOPLE
from drctl.reporting.drawing import drawing
from drctl.reporting.report_model import TO_FILL
from drctl.reporting.texts import human

if TYPE_CHECKING:
    from drctl.reporting.report_model import Report

_TONES = {
    "✔": "good",
    "✖": "bad",
    "!": "warn",
    "?": "doubt",
    "⏸": "warn",
    "↩": "warn",
    "▶": "run",
    "·": "quiet",
    "⚑": "mark",
    "✎": "note",
}

_GLYPHS = {"⏸": "‖"}
"""Signs that many fonts lack, or draw as a coloured picture."""


def html(report: Report) -> str:
    """Render the whole report as one self-contained page."""
    source = resources.files("drctl.reporting").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.BaseLoader(),
    )
    environment.filters["human"] = human
    environment.filters["glyph"] = lambda sign: _GLYPHS.get(sign, sign)
    environment.filters["tone"] = lambda sign: _TONES.get(sign, "quiet")
    return environment.from_string(source).render(
        r=report,
        drawing=drawing(report),
        controls=CONTROL_MAP,
        caveat=CAVEAT,
        fields=FIELDS_FOR_PEOPLE,
        to_fill=TO_FILL,
    )
