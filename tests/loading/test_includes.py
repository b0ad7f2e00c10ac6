"""Included files: where they are found, what they are given, what they see, and what is seen of them."""

import pytest

from drctl.core.model import Action, Include, Runbook, Step
from drctl.core.templates import Template
from drctl.kinds import registry
from drctl.loading import Loaded, load_runbook
from tests.loading.documents import inventory, said

INNER = """\
runbook: inner
objectives: {rto: 5m}
locks: [inner-lock]
inputs:
  count: {type: int, min: 1, max: 9}
  name: {type: choice, of: [a, b], default: a}
  token: {type: secret, from: "env:T"}
phases:
  - id: work
    steps:
      - {id: one, on: db1, run: "echo ${{ inputs.count }}", effect: read, capture: {n: int(stdout)}}
      - {id: two, do: check, expect: steps.one.n > inputs.count}
outputs: {total: steps.one.n, label: inputs.name}
"""


def load(**files: str) -> Loaded[Runbook]:
    """A load of `main.yaml` in the folder `books`, with what it includes beside it."""

    def read(path: str) -> bytes:
        name = path.removeprefix("books/").removesuffix(".yaml").replace("/", "__")
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[name].encode()

    return load_runbook("books/main.yaml", read, registry(), inventory())


def main(*steps: str, head: str = "") -> str:
    return f"runbook: main\n{head}phases:\n  - id: p\n    steps:\n" + "".join(f"      - {step}\n" for step in steps)


def only(loaded: Loaded[Runbook]) -> list[str]:
    return [line.split(" ", 1)[1] for line in said(loaded)]


def test_its_steps_have_addresses_below_the_including_step_and_its_outputs_are_read_by_their_names() -> None:
    loaded = load(
        main=main(
            "{id: call, include: inner.yaml, with: {count: 3}}",
            "{id: after, do: check, expect: \"steps.call.total > 3 and steps.call.label == 'a' and steps.call.ok\"}",
            head="locks: [outer]\n",
        ),
        inner=INNER,
    )
    assert said(loaded) == []
    assert loaded.value is not None
    paths = {step.path: step.home for step in loaded.value.steps()}
    assert paths == {"p/call": "", "p/call/work/one": "p/call", "p/call/work/two": "p/call", "p/after": ""}
    assert loaded.value.locks == ("outer", "inner-lock")
    assert loaded.value.source.keys() == {"books/main.yaml", "books/inner.yaml"}
    assert loaded.value.source["books/inner.yaml"] == INNER


def test_it_loads_again_from_the_texts_that_are_frozen() -> None:
    loaded = load(main=main("{id: call, include: inner.yaml, with: {count: 3}}"), inner=INNER).value
    assert loaded is not None
    again = load_runbook("books/main.yaml", lambda path: loaded.source[path].encode(), registry(), inventory())
    assert again.value is not None
    assert [step.path for step in again.value.steps()] == [step.path for step in loaded.steps()]


def test_the_same_file_may_be_called_twice_and_in_a_loop() -> None:
    loaded = load(
        main=main(
            "{id: a, include: inner.yaml, with: {count: 3}}",
            '{id: b, foreach: {n: [1, 2]}, include: inner.yaml, with: {count: "${{ n }}"}}',
            '{id: c, do: check, expect: "sum(map(e in steps.b.each, e.total)) == 3 and steps.b.each[0].n == 1"}',
        ),
        inner=INNER,
    )
    assert said(loaded) == []
    assert loaded.value is not None
    assert [step.path for step in loaded.value.steps() if step.home] == [
        *("p/a/work/one", "p/a/work/two", "p/b/work/one", "p/b/work/two"),
    ]
    bodies = [step.body for step in loaded.value.steps() if isinstance(step.body, Include)]
    assert [body.file for body in bodies] == ["inner.yaml", "inner.yaml"]
    assert loaded.value.locks == ("inner-lock",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "E312 the input 'count' of the included file is missing in step 'call'"),
        (", with: {count: many}", "E203 a whole number is expected in step 'call', not a text"),
        (", with: {count: 12}", "E204 count must be at most 9, and is 12 in step 'call'"),
        (", with: {count: 3, name: c}", "E204 name is one of a, b, and 'c' is none of them in step 'call'"),
        (", with: {count: 3, nam: a}", "E312 the included file has no input 'nam' in step 'call'"),
        (', with: {count: "${{ run.id }}"}', "E304 text stands where int is needed"),
        (", with: {count: 3, token: abcdef}", "E403 a secret cannot be written here in step 'call'"),
        (", with: [3]", "E203 a map of inputs is expected in step 'call', not a list"),
    ],
)
def test_its_inputs_are_checked_as_inputs(given: str, expected: str) -> None:
    loaded = load(main=main(f"{{id: call, include: inner.yaml{given}}}"), inner=INNER)
    assert expected in only(loaded)


@pytest.mark.parametrize(
    ("expect", "code"),
    [
        ("steps.one.n > 3", "E302"),
        ("steps.call.n > 3", "E302"),
        ("steps.call.total == 'x'", "E304"),
    ],
)
def test_only_its_outputs_are_seen(expect: str, code: str) -> None:
    loaded = load(
        main=main("{id: call, include: inner.yaml, with: {count: 3}}", f'{{id: c, do: check, expect: "{expect}"}}'),
        inner=INNER,
    )
    assert [line.split()[0] for line in only(loaded)] == [code]


@pytest.mark.parametrize("expect", ["steps.before.ok", "inputs.outer == 3", "objectives.rto > 3s", "vars.v == 1"])
def test_it_sees_nothing_of_the_file_around(expect: str) -> None:
    inner = f"runbook: i\nphases: [{{id: q, steps: [{{id: c, do: check, expect: '{expect}'}}]}}]\n"
    head = "objectives: {rto: 5m}\ninputs: {outer: {type: int, default: 3}}\nvars: {v: 1}\n"
    around = main("{id: before, do: check, expect: true}", "{id: call, include: inner.yaml}", head=head)
    loaded = load(main=around, inner=inner)
    assert [(one.where.file, one.code) for one in loaded.diagnostics] == [("books/inner.yaml", "E302")]


def test_a_file_in_a_folder_below_is_found_from_there() -> None:
    inner = "runbook: i\nphases: [{id: q, steps: [{id: c, include: deep.yaml}]}]\n"
    deep = "runbook: d\nphases: [{id: q, steps: [{id: e, do: check, expect: true}]}]\n"
    loaded = load(main=main("{id: call, include: sub/inner.yaml}"), sub__inner=inner, sub__deep=deep)
    assert said(loaded) == []
    assert loaded.value is not None
    last = list(loaded.value.steps())[-1]
    assert (last.path, last.home) == ("p/call/q/c/q/e", "p/call/q/c")


@pytest.mark.parametrize("name", ["../x.yaml", "/x.yaml", "a/../../x.yaml", "'${{ run.id }}'", "./x.yaml", "''"])
def test_a_file_elsewhere_is_refused(name: str) -> None:
    loaded = load(main=main(f"{{id: call, include: {name}}}"))
    assert [line.split()[0] for line in only(loaded)] == ["E204"]


def test_a_file_that_is_not_there_is_said_where_it_is_named() -> None:
    loaded = load(main=main("{id: call, include: gone.yaml}"))
    assert said(loaded) == [
        "5:20 E100 books/gone.yaml cannot be read: No such file or directory in step 'call'",
    ]


def test_a_circle_is_refused_where_it_closes() -> None:
    loaded = load(main=main("{id: call, include: b.yaml}"), b=main("{id: back, include: main.yaml}"))
    assert [(one.where.file, one.code, one.hint) for one in loaded.diagnostics] == [
        ("books/b.yaml", "E311", "books/main.yaml includes books/b.yaml includes books/main.yaml"),
    ]


@pytest.mark.parametrize(("depth", "codes"), [(8, []), (9, ["E311"])])
def test_eight_deep_is_allowed(depth: int, codes: list[str]) -> None:
    files = {f"f{number}": main(f"{{id: c, include: f{number + 1}.yaml}}") for number in range(1, depth)}
    loaded = load(
        main=main("{id: c, include: f1.yaml}"), **files, **{f"f{depth}": main("{id: c, do: check, expect: true}")}
    )
    assert [one.code for one in loaded.diagnostics] == codes


def test_files_that_call_each_other_many_times_are_stopped() -> None:
    many = [f"{{id: c{number}, include: NEXT.yaml}}" for number in range(10)]
    files = {f"f{number}": main(*many).replace("NEXT", f"f{number + 1}") for number in range(1, 8)}
    loaded = load(main=main(*many).replace("NEXT", "f1"), **files, f8=main("{id: c, do: check, expect: true}"))
    assert "E311" in {one.code for one in loaded.diagnostics}


def test_what_is_wrong_in_it_is_said_once_with_its_own_place() -> None:
    inner = INNER.replace("steps.one.n > inputs.count", "steps.one.m > 1")
    call = "{id: %s, include: inner.yaml, with: {count: 3}}"
    loaded = load(main=main(call % "a", call % "b"), inner=inner)
    assert [(str(one.where), one.code) for one in loaded.diagnostics] == [("books/inner.yaml:12:38", "E302")]


def test_a_step_of_it_fails_as_the_including_step_says() -> None:
    loaded = load(main=main("{id: call, include: inner.yaml, on_failure: abort, with: {count: 3}}"), inner=INNER)
    assert loaded.value is not None
    inner: list[Step] = [step for step in loaded.value.steps() if step.home]
    assert {step.on_failure.value for step in inner} == {"abort"}


# -- files that a field names ------------------------------------------------------------------------------------------


def put(source: str) -> str:
    return main("{id: it, on: db1, do: file.put, with: {path: /srv/notice, source: " + source + "}, undo: {none: a}}")


def test_a_file_that_a_field_names_is_read_kept_with_the_document_and_may_hold_templates() -> None:
    loaded = load(main=put("texts/notice.yaml"), texts__notice="down since ${{ run.id }}\n")
    assert said(loaded) == []
    assert loaded.value is not None
    assert loaded.value.source["books/texts/notice.yaml"] == "down since ${{ run.id }}\n"
    (step,) = loaded.value.steps()
    assert isinstance(step.body, Action)
    source = step.body.fields["source"]
    assert isinstance(source, Template)
    assert not source.is_plain


@pytest.mark.parametrize("text", ["one\n  two ${{ run.idd }}\n", "x\ny ${{ 1 + }}\n"])
def test_what_is_wrong_in_such_a_file_is_told_at_its_place_there(text: str) -> None:
    loaded = load(main=put("notice.yaml"), notice=text)
    assert loaded.value is None
    assert str(loaded.diagnostics[0].where).startswith("books/notice.yaml:2:")


def test_a_file_that_cannot_be_read_is_told_where_it_is_named() -> None:
    (found,) = load(main=put("nowhere.yaml")).diagnostics
    assert (found.code, found.where.file, found.where.line) == ("E100", "books/main.yaml", 5)
    assert "books/nowhere.yaml cannot be read: No such file" in found.summary
    (found,) = load(main=put("big.yaml"), big="x" * 1024 * 1024 + "x").diagnostics
    assert "1,048,577 bytes" in found.summary


def test_a_file_that_is_no_text_is_refused() -> None:
    def read(path: str) -> bytes:
        return put("raw").encode() if path.endswith("main.yaml") else b"ab\xff"

    (found,) = load_runbook("books/main.yaml", read, registry(), inventory()).diagnostics
    assert "no text in UTF-8: byte 3" in found.summary
    (found,) = load(main=put("nul.yaml"), nul="a\0b").diagnostics
    assert "holds a NUL byte" in found.summary
