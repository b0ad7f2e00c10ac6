"""Scripts of `run:`: which places take a value, which are refused and why, what travels beside the text."""

from __future__ import annotations

import pickle

import pytest

from drctl.core.expressions import ExpressionError
from drctl.core.scripts import LARGEST, ResolvedScript, Script
from drctl.core.values import Duration, HostRef, Secret, Unknown
from tests.fakes.scopes import NOT_YET, SKIPPED, Names, Types


@pytest.mark.parametrize(
    ("text", "sent", "bare"),
    [
        ("crontab -l", "crontab -l", ""),
        ("[[ $(( weird <<< ' ]]", "[[ $(( weird <<< ' ]]", ""),
        ("echo ${{ x }}", 'echo "${DRCTL_1}"', "1"),
        ('echo "${{ x }}"', 'echo "${DRCTL_1}"', "1"),
        ('echo "a ${{ x }} b"', 'echo "a ${DRCTL_1} b"', "0"),
        ("echo a${{ x }}b", 'echo a"${DRCTL_1}"b', "0"),
        ("echo ${{ x }}.txt", 'echo "${DRCTL_1}".txt', "1"),
        ("echo ${{ x }}${{ y }}", 'echo "${DRCTL_1}""${DRCTL_2}"', "11"),
        ('echo ""${{ x }}', 'echo """${DRCTL_1}"', "1"),
        ("echo --file=${{ x }}", 'echo --file="${DRCTL_1}"', "0"),
        ("X=${{ x }} cmd", 'X="${DRCTL_1}" cmd', "0"),
        ("cat < ${{ x }} > ${{ y }} 2>&1", 'cat < "${DRCTL_1}" > "${DRCTL_2}" 2>&1', "11"),
        ("echo $(ls ${{ x }})", 'echo $(ls "${DRCTL_1}")', "1"),
        ('echo "$(ls "${{ x }}" | wc)"', 'echo "$(ls "${DRCTL_1}" | wc)"', "1"),
        ('echo "$( (ls ${{ x }}) )"', 'echo "$( (ls "${DRCTL_1}") )"', "1"),
        ("( cd ${{ x }} && ls ) | cat", '( cd "${DRCTL_1}" && ls ) | cat', "1"),
        ("f() { echo ${{ x }}; }; f", 'f() { echo "${DRCTL_1}"; }; f', "1"),
        ("if [ ${{ x }} = a ]; then :; fi", 'if [ "${DRCTL_1}" = a ]; then :; fi', "1"),
        ("case ${{ x }} in a) :;; (b) :;; esac", 'case "${DRCTL_1}" in a) :;; (b) :;; esac', "1"),
        ("for i in a ${{ x }}; do echo $i; done", 'for i in a "${DRCTL_1}"; do echo $i; done', "1"),
        ("echo '' ${{ x }} 'it''s'", "echo '' \"${DRCTL_1}\" 'it''s'", "1"),
        ("echo \\' ${{ x }} \\'", "echo \\' \"${DRCTL_1}\" \\'", "1"),
        ('echo "\\" ${{ x }}"', 'echo "\\" ${DRCTL_1}"', "0"),
        ("echo a # it's a comment\necho ${{ x }}", 'echo a # it\'s a comment\necho "${DRCTL_1}"', "1"),
        ("echo a#b ${{ x }}", 'echo a#b "${DRCTL_1}"', "1"),
        ("echo a \\\n  ${{ x }}", 'echo a \\\n  "${DRCTL_1}"', "1"),
        ("echo a \\\n# it's\necho ${{ x }}", 'echo a \\\n# it\'s\necho "${DRCTL_1}"', "1"),
        ("echo $$ $? $HOME${{ x }} ${HOME}", 'echo $$ $? $HOME"${DRCTL_1}" ${HOME}', "0"),
        ("echo ${a:-b c} ${#a} ${a%%.*} ${{ x }}", 'echo ${a:-b c} ${#a} ${a%%.*} "${DRCTL_1}"', "1"),
        ('echo "${a:-${b}}" ${{ x }}', 'echo "${a:-${b}}" "${DRCTL_1}"', "1"),
        ("echo $((1 + (2 * ${a}))) ${{ x }}", 'echo $((1 + (2 * ${a}))) "${DRCTL_1}"', "1"),
        ("echo `date` ${{ x }}", 'echo `date` "${DRCTL_1}"', "1"),
        ("cat <<E\nit's\nE\necho ${{ x }}", 'cat <<E\nit\'s\nE\necho "${DRCTL_1}"', "1"),
        ("cat <<-'E' ; echo ${{ x }}\n\t$(`\n\tE\n", "cat <<-'E' ; echo \"${DRCTL_1}\"\n\t$(`\n\tE\n", "1"),
        ("cat <<A <<B\na\nA\nb\nB\necho ${{ x }}", 'cat <<A <<B\na\nA\nb\nB\necho "${DRCTL_1}"', "1"),
        ("sh -c 'echo \"$1\"' sh ${{ x }}", 'sh -c \'echo "$1"\' sh "${DRCTL_1}"', "1"),
        ("psql -v a=${{ x }} -f q.sql", 'psql -v a="${DRCTL_1}" -f q.sql', "0"),
        ("awk -v a=${{ x }} '{print a}' ${{ y }}", 'awk -v a="${DRCTL_1}" \'{print a}\' "${DRCTL_2}"', "01"),
        ("sed -n 's/a/b/p' ${{ x }}", "sed -n 's/a/b/p' \"${DRCTL_1}\"", "1"),
        ("jq --arg a ${{ x }} .a f", 'jq --arg a "${DRCTL_1}" .a f', "1"),
        ("sudo -u app ls ${{ x }}", 'sudo -u app ls "${DRCTL_1}"', "1"),
        ("ls *.log ${{ x }} [ab] {a,b}", 'ls *.log "${DRCTL_1}" [ab] {a,b}', "1"),
        ("A=${{ x }} *eval", 'A="${DRCTL_1}" *eval', "0"),
        ("$SUDO ls ${{ x }}", '$SUDO ls "${DRCTL_1}"', "1"),
        ('"$HOME/bin/tool" ${{ x }}', '"$HOME/bin/tool" "${DRCTL_1}"', "1"),
        ("${{ x }} ${{ y }}", '"${DRCTL_1}" "${DRCTL_2}"', "11"),
        ("${{ x }}/pg_ctl ${{ y }}", '"${DRCTL_1}"/pg_ctl "${DRCTL_2}"', "11"),
        ("{ [ -n ${{ x }} ]; }", '{ [ -n "${DRCTL_1}" ]; }', "1"),
        ("grep -c ${{ x }} f", 'grep -c "${DRCTL_1}" f', "1"),
        ("export A=${{ x }}", 'export A="${DRCTL_1}"', "0"),
        ("echo ${{ '}}' }} ${{ \"'\" }}", 'echo "${DRCTL_1}" "${DRCTL_2}"', "11"),
        ("echo ${{ x }}\\\n", 'echo "${DRCTL_1}"\\\n', "1"),
    ],
)
def test_a_script_keeps_its_text_and_values_stand_beside_it(text: str, sent: str, bare: str) -> None:
    script = Script.parse(text)
    assert script.text == sent
    assert script.source == text
    assert "".join(str(int(binding.bare_word)) for binding in script.bindings) == bare
    assert [binding.name for binding in script.bindings] == [f"DRCTL_{n + 1}" for n in range(len(bare))]
    assert pickle.loads(pickle.dumps(script)) == script  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("echo '${{ x }}'", 6, "inside single quotes"),
        ("echo '${{ x }}", 6, "inside single quotes"),
        ("echo \"a\"'${{ x }}'", 9, "inside single quotes"),
        ("cat <<E\n${{ x }}\nE", 8, "in a here-document; pass it by `stdin`"),
        ("cat <<'E'\n${{ x }}\nE", 10, "in a here-document"),
        ("cat <<-E\n\ta\n\tE\ncat <<E\n${{ x }}\nE", 23, "in a here-document"),
        ("cat <<${{ x }}\na\n", 6, "end mark of a here-document"),
        ("echo `ls ${{ x }}`", 9, "inside backquotes; write $("),
        ('echo "`ls ${{ x }}`"', 10, "inside backquotes"),
        ("echo $((1 + ${{ x }}))", 12, "inside $(( ))"),
        ('echo "$((${{ x }}))"', 9, "inside $(( ))"),
        ("# ${{ x }}", 2, "in a comment"),
        ("ls # ${{ x }}\n", 5, "in a comment"),
        ("ls;# ${{ x }}\n", 5, "in a comment"),
        ("echo ${a:-${{ x }}}", 10, "inside ${ }"),
        ('echo "${a:-${{ x }}}"', 11, "inside ${ }"),
        ("echo \\${{ x }}", 6, "behind a backslash"),
        ('echo "\\${{ x }}"', 7, "behind a backslash"),
        ("echo $${{ x }}", 6, "behind a $"),
        ('echo "$${{ x }}"', 7, "behind a $"),
        ("cat >&${{ x }}", 6, "file descriptor"),
        ("cat <&${{ x }}", 6, "file descriptor"),
        # programs inside arguments
        ('sh -c "echo ${{ x }}"', 12, "that a shell will read; hand it over as an argument"),
        ("sh -c ${{ x }}", 6, "that a shell will read"),
        ('/bin/bash -o pipefail -ec "${{ x }}"', 27, "that a shell will read"),
        ('sudo -u a sh -c "${{ x }}"', 17, "that a shell will read"),
        ('docker exec c sh -c "${{ x }}"', 21, "that a shell will read"),
        ('find . -exec sh -c "${{ x }}" \\;', 20, "that a shell will read"),
        ('$SHELL -c "${{ x }}"', 11, "that a shell will read"),
        ('"s"h 2>/dev/null -c "${{ x }}"', 21, "that a shell will read"),
        ('su - app -c "ls ${{ x }}"', 16, "that a shell will read"),
        ("sh -${{ x }}c ls", 4, "in an option of a shell"),
        ("X=1 eval ${{ x }}", 9, "behind eval"),
        ("! eval a ${{ x }}", 9, "behind eval"),
        ("sudo eval ${{ x }}", 10, "behind eval"),
        ("ssh h ls ${{ x }}", 9, "use `on: HOST`"),
        ('trap "rm ${{ x }}" EXIT', 9, "behind trap"),
        ("alias a=${{ x }}", 8, "behind alias"),
        ('python3.11 -c "${{ x }}"', 15, "that python will read"),
        ("perl -ne ${{ x }} f", 9, "that perl will read"),
        ('psql -X -c "select ${{ x }}"', 19, "that psql will read"),
        ("psql --command=${{ x }}", 15, "that psql will read"),
        ('psql -c"${{ x }}"', 8, "that psql will read"),
        ('awk "${{ x }}" f', 5, "that awk will read"),
        ("awk -F : ${{ x }} f", 9, "that awk will read"),
        ('sed "s/${{ x }}//" f', 7, "that sed will read"),
        ('sed -i -e "s/${{ x }}//" f', 13, "that sed will read"),
        ("jq ${{ x }} f", 3, "that jq will read"),
        ("git -c ${{ x }} log", 7, "that git will read"),
        ("[[ ${{ x }} -eq 0 ]]", 3, "inside [[ ]]"),
        ("let ${{ x }}", 4, "behind let"),
        ("unset ${{ x }}", 6, "behind unset"),
        ("export ${{ x }}", 7, "behind export"),
        ("readonly ${{ x }}=1", 9, "behind readonly"),
        ("export PS4=${{ x }}", 11, "in PS4"),
        ("IFS=${{ x }}", 4, "in IFS"),
        ("a[${{ x }}]=1", 2, "in an index"),
        ("test -v ${{ x }}", 8, "behind test -v"),
        ("*eval ${{ x }}", 6, "whose name is a pattern"),
        ("{eval,a} ${{ x }}", 9, "whose name is a pattern"),
        ("a[0]=1 eval ${{ x }}", 12, "whose name is a pattern"),
        ('"$@"eval ${{ x }}', 9, "whose name only the run will tell"),
        ("$CMD ${{ x }}", 5, "whose name only the run will tell"),
        ("$SUDO eval ${{ x }}", 11, "behind eval"),
        ('"$BIN/bash" -c ${{ x }}', 15, "that a shell will read"),
        ("/bin/s? -c ${{ x }}", 11, "whose name is a pattern"),
        ("sudo /bin/s? -c ${{ x }}", 16, "that a shell will read"),
        ("env -S ${{ x }}", 7, "that env will read"),
        ("make -C d X=${{ x }}", 12, "behind make"),
        # places that cannot be told surely
        ("echo \"${a:-'b'}\" ${{ x }}", 6, "quotes or $( ) inside"),
        ("echo ${a:-$(b)} ${{ x }}", 5, "quotes or $( ) inside"),
        ("echo ${ ls; } ${{ x }}", 5, "is no parameter"),
        ("echo ${a ${{ x }}", 9, "inside ${ }"),
        ("echo $'a' ${{ x }}", 5, "read differently"),
        ('echo $"a" ${{ x }}', 5, "read differently"),
        ("echo $[1] ${{ x }}", 5, "read differently"),
        ("echo `echo 'a'` ${{ x }}", 5, "write $("),
        ("echo `a ${{ x }}", 8, "inside backquotes"),
        ("echo ${{ x }} `a", 14, "backquotes"),
        ("echo $((a) ${{ x }}", 5, "$(( without ))"),
        ("echo $((a) b) ${{ x }}", 5, "$( ( with a blank"),
        ("echo $((a)) $((1) 2) ${{ x }}", 12, "$( ( with a blank"),
        ("((a)); echo ${{ x }}", 0, "(( is read differently"),
        ("cat <<< ${{ x }}", 4, "not POSIX sh"),
        ("cat <(ls) ${{ x }}", 4, "not POSIX sh"),
        ("cat <<$A\na\n$A\necho ${{ x }}", 4, "not plain text"),
        ("cat <<E\n$(a\nE\n)\nE\necho ${{ x }}", 8, "quote the end mark: <<'E'"),
        ("cat <<E\na\\\nE\nE\necho ${{ x }}", 8, "continued line"),
        ("cat <<E\necho ${{ x }}", 13, "in a here-document"),
        ("echo ${{ x }} <<E", 17, "has no body"),
        ("cat <<E 'a\nb'\nE\necho ${{ x }}", 8, "a new line inside a word"),
        ("echo $(cat <<E) ${{ x }}\nE\n", 5, "here-document inside $( )"),
        ("echo $(case a in a) ls ${{ x }};; esac)", 7, "`case` inside $( )"),
        ("echo $(ls ${{ x }}", 5, "not closed"),
        ('echo "${{ x }}', 5, "not closed"),
        ("echo ${{ x }} 'a", 14, "not closed"),
        ("cat <\\\n<E ${{ x }}\nE\n", 4, "continued line"),
        ("echo $\\\n(a) ${{ x }}", 5, "continued line"),
        ("cat > > a ${{ x }}", 6, "two redirections"),
        ("echo ${{ x }} $DRCTL_1", 15, "belong to drctl"),
        ("DRCTL_2=a; echo ${{ x }}", 0, "belong to drctl"),
        # the expression itself
        ("echo ${{ x", 5, "not closed"),
        ("echo ${{ x = 1 }}", 11, "write =="),
    ],
)
def test_a_place_where_a_value_could_become_code_is_refused(text: str, offset: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Script.parse(text)
    assert says in str(caught.value)
    assert caught.value.offset == offset


SCOPE = Names(
    x="a b", n=3, lag=Duration(90_000_000), db=HostRef(name="db1", address="10.0.0.1"), dash="-rf", empty="",
    rows=("a",), none=None, gone=SKIPPED, later=NOT_YET, pw=Secret("hunter22"), dashed=Secret("-hunter22"),
    nul="a\0b", long="a" * (LARGEST + 1), entries={},
)  # fmt: skip


def test_values_travel_in_the_environment() -> None:
    resolved = Script.parse("cmd ${{ x }} ${{ n }} ${{ lag }} ${{ db }} ${{ pw }} ${{ n > 2 }}").resolve(SCOPE)
    assert isinstance(resolved, ResolvedScript)
    assert resolved.text == "cmd " + " ".join(f'"${{DRCTL_{n}}}"' for n in range(1, 7))
    assert resolved.env == {
        "DRCTL_1": "a b",
        "DRCTL_2": "3",
        "DRCTL_3": "90s",
        "DRCTL_4": "db1",
        "DRCTL_5": SCOPE.names["pw"],
        "DRCTL_6": "true",
    }
    assert "hunter22" not in repr(resolved)


@pytest.mark.parametrize(
    ("text", "says", "not_yet"),
    [
        ("cmd ${{ gone }}", "gone: x was skipped", False),
        ("cmd ${{ gone }} ${{ later }}", "later: not yet", True),
        ("cmd ${{ rows }}", "list cannot be a word of a script; use `foreach`", False),
        ('cmd "${{ entries }}"', "map cannot be a word", False),
        ("cmd ${{ none }}", "null cannot be a word of a script; write default(x, '')", False),
        ("cmd ${{ nul }}", "NUL", False),
        ("cmd ${{ long }}", "longer than 120,000 bytes; hand it over by stdin", False),
        ("cmd ${{ dash }}", "dash: the value begins with '-'", False),
        ('cmd "${{ dash }}"', "begins with '-'", False),
        ("cmd ${{ dash }}.txt", "begins with '-'", False),
        ("cmd ${{ empty }}${{ dash }}", "begins with '-'", False),
        ("cmd ${{ dashed }}", "begins with '-'", False),
        ("cmd ${{ 0 - n }}", "begins with '-'", False),
    ],
)
def test_what_cannot_be_handed_to_a_shell_has_no_value(text: str, says: str, not_yet: object) -> None:
    found = Script.parse(text).resolve(SCOPE)
    assert isinstance(found, Unknown)
    assert says in str(found)
    assert found.not_yet is not_yet
    assert "hunter22" not in str(found)


INSIDE = ["cmd a${{ dash }}", 'cmd "a ${{ dash }}"', "cmd ${{ x }}${{ dash }}", "cmd --a=${{ dash }}"]


@pytest.mark.parametrize("text", INSIDE)
def test_a_dash_inside_a_word_is_data(text: str) -> None:
    assert isinstance(Script.parse(text).resolve(SCOPE), ResolvedScript)


def test_a_dash_may_be_allowed() -> None:
    resolved = Script.parse("cmd ${{ dash }}").resolve(SCOPE, allow_dash=True)
    assert isinstance(resolved, ResolvedScript)
    assert resolved.env == {"DRCTL_1": "-rf"}


def test_what_a_plan_shows() -> None:
    script = Script.parse('pause ${{ x }} "${{ later }}" ${{ pw }} ${{ rows }}')
    assert script.show(SCOPE) == 'pause a b "<later: not yet>" *** ["a"]'


def test_the_check_tells_where_in_the_script() -> None:
    types = Types(x="text", rows="list", none="null", pw="secret")
    problems = Script.parse("cmd ${{ x + 1 }} ${{ rows }} ${{ none }} ${{ pw }}").check(types)
    assert [(problem.offset, problem.summary) for problem in problems] == [
        (10, "int cannot be added to text"),
        (17, "list cannot be a word of a script"),
        (29, "null cannot be a word of a script"),
    ]
