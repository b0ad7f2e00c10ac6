"""Would the suite notice? Each rule of the wrapper is broken on purpose, and the test that guards it must fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.adapters import claim_text
from drctl.adapters.local import LocalShell
from tests.adapters.shell_conformance import Place, ShellConformance

SABOTAGE = {
    "a claim is made again": (
        'if [ ! -d "$dr_c" ]; then\n  mkdir "$dr_c"',
        'if :; then\n  mkdir -p "$dr_c"',
        "test_the_same_key_hands_back_the_outcome_and_runs_nothing",
    ),
    "the digest is not compared": (
        '[ "$dr_og" = "$dr_g" ] ||',
        ": ||",
        "test_another_command_under_the_key_is_a_defect_and_no_outcome",
    ),
    "not started leaves no void": (
        'dr_put void; dr_no void "claimed and voided now"',
        'rm -rf "$dr_c"; dr_no void ""',
        "test_not_started_is_proven_by_taking_the_claim",
    ),
    "the owner is not asked": (
        '[ "$dr_w" = "$dr_run" ] ||',
        ": ||",
        "test_a_host_belongs_to_the_run_that_acted_first_until_it_is_given_back",
    ),
    "an older epoch is let in": (
        '-gt "$dr_ep" ] || continue',
        "-gt 999 ] || continue",
        "test_an_older_epoch_and_a_second_holder_are_refused",
    ),
    "a second holder is let in": (
        '[ "$dr_x" = "$dr_h" ] ||',
        ": ||",
        "test_an_older_epoch_and_a_second_holder_are_refused",
    ),
    "a restart is not seen": (
        '[ "$dr_ob" = "$dr_b" ] ||',
        ": ||",
        "test_a_restart_of_the_host_leaves_a_running_command_in_doubt_but_gone",
    ),
    "the exit code is made up": (
        'printf "%-12s\\n" "$?" 1<>',
        'printf "%-12s\\n" 0 1<>',
        "test_a_claimed_command_runs_and_its_whole_answer_comes_back",
    ),
    "nothing is really ended": (
        "dr_endall ||",
        ": ||",
        "test_a_command_over_its_limit_is_ended_and_stays_ended",
    ),
    "what must not be ended is": (
        '&& [ "$dr_kill" = 1 ]',
        "",
        "",  # the control node does not even ask: defence in depth, checked below
    ),
    "outputs stay after giving back": (
        "\\( -name out -o -name err \\) -exec rm -f {} +",
        "-name nothing",
        "test_giving_back_keeps_the_outcome_and_drops_the_outputs",
    ),
    "staged bytes are replaced under a command": (
        '[ -d "$dr_c" ] && dr_no staged "$dr_s/data"',
        ":",
        "",  # its own test is below
    ),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    boot, effects = tmp_path / "boot_id", tmp_path / "effects"
    boot.write_text("boot-1\n")
    effects.touch()
    monkeypatch.setenv("DRCTL_BOOT_ID_FILE", str(boot))

    def restart() -> None:
        boot.write_text("boot-2\n")

    made = Place(LocalShell(tmp_path), lambda: effects.read_text().split(), str(effects), restart)
    yield made
    made.clear()


@pytest.mark.parametrize("name", [name for name, (_, _, test) in SABOTAGE.items() if test])
def test_the_suite_notices(name: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, broken, test = SABOTAGE[name]
    wrapper = claim_text._wrapper()
    assert rule in wrapper
    monkeypatch.setattr(claim_text, "_wrapper", lambda: wrapper.replace(rule, broken))
    with pytest.raises(AssertionError):
        getattr(ShellConformance(), test)(place)


def test_the_wrapper_itself_does_not_end_what_must_not_be_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    command = place.command("sleep 600", 1, killable=False)
    place.shell.run(place.claim(), command)
    shell = place.shell
    assert isinstance(shell, LocalShell)
    assert shell._after_limit("kill", place.claim(), command, "").state.value == "still_running"
    wrapper, rule = claim_text._wrapper(), SABOTAGE["what must not be ended is"][0]
    assert rule in wrapper
    monkeypatch.setattr(claim_text, "_wrapper", lambda: wrapper.replace(rule, ""))
    assert shell._after_limit("kill", place.claim(), command, "").state.value == "killed"


def test_staging_after_the_claim_replaces_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(place.shell.stage(place.claim(), [b"first"]))
    place.shell.run(place.claim(), place.command("true"))
    place.shell.stage(place.claim(), [b"second"])
    assert path.read_bytes() == b"first"
    wrapper = claim_text._wrapper()
    rule, broken, _ = SABOTAGE["staged bytes are replaced under a command"]
    assert rule in wrapper
    monkeypatch.setattr(claim_text, "_wrapper", lambda: wrapper.replace(rule, broken))
    place.shell.stage(place.claim(), [b"second"])
    assert path.read_bytes() == b"second"
