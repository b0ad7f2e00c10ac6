"""No value is ever executed: hostile values in every accepted place, run by every shell that is here.

The proof is a canary: each hostile value tries to create one file. A script that was accepted is run with it, and the
file must not be there. That the values are hostile at all is shown first, by putting them into the text itself.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drctl.core.expressions import ExpressionError
from drctl.core.scripts import ResolvedScript, Script
from tests.fakes.scopes import Names

CANARY = "canary"
HOSTILE = (
    "; touch canary",
    "$(touch canary)",
    "`touch canary`",
    "a && touch canary",
    "a || touch canary",
    "| touch canary",
    "& touch canary &",
    "\ntouch canary\n",
    "'; touch canary; '",
    '"; touch canary; "',
    "'$(touch canary)'",
    '"$(touch canary)"',
    "\\'; touch canary; \\'",
    '\\"; touch canary; \\"',
    "${x:-$(touch canary)}",
    "$((`touch canary`))",
    "a[$(touch canary)]",
    "x} ; touch canary; ${y",
    ") ; touch canary ; (",
    ")); touch canary; ((",
    "> canary",
    ">canary #",
    "<(touch canary)",
    "E\ntouch canary\nE",
    "EOF\ntouch canary",
    "*; touch canary #",
    "~; touch canary",
    "{a,$(touch canary)}",
    "!touch canary",
    "\\\ntouch canary",
    "\r\ntouch canary",
    "\ttouch canary",
    "PATH=. ; touch canary",
    "() { :; }; touch canary",
    "é$(touch canary)\u2028;touch canary",
    "x' | touch canary #",
    "do touch canary; done",
    "fi; touch canary",
    "${DRCTL_1}$(touch canary)",
    "}}; touch canary; ${{",
    "",
)
SHELLS = [
    argv for argv in (["/bin/sh"], ["dash"], ["bash", "--posix"], ["bash"], ["busybox", "sh"]) if shutil.which(argv[0])
]

PLACES = """
echo ${{ x }}
echo "${{ x }}"
echo "a ${{ x }} b"
echo a${{ x }}b
echo ${{ x }}${{ x }}
echo $(echo ${{ x }})
echo "$(echo ${{ x }})"
echo "$(echo "${{ x }}" "$(echo ${{ x }})")"
( echo ${{ x }} ) | cat
echo ${{ x }} | cat && echo ${{ x }} || :
X=${{ x }}; echo "$X"
X="${{ x }}" sh -c 'echo "$X"'
sh -c 'echo "$1"' sh ${{ x }}
case ${{ x }} in a) :;; *) echo ${{ x }};; esac
case a in ${{ x }}) :;; esac
for i in ${{ x }} b; do echo "$i"; done
if [ ${{ x }} = "a" ]; then echo a; else echo "${{ x }}"; fi
f() { echo ${{ x }}; }; f; f ${{ x }}
printf '%s' ${{ x }}
printf ${{ x }}
export X=${{ x }}; env
test -n ${{ x }} || :
: ${{ x }} # it's nothing $(`
cat <<E ; echo ${{ x }}\\nit's "\\nE
cat <<'E'\\n$( ` ' "\\nE\\necho ${{ x }}
echo '' "" \\\\' ${{ x }} \\\\" '"'
echo ${HOME} ${HOME:-a} $((1 + 2)) `date` ${{ x }}
echo a \\\\\\n ${{ x }}
{ echo ${{ x }}; } 2>&1
echo < /dev/null ${{ x }} 2> /dev/null
while [ ${{ x }} = "no such" ]; do :; done
awk -v a=${{ x }} 'BEGIN {print a}'
set -- ${{ x }}; echo "$@" $#
! echo ${{ x }}
""".strip().splitlines()


def run(shell: list[str], folder: Path, text: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*shell, "-eu", "-c", text],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


def injected(shell: list[str], folder: Path, script: Script, value: str) -> bool:
    resolved = script.resolve(Names(x=value), allow_dash=True)
    assert isinstance(resolved, ResolvedScript)
    with TemporaryDirectory(dir=folder) as fresh:  # a file named by one value must not be met by the next script
        run(shell, Path(fresh), resolved.text, {name: str(text) for name, text in resolved.env.items()})
        return (Path(fresh) / CANARY).exists()


def test_the_values_are_hostile(tmp_path: Path) -> None:
    """Without this, the tests below could pass because their values do nothing."""
    hits = 0
    for value in HOSTILE:
        for text in (
            f"echo {value}",
            f'echo "{value}"',
            f"echo '{value}'",
            f"cat <<E\n{value}\nE",
            f"echo $(({value}))",
        ):
            run(["/bin/sh"], tmp_path, text.replace("@", value), {})
            if (tmp_path / CANARY).exists():
                hits += 1
                (tmp_path / CANARY).unlink()
                break
    assert hits >= 25


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_no_value_is_executed_in_an_accepted_place(tmp_path: Path, shell: list[str]) -> None:
    hits: list[tuple[str, str]] = []
    for number, written in enumerate(PLACES):
        script = Script.parse(written.replace("\\n", "\n").replace("\\\\", "\\"))
        assert script.bindings
        # every place with every value would be 1,400 processes a shell: the sixth part, another for each place
        values = HOSTILE[number % 6 :: 6]
        hits += [(script.source, value) for value in values if injected(shell, tmp_path, script, value)]
    assert hits == []


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_arrives_unchanged(tmp_path: Path, value: str) -> None:
    script = Script.parse("printf '%s|' ${{ x }} \"${{ x }}\" \"$(printf '%s' ${{ x }}.)\"")
    resolved = script.resolve(Names(x=value))
    assert isinstance(resolved, ResolvedScript)
    done = run(["/bin/sh"], tmp_path, resolved.text, {name: str(text) for name, text in resolved.env.items()})
    assert done.stdout.decode() == f"{value}|{value}|{value}.|"
    assert done.returncode == 0


PLACED = ("${{ x }}", '"${{ x }}"', " ${{ x }} ", "echo ${{ x }}\n")
OPENED = (
    "echo ",
    "printf %s ",
    "cat ",
    "'",
    '"',
    "`",
    "$(",
    "$((",
    "(",
    "{ ",
    "if :; then ",
    "case a in a) ",
    "${a:-",
    "[ ",
)
CLOSED = (
    ")",
    "1))",
    "; }\n",
    "; fi\n",
    ";; esac\n",
    "}",
    " ]",
    "; done\n",
    "' ",
    '" ',
    "` ",
    "\n",
    "; ",
    " && ",
    " | cat ",
)
HERE = ("<<E\n", "\nE\n", "<<'E'\n", "<<-E\n\t", "\n\tE\n", "<<", "E", "<<<", "<(", "> f ", "2>&1 ", "< f ", ">&")
ODD = (
    "${a:-", " && ", " ", " ", "a", "b=", "a=1 ", "#", " # ", "\\", "\\\n", "$", "$a", "=", "[", "]", "!", "~", "*",
    "\t", "\r", "\x0b", "\u00a0", "$'", '$"', "$[", "'\\''", "${#a}", "{a,", "&", "for i in ", "; do ", "sh -c ",
    "eval ", "export ", "[[ ", '"$@"',
)  # fmt: skip
PIECES = st.sampled_from([*PLACED * 4, *OPENED, *OPENED, *CLOSED, *CLOSED, *HERE, *ODD])
scripts = st.lists(PIECES, min_size=1, max_size=14).map("".join)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scripts, st.sampled_from(HOSTILE), st.sampled_from(SHELLS))
def test_whatever_is_accepted_executes_no_value(tmp_path: Path, text: str, value: str, shell: list[str]) -> None:
    """Scripts nobody would write: either refused, or no shell executes the value."""
    try:
        script = Script.parse(text)
    except ExpressionError:
        return
    if not script.bindings:
        return
    assert not injected(shell, tmp_path, script, value)


@given(scripts | st.text(max_size=40).map(lambda text: text + "${{ x }}"))
def test_arbitrary_text_is_a_script_or_an_expression_error(text: str) -> None:
    refused: ExpressionError | None = None
    try:
        script = Script.parse(text)
    except ExpressionError as error:
        refused = error
    if refused is not None:
        assert 0 <= refused.offset <= len(text)
        return
    assert script.text.replace('"${DRCTL_', "${DRCTL_").count("${DRCTL_") >= len(script.bindings)
    assert "${{" not in script.text
