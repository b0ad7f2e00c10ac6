"""plan --out and run --plan: what is kept, what a run is held to, and what is refused before anything is changed."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from drctl import __version__
from drctl.core.saved_plan import read_plan
from drctl.errors import Exit
from tests.cli.conftest import Drctl, Said, book, step

SECRET = "correct horse battery"


def document(drctl: Drctl, *more: str, head: str = "") -> str:
    """A runbook that looks at a file, acts by what stands there, and acts."""
    look = f"cat {drctl.folder}/seen"
    return book(
        step("look", look, effect="read", more=", capture: {n: int(stdout)}, expect: n < 100"),
        "      - {id: big, do: check, expect: steps.look.n > 10}\n",
        *more,
        step("act", f"echo done >> {drctl.folder}/ledger"),
        head=head,
    )


@pytest.fixture
def kept(drctl: Drctl) -> Drctl:
    """A folder with a runbook and a plan of it that was kept."""
    drctl.write("seen", "42\n")
    drctl.write("book.yaml", document(drctl))
    said = drctl("plan", "book.yaml", "--out", "book.plan")
    assert said.code == 0, said
    return drctl


def held(drctl: Drctl, *args: str) -> Said:
    return drctl("run", "book.yaml", "--plan", "book.plan", "--no-live", *args)


def refused(drctl: Drctl, said: Said, code: Exit = Exit.PLAN_CHANGED) -> str:
    """What was said; nothing was opened and nothing done."""
    assert said.code == code, said
    assert not (drctl.state / "runs").exists() or not list((drctl.state / "runs").iterdir())
    assert not (drctl.folder / "ledger").exists()
    return said.err


def test_a_plan_that_still_fits_is_run_and_everything_says_to_which_it_was_held(kept: Drctl) -> None:
    saved = read_plan((kept.folder / "book.plan").read_bytes())
    said = held(kept)
    assert said.code == 0, said
    (id_,) = kept.ids()
    first = json.loads(kept.journal(id_).read_text().splitlines()[0])["body"]
    assert (first["held_to"], first["held_made_at"]) == (saved.digest, saved.made_at)
    assert "held to plan sha256:" in said.out
    for name in ("report.md", "report.html", "report.json"):
        assert f"held to plan sha256:{saved.digest} made at" in (kept.state / "runs" / id_ / name).read_text()


def test_a_plan_that_is_kept_ends_with_one_command_and_that_runs_it(drctl: Drctl) -> None:
    drctl.write("book.yaml", document(drctl, head="inputs: {n: {type: int, default: 1}}\n"))
    drctl.write("seen", "42\n")
    said = drctl("plan", "book.yaml", "-i", "n=2", "--out", "my plan", "--transport", "fabric")
    assert (said.out + said.err).count("drctl run ") == 1
    words = shlex.split(said.out.rstrip().splitlines()[-1].removeprefix("Next: drctl "))
    assert words[:2] == ["run", "book.yaml"]
    assert words[4:] == ["--plan", "my plan", "--transport", "fabric"]
    as_json = drctl("--output", "json", "plan", "book.yaml", "--out", "my plan")
    assert "--plan 'my plan'" in as_json.err
    assert drctl(*words, "--no-live").code == 0


def test_a_plan_that_does_not_stand_names_the_command_that_makes_it_anew(drctl: Drctl) -> None:
    drctl.write("book.yaml", document(drctl, head="inputs: {n: {type: int, default: 1}}\n"))
    drctl.write("seen", "42\n")
    assert drctl("plan", "book.yaml", "-i", "n=2", "--fan-out", "3", "--out", "book.plan").code == 0
    drctl.write("book.yaml", f"{(drctl.folder / 'book.yaml').read_text()}# edited\n")
    told = refused(drctl, held(drctl))
    new = next(line for line in told.splitlines() if "make a new one: " in line).partition("make a new one: drctl ")[2]
    words = shlex.split(new)
    assert (words[:2], words[4:]) == (["plan", "book.yaml"], ["-i", "n=2", "--fan-out", "3", "--out", "book.plan"])
    assert drctl(*words).code == 0
    assert held(drctl).code == 0


def test_a_run_without_one_says_so(drctl: Drctl, done: str) -> None:
    assert "held_to" not in json.loads(drctl.journal(done).read_text().splitlines()[0])["body"]
    for name in ("report.md", "report.html", "report.json"):
        assert "without a saved plan" in (drctl.state / "runs" / done / name).read_text()


def test_the_file_is_private_whole_canonical_and_says_what_it_rests_on(kept: Drctl) -> None:
    path = kept.folder / "book.plan"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    saved = read_plan(data)
    assert saved.text() == data
    assert saved.version == __version__
    assert list(saved.documents) == ["book.yaml"]
    assert saved.expires_at - saved.made_at == 3_600_000_000
    (fact,) = saved.facts
    assert (fact.path, fact.outcome, fact.values["n"], fact.values["stdout"]) == ("only/look", "ok", 42, "42")
    assert [row["path"] for row in saved.rows] == ["only", "only/look", "only/big", "only/act"]
    assert not list(kept.folder.glob(".tmp*"))


def test_secrets_are_named_and_never_written(drctl: Drctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    text = step("look", 'echo "$P"', effect="read").replace("effect", "with: {env: {P: '${{ inputs.pass }}'}}, effect")
    drctl.write("book.yaml", book(text, head="inputs: {pass: {type: secret, from: 'env:PASSWORD'}}\n"))
    assert drctl("plan", "book.yaml", "--out", "book.plan").code == 0
    data = (drctl.folder / "book.plan").read_text()
    assert SECRET not in data
    assert read_plan(data.encode()).secrets == ("pass",)
    assert "inputs" in data
    assert held(drctl).code == 0


def test_a_look_that_moved_within_its_expect_is_no_drift(kept: Drctl) -> None:
    kept.write("seen", "43\n")
    assert held(kept, "--dry-run").code == 0
    assert held(kept).code == 0


def test_a_condition_that_comes_out_differently_is_drift_and_shows_old_and_new(kept: Drctl) -> None:
    kept.write("seen", "7\n")
    said = held(kept, "--dry-run")
    assert "steps.look.n: 42 -> 7" in said.out
    assert "steps.look.n: 42 -> 7" in refused(kept, held(kept))
    as_json = kept("--output", "json", "run", "book.yaml", "--plan", "book.plan", "--dry-run")
    assert as_json.code == Exit.PLAN_CHANGED
    named = {one["name"]: (one["old"], one["new"]) for one in as_json.json["drift"]}
    assert [name.rpartition(": ")[2] for name in named] == ["steps.look.n", "status"]
    assert list(named.values()) == [("42", "7"), ("known", "would stop")]


def test_a_look_that_ends_otherwise_is_drift(kept: Drctl) -> None:
    kept.write("seen", "142\n")
    assert "only/look: ok -> failed" in refused(kept, held(kept))


def test_what_is_sent_may_not_move_at_all(drctl: Drctl) -> None:
    drctl.write("seen", "42\n")
    sent = step("send", f"echo ${{{{ steps.look.n }}}} >> {drctl.folder}/sent")
    drctl.write("book.yaml", document(drctl, sent))
    assert drctl("plan", "book.yaml", "--out", "book.plan").code == 0
    drctl.write("seen", "43\n")
    assert "steps.look.n: 42 -> 43" in refused(drctl, held(drctl))


def test_another_runbook_text_is_refused_with_both_digests(kept: Drctl) -> None:
    kept.write("book.yaml", document(kept) + "\n# a word more\n" + step("more", "true"))
    err = refused(kept, held(kept))
    assert "document book.yaml: sha256:" in err
    assert " -> sha256:" in err


def test_another_entry_of_the_inventory_is_refused_and_named(kept: Drctl) -> None:
    inventory = (kept.folder / "inventory.yaml").read_text()
    kept.write("inventory.yaml", f"# moved by one line\n{inventory}")
    assert held(kept, "--dry-run").code == 0
    kept.write("inventory.yaml", inventory.replace("commander: [li]", "commander: [wang]"))
    assert "inventory: role commander" in refused(kept, held(kept))


def test_an_expired_plan_is_refused(kept: Drctl, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = read_plan((kept.folder / "book.plan").read_bytes())
    monkeypatch.setattr("drctl.cli.saved.now", lambda: saved.expires_at - 1)
    assert held(kept, "--dry-run").code == 0
    monkeypatch.setattr("drctl.cli.saved.now", lambda: saved.expires_at)
    assert "expired" in refused(kept, held(kept))


def test_another_version_of_drctl_is_refused(kept: Drctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drctl.cli.saved.__version__", "99.0")
    assert f"drctl: {__version__} -> 99.0" in refused(kept, held(kept))


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (lambda data: data.replace(b'"n":42', b'"n":43'), Exit.PLAN_CHANGED, "was changed"),
        (lambda data: data.replace(b'"v":1', b'"v":2'), Exit.DOCUMENT, "version is 2"),
        (lambda data: data[: len(data) // 2], Exit.DOCUMENT, "not JSON"),
        (lambda data: b"{}", Exit.DOCUMENT, "not a plan"),  # noqa: ARG005
        (lambda data: b"", Exit.DOCUMENT, "not JSON"),  # noqa: ARG005
        (lambda data: b"\xff\xfe", Exit.DOCUMENT, "not JSON"),  # noqa: ARG005
    ],
    ids=["value", "version", "half", "other", "empty", "bytes"],
)
def test_a_file_that_is_no_plan_any_more_is_refused(kept: Drctl, change: object, code: Exit, word: str) -> None:
    path = kept.folder / "book.plan"
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    assert word in refused(kept, held(kept), code)


def test_inputs_come_from_the_plan_and_may_only_be_given_the_same(drctl: Drctl) -> None:
    head = "inputs: {n: {type: int}, m: {type: int}}\n"
    drctl.write("book.yaml", book(step("use", f"echo ${{{{ inputs.n }}}} >> {drctl.folder}/ledger"), head=head))
    assert drctl("plan", "book.yaml", "-i", "n=3", "-i", "m=1", "--out", "book.plan").code == 0
    assert "Input n is another one" in refused(drctl, held(drctl, "-i", "n=4"), Exit.USAGE)
    assert "no input 'x'" in refused(drctl, held(drctl, "-i", "x=4"), Exit.USAGE)
    assert held(drctl, "-i", "n=3").code == 0
    assert (drctl.folder / "ledger").read_text() == "3\n"


def test_a_plan_of_another_runbook_is_refused(kept: Drctl) -> None:
    kept.write("other.yaml", document(kept).replace("runbook: book", "runbook: other"))
    assert "runbook book" in refused(kept, kept("run", "other.yaml", "--plan", "book.plan", "--no-live"))


def test_a_missing_plan_and_a_folder_that_is_not_there(kept: Drctl) -> None:
    assert kept("run", "book.yaml", "--plan", "none.plan").code == Exit.USAGE
    assert kept("plan", "book.yaml", "--out", "none/book.plan").code == Exit.USAGE
    assert kept("plan", "book.yaml", "--out", "x.plan", "--valid", "soon").code == Exit.USAGE
    assert not Path(kept.folder / "x.plan").exists()


def test_more_unknown_than_allowed_gives_4_names_them_and_keeps_nothing(drctl: Drctl) -> None:
    drctl.write("book.yaml", book(step("act", "true"), step("after", "true", effect="read")))
    assert drctl("plan", "book.yaml", "--max-unknown", "2").code == 0
    said = drctl("plan", "book.yaml", "--max-unknown", "0", "--out", "book.plan")
    assert said.code == Exit.NOTHING_CHANGED
    assert "only/after: now" in said.err
    assert not (drctl.folder / "book.plan").exists()


def test_the_time_of_past_runs_is_shown_with_how_many_there_were(drctl: Drctl) -> None:
    text = book(step("act", "sleep 0.05"), step("new", "true").replace("id: new", "takes: 3s, id: new"))
    drctl.ran(text)
    drctl.ran(text.replace("sleep 0.05", "exit 1"))
    said = drctl("--output", "json", "plan", "book.yaml")
    act, new = said.json["rows"][1:]
    assert act["samples"] == 1
    assert act["expected_us"] > 0
    assert new["expected_us"] == 3_000_000 or new["samples"] == 1


def test_a_broken_journal_is_left_out_of_the_estimate_with_a_warning(drctl: Drctl) -> None:
    text = book(step("act", "true"))
    drctl.ran(text)
    _, broken = drctl.ran(text)
    path = drctl.journal(broken)
    path.write_bytes(path.read_bytes().replace(b'"step_finished"', b'"step_finished"x'))
    said = drctl("--output", "json", "plan", "book.yaml")
    assert said.json["rows"][1]["samples"] == 1
    assert any(broken in warning for warning in said.json["warnings"])
