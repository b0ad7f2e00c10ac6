"""What is said of documents and written for them: check, explain, new, graph. None of it touches the network."""

import json
import os
import re

import pytest

from drctl.errors import Exit
from drctl.loading.codes import CODES
from drctl.loading.skeletons import INVENTORY_SCHEMA, RUNBOOK_SCHEMA
from drctl.reporting.explain import NEXT
from drctl.reporting.texts import width
from tests.cli.conftest import Drctl, book, step

WRONG = book("      - {id: a, run: uptime, timout: 3s, effect: read}\n      - {id: b, do: check, expect: steps.c.ok}\n")


# -- check ---


def test_check_says_everything_at_once_in_order_with_its_line_and_where_to_read_more(drctl: Drctl) -> None:
    said = drctl("check", drctl.write("book.yaml", WRONG))
    assert said.code == Exit.DOCUMENT
    places = re.findall(r"^(book\.yaml:\d+:\d+): error\[(E\d+)\]", said.err, re.MULTILINE)
    assert places == [("book.yaml:5:30", "E201"), ("book.yaml:6:36", "E302")]
    first = said.err.split("\n")[:4]
    assert first[1] == "  5 |       - {id: a, run: uptime, timout: 3s, effect: read}"
    assert first[2].index("^") - len("  5 | ") == 29
    assert first[3] == "  = did you mean 'timeout'?"
    assert said.err.endswith("drctl explain E201 says more.\n")
    assert said.err.count("drctl explain") == 1


def test_what_a_runbook_names_is_a_regular_file_or_is_refused_without_waiting(drctl: Drctl) -> None:
    os.mkfifo(drctl.folder / "pipe")
    (drctl.folder / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        put = f"      - {{id: it, do: file.put, with: {{path: /srv/x, source: {name}}}}}\n"
        for text in (put, f"      - {{id: it, include: {name}}}\n"):
            said = drctl("check", drctl.write("book.yaml", book(text)))
            assert said.code == Exit.DOCUMENT
            assert f"{name} cannot be read: it is no regular file" in said.err


def test_check_says_the_same_as_json(drctl: Drctl) -> None:
    said = drctl("--output", "json", "check", drctl.write("book.yaml", WRONG))
    rows = said.json["diagnostics"]
    assert [(row["line"], row["column"], row["code"]) for row in rows] == [(5, 30, "E201"), (6, 36, "E302")]
    assert rows[0]["hint"] == "did you mean 'timeout'?"
    line, caret = rows[0]["snippet"].split("\n")
    assert line[caret.index("^") :].startswith("timout")


def test_the_line_of_a_secret_is_not_in_the_json_either(drctl: Drctl) -> None:
    text = book("      - {id: a, do: check, expect: true}\n", head="inputs: {t: {type: secret, from: hunter2-plain}}\n")
    said = drctl("--output", "json", "check", drctl.write("book.yaml", text))
    assert said.code == Exit.DOCUMENT
    assert "hunter2" not in said.out + said.err


def test_check_names_no_code_when_nothing_is_wrong(drctl: Drctl) -> None:
    said = drctl("check", drctl.write("book.yaml", book(step("a", "true", effect="read"))))
    assert said.code == 0
    assert "explain" not in said.err + said.out


# -- explain ---


@pytest.mark.parametrize("code", [*CODES, *(str(int(one)) for one in Exit)])
def test_every_code_is_explained(drctl: Drctl, code: str) -> None:
    said = drctl("explain", code)
    assert said.code == 0
    assert said.out.startswith(f"{code}  ")
    assert "next:" in said.out
    prose = [line for line in said.out.split("\n") if not line.startswith("    ")]
    assert max(map(width, prose)) <= 80
    told = drctl("--output", "json", "explain", code).json
    assert told["code"] == code
    assert told["meaning"]
    assert told["next"]


def test_a_code_may_be_typed_in_small_letters_or_by_its_name(drctl: Drctl) -> None:
    assert drctl("explain", "e103").out == drctl("explain", "E103").out
    assert drctl("explain", "in_doubt").out == drctl("explain", "10").out


def test_without_a_code_all_are_listed(drctl: Drctl) -> None:
    said = drctl("explain")
    listed = re.findall(r"^(\w+)  ", said.out, re.MULTILINE)
    assert set(CODES) <= set(listed)
    assert re.search(r"^130 +interrupted$", said.out, re.MULTILINE)
    told = drctl("--output", "json", "explain").json
    assert set(told["diagnostics"]) == set(CODES)
    assert set(told["exits"]) == {str(int(one)) for one in Exit}


def test_what_to_type_after_an_exit_code_is_a_command_there_is(drctl: Drctl) -> None:
    assert set(NEXT) == set(Exit)
    for text in NEXT.values():
        for command in re.findall(r"`drctl ([a-z]+)", text):
            assert drctl(command, "--help").code == 0


# -- new ---


def test_new_documents_pass_check_and_name_the_schema_beside_them(drctl: Drctl) -> None:
    (drctl.folder / "inventory.yaml").unlink()
    assert drctl("new", "inventory").out.split() == ["inventory.yaml", INVENTORY_SCHEMA]
    assert drctl("new", "runbook", "bring-back").out.split() == ["bring-back.yaml", RUNBOOK_SCHEMA]
    said = drctl("check", "bring-back.yaml")
    assert (said.code, said.err) == (0, "")
    for name, document in (("bring-back.yaml", "runbook"), ("inventory.yaml", "inventory")):
        first = (drctl.folder / name).read_text().split("\n")[0]
        schema = first.removeprefix("# yaml-language-server: $schema=")
        assert json.loads((drctl.folder / schema).read_text()) == drctl("schema", document).json
    assert drctl("graph", "bring-back.yaml").code == 0


def test_new_overwrites_nothing_and_says_what_to_type(drctl: Drctl) -> None:
    drctl.write("mine.yaml", "mine")
    drctl.write(RUNBOOK_SCHEMA, "an older one")
    said = drctl("new", "runbook", "-o", "mine.yaml")
    assert said.code == Exit.USAGE
    assert "next: drctl new runbook -o mine-2.yaml" in said.err
    assert (drctl.folder / "mine.yaml").read_text() == "mine"
    assert drctl("--output", "json", "new", "runbook", "-o", "mine-2.yaml").json == {"written": ["mine-2.yaml"]}
    assert (drctl.folder / RUNBOOK_SCHEMA).read_text() == "an older one"


def test_new_to_stdout_writes_no_file_and_says_how_to_get_the_schema(drctl: Drctl) -> None:
    before = sorted(drctl.folder.iterdir())
    said = drctl("new", "runbook", "-o", "-")
    assert said.code == 0
    assert said.out.startswith(f"# yaml-language-server: $schema={RUNBOOK_SCHEMA}\n")
    assert f"drctl schema runbook > {RUNBOOK_SCHEMA}" in said.err
    assert sorted(drctl.folder.iterdir()) == before


# -- graph ---


def test_graph_draws_to_stdout_to_a_file_and_as_json(drctl: Drctl) -> None:
    name = drctl.write("book.yaml", book(step("first", "true", effect="read"), step("second", "touch x")))
    tree = drctl("graph", name)
    assert tree.code == 0
    assert "├─ first  $ true" in tree.out
    chart = drctl("graph", name, "--format", "mermaid")
    assert chart.out.startswith("flowchart TD\n")
    assert drctl("graph", name, "--format", "mermaid", "-o", "book.mmd").out == "book.mmd\n"
    assert (drctl.folder / "book.mmd").read_text() == chart.out
    told = drctl("--output", "json", "graph", name, "--format", "mermaid").json
    assert told == {"runbook": "book", "format": "mermaid", "graph": chart.out.rstrip("\n")}


def test_graph_of_a_wrong_document_shows_what_is_wrong(drctl: Drctl) -> None:
    said = drctl("graph", drctl.write("book.yaml", WRONG))
    assert said.code == Exit.DOCUMENT
    assert "error[E201]" in said.err
    assert "error[E302]" in said.err
    assert "next: mend it, then: drctl check book.yaml" in said.err


def test_a_title_cannot_steer_the_terminal_or_the_chart(drctl: Drctl) -> None:
    text = book(step("a", "true", effect="read", more=', title: "\\e[31m\\"] --> x"'), head='title: "<b>"\n')
    name = drctl.write("book.yaml", text)
    for form in ("text", "mermaid"):
        said = drctl("graph", name, "--format", form)
        assert said.code in {0, Exit.DOCUMENT}, said
        assert "\x1b" not in said.out
        assert "<b>" not in said.out or form == "text"


def test_graph_says_where_an_include_is_named_that_cannot_be_read(drctl: Drctl) -> None:
    said = drctl("graph", drctl.write("book.yaml", book("      - {id: a, include: not-there.yaml}\n")))
    assert said.code == Exit.DOCUMENT
    assert re.match(r"book\.yaml:\d+:\d+: error", said.err)
