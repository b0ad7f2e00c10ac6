"""`shell` on the real shell of this machine."""

import pytest

from drctl.core.kind import ActKind, Change, FieldError, LookKind, Seen
from drctl.core.ports import MEBIBYTE, Reach, Reply
from drctl.core.scripts import ResolvedScript
from drctl.core.values import Secret, Unknown
from drctl.kinds.shell import Shell
from tests.fakes.hosts import FakeHost
from tests.kinds.worlds import Facts, Machine, dead, probe

HOSTILE = [
    "a b",
    "$HOME",
    "`id`",
    "$(id)",
    "'",
    '"',
    "\\",
    "*",
    ";echo x",
    "-n",
    "",
    "\n\n",
    "é漢",
    "%s",
    "&",
    "~",
    "#x",
    "!x",
]


def script(text: str, **env: str) -> ResolvedScript:
    return ResolvedScript(text, env)


def test_a_look_gives_exit_code_and_streams(machine: Machine) -> None:
    outputs = Shell(run=script("echo out; echo err >&2; exit 3")).look(machine.probe())
    assert outputs.reach is Reach.COMPLETE
    assert outputs.values["exit"] == 3
    assert outputs.values["stdout"] == "out"
    assert outputs.values["stderr"] == "err"
    assert isinstance(outputs.values["json"], Unknown)
    assert outputs.because == "exit 3: err"
    assert outputs.streams == {"stdout": b"out\n", "stderr": b"err\n"}


def test_an_act_gives_the_same(machine: Machine) -> None:
    kind = Shell(run=script("printf '{\"n\": 0.10}' | tee made"))
    outputs = kind.execute(machine.act())
    assert outputs.values["exit"] == 0
    assert str(outputs.values["json"]) == "Map({'n': Decimal('0.10')})"
    assert (machine.home / "made").exists()


@pytest.mark.parametrize("word", HOSTILE)
def test_a_value_arrives_as_it_is_and_is_never_code(machine: Machine, word: str) -> None:
    by_argv = Shell(argv=("printf", "%s|", word, "end")).look(machine.probe())
    assert by_argv.streams["stdout"] == f"{word}|end|".encode()
    by_env = Shell(run=script('printf %s "$WORD" "${DRCTL_1}"', DRCTL_1=word), env={"WORD": word}).look(machine.probe())
    assert by_env.streams.get("stdout", b"") == (word * 2).encode()
    by_stdin = Shell(argv=("cat",), stdin=word).look(machine.probe())
    assert by_stdin.streams.get("stdout", b"") == word.encode()


def test_the_words_of_argv_do_not_stay_in_the_environment(machine: Machine) -> None:
    outputs = Shell(argv=("env",)).look(machine.probe())
    assert "DRCTL_WORD" not in str(outputs.values["stdout"])


def test_it_starts_in_its_folder(machine: Machine) -> None:
    (machine.home / "sub dir").mkdir()
    outputs = Shell(argv=("pwd",), cwd="sub dir").look(machine.probe())
    assert outputs.values["stdout"] == str(machine.home / "sub dir")


def test_a_program_that_is_not_there_is_a_complete_reply(machine: Machine) -> None:
    outputs = Shell(argv=("no-such-program-here",)).look(machine.probe())
    assert outputs.reach is Reach.COMPLETE
    assert outputs.values["exit"] == 127


def test_text_that_is_none_has_no_value_but_its_bytes_are_kept(machine: Machine) -> None:
    outputs = Shell(run=script("printf '\\377\\376'")).look(machine.probe())
    assert str(outputs.values["stdout"]) == "stdout is not UTF-8 text"
    assert outputs.streams["stdout"] == b"\xff\xfe"


def test_a_stream_longer_than_the_cap_has_no_value_and_the_other_one_has(machine: Machine) -> None:
    outputs = Shell(run=script("echo whole >&2; head -c 1100000 /dev/zero")).look(machine.probe())
    assert str(outputs.values["stdout"]) == "stdout is longer than 1 MiB"
    assert outputs.values["stderr"] == "whole"
    assert outputs.values["exit"] == 0


def test_a_cut_reply_that_does_not_say_where_has_no_text_at_all() -> None:
    reply = Reply(reach=Reach.COMPLETE, exit=0, stdout=b"12", stderr=b"", cut=True)
    outputs = Shell(argv=("x",)).look(probe(shell=FakeHost().on(lambda _: True, reply)))
    assert isinstance(outputs.values["stdout"], Unknown)
    assert isinstance(outputs.values["stderr"], Unknown)
    assert MEBIBYTE > 2


def test_a_look_at_a_dead_host() -> None:
    outputs = Shell(argv=("true",)).look(dead())
    assert outputs.reach is Reach.UNREACHABLE
    assert outputs.because == "nothing answers"


def test_what_is_shown_is_what_is_sent() -> None:
    kind = Shell(argv=("echo", "a b"), env={"N": 3, "PW": Secret("very-secret")}, cwd="/srv", stdin="in\nput")
    assert kind.describe(Facts()) == "cd /srv\nN=3\nPW=***\nstdin:\n  in\n  put\necho 'a b'"
    with_values = Shell(run=script('echo "${DRCTL_1}"\n', DRCTL_1="it's"))
    assert with_values.describe(Facts()) == "DRCTL_1='it'\"'\"'s'\necho \"${DRCTL_1}\""


def test_a_secret_makes_the_command_sensitive() -> None:
    assert Shell(argv=("x",), stdin=Secret("very-secret")).command(Facts()).sensitive
    assert Shell(argv=("x",), env={"PW": Secret("very-secret")}).command(Facts()).sensitive
    assert not Shell(argv=("x",), env={"N": "1"}).command(Facts()).sensitive


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"run": script("true"), "argv": ("true",)},
        {"argv": ("true",), "env": {"1X": "v"}},
        {"argv": ("true",), "env": {"DRCTL_1": "v"}},
        {"argv": ("true",), "env": {"X": "a\0b"}},
        {"argv": ("tr\0ue",)},
        {"argv": ("true",), "env": {"X": None}},
    ],
)
def test_what_cannot_be_sent_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FieldError):
        Shell(**fields)  # type: ignore[arg-type] # wrong on purpose


def test_only_its_author_knows_what_a_script_does() -> None:
    kind = Shell(argv=("true",))
    assert isinstance(kind, LookKind)
    assert isinstance(kind, ActKind)
    assert kind.preview(probe()).change is Change.CANNOT_TELL
    assert kind.verify(probe()).seen is Seen.UNKNOWN
    assert not kind.VERIFIES
    assert kind.inverse({}) is None
