"""`file.put` with a file beside the runbook: what was planned is what is put, whatever became of that file since."""

from tests.cli.conftest import Drctl, book, step


def test_the_file_as_it_was_when_the_run_began_is_put_even_after_a_pause(drctl: Drctl) -> None:
    drctl.write("notice.txt", "down: ${{ run.id }}\n")
    put = "{id: put, do: file.put, with: {path: " + f"{drctl.folder}/served" + ", source: notice.txt}, undo: auto}"
    said, id_ = drctl.ran(book(step("first", f"test -e {drctl.folder}/go", effect="read"), f"      - {put}\n"))
    assert said.code == 7, said
    drctl.write("notice.txt", "changed\n")
    drctl.write("go", "")
    assert drctl("retry", id_, "first").code == 0
    assert drctl("resume", id_).code in (0, 11)
    assert (drctl.folder / "served").read_text() == f"down: {id_}\n"


def test_a_kept_plan_is_not_kept_to_when_the_file_changes(drctl: Drctl) -> None:
    drctl.write("notice.txt", "one\n")
    put = "{id: put, do: file.put, with: {path: " + f"{drctl.folder}/served" + ", source: notice.txt}, undo: auto}"
    drctl.write("book.yaml", book(f"      - {put}\n"))
    assert drctl("plan", "book.yaml", "--out", "book.plan").code == 0
    drctl.write("notice.txt", "two\n")
    said = drctl("run", "book.yaml", "--plan", "book.plan", "--no-live")
    assert said.code == 13, said
    assert "notice.txt" in said.err
    assert not (drctl.folder / "served").exists()
