"""Diagnostics as a person sees them."""

from drctl.core.diagnostics import Diagnostic, Severity, Where
from drctl.loading import load_runbook, render
from drctl.loading.render import cell_width, masked
from drctl.loading.suggest import did_you_mean, nearest


def at(line: int, column: int, code: str = "E201") -> Diagnostic:
    return Diagnostic(where=Where(file="x.yaml", line=line, column=column), code=code, summary="s", hint="h")


def test_place_code_line_caret_and_hint() -> None:
    assert render(at(2, 4), "a\nb: cd\n") == "x.yaml:2:4: error[E201]: s\n  2 | b: cd\n    |    ^\n  = h"


def test_the_caret_stands_under_the_character_in_wide_text() -> None:
    shown = render(at(1, 6), "题目: 甲乙").split("\n")
    assert shown[1:3] == ["  1 | 题目: 甲乙", "    | " + " " * 8 + "^"]
    assert cell_width("甲a\u0301") == 3


def test_a_long_line_is_cut_around_its_place() -> None:
    shown = render(at(1, 500), "x" * 499 + "HERE" + "x" * 500).split("\n")
    assert "HERE" in shown[1]
    assert len(shown[1]) < 120
    assert shown[1][len(shown[2]) - 1] == "H"


def test_what_steers_a_terminal_is_escaped() -> None:
    shown = render(at(1, 3), "a\x1b[31m\u202eb\tc")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\u001b" in shown


def test_a_file_as_a_whole_has_no_snippet() -> None:
    found = Diagnostic(where=Where(file="x.yaml"), code="E107", summary="s", severity=Severity.WARNING)
    assert render(found, "a") == "x.yaml: warning[E107]: s"


def test_secrets_are_starred_out_and_references_are_not() -> None:
    assert masked("{password: hunter2, port: 1}") == "{password: *******, port: 1}"
    assert masked('token: "hunter2", b: 1') == "token: *********, b: 1"
    kept = '{password: env:X, keys: {file: k}, bearer: "${{ inputs.token }}", from: file:a}'
    assert masked(kept) == kept


def test_a_file_that_cannot_be_read_is_a_diagnostic() -> None:
    def read(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", path)

    loaded = load_runbook("gone.yaml", read, {})
    assert [render(one, "") for one in loaded.diagnostics] == [
        "gone.yaml: error[E100]: the file cannot be read: No such file or directory"
    ]


def test_near_misses() -> None:
    known = ["timeout", "retry", "do", "on", "point_of_no_return"]
    assert [nearest(word, known) for word in ("timout", "timeuot", "TIMEOUT", "du", "point-of-no-return", "x", "")] == [
        *("timeout", "timeout", "timeout", "do", "point_of_no_return", None, None)
    ]
    assert did_you_mean("zzz", known).startswith("known here: do, on")
    assert did_you_mean("zzz", [], "nothing") == "nothing"
