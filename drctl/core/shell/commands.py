"""Commands that read an argument as a program of its own: a value must not be part of that argument.

Quoting does not help there: `sh -c "echo $X"` runs what is in X. Known are the shells, what evaluates text, and the
usual interpreters. A program of another name that does the same cannot be recognised: this narrows the trap and does
not close it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from drctl.core.expressions import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drctl.core.shell.words import Word

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "busybox", "su", "runuser"})
_EVALUATORS: Final = {
    "eval": "write the command itself",
    "trap": "put the command into a function and name the function",
    "alias": "write a function",
    "let": "write x=$((...)) over variables that were checked to be numbers",
    "declare": "write NAME=... alone",
    "typeset": "write NAME=... alone",
    "unset": "name the variable itself",
    "read": "name the variable itself",
    "getopts": "name the variable itself",
    "ssh": "the other host would read it as a script; use `on: HOST`",
    "rsh": "the other host would read it as a script; use `on: HOST`",
    "watch": "it runs its arguments as a script; use `until`",
    "parallel": "it runs its arguments as a script; use `foreach`",
    "make": "it expands $( ) in the values of its variables; hand it over in the environment",
    "tmux": "it runs its arguments as a script",
}
_WRAPPERS: Final = frozenset(
    {
        *("sudo", "doas", "env", "nohup", "nice", "ionice", "timeout", "exec", "command", "builtin", "setsid", "time"),
        *("stdbuf", "xargs", "flock", "chroot", "unshare", "nsenter", "find", "taskset", "chrt", "systemd-run"),
    }
)
_OPENERS: Final = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "coproc"})
_DANGEROUS_NAMES: Final = frozenset({"PS1", "PS2", "PS4", "ENV", "BASH_ENV", "PROMPT_COMMAND", "IFS", "SHELLOPTS"})
_PROGRAM_OPTIONS: Final = {
    "python": r"-[A-Za-z]*c",
    "perl": r"-[A-Za-z0-9]*[eE]",
    "ruby": r"-[A-Za-z0-9]*e",
    "node": r"-[ep]|--eval|--print",
    "php": r"-[rBE]",
    "lua": r"-e",
    "psql": r"-[A-Za-z]*c|--command",
    "mysql": r"-[A-Za-z]*e|--execute",
    "mariadb": r"-[A-Za-z]*e|--execute",
    "sed": r"-[A-Za-z]*e|--expression",
    "script": r"-[A-Za-z]*c|--command",
    "flock": r"-c|--command",
    "git": r"-c",
    "env": r"-[A-Za-z]*S|--split-string",
}
_FIRST_OPERAND: Final = frozenset({"awk", "gawk", "mawk", "nawk", "sed", "jq", "bc", "sqlite3"})
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=")
_SUBSCRIPT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_SHELL_OPTION: Final = re.compile(r"[-+][A-Za-z]*c[A-Za-z]*|--command|--session-command")
_VERSION: Final = re.compile(r"[0-9.]+$")
_MOST_PROGRAMS: Final = 20
_BY_NAME: Final = "write the name of the command"
_AS_ARGUMENT: Final = "hand it over as an argument, sh -c 'echo \"$1\"' sh ${{ x }}, or use the command directly"
_AS_VARIABLE: Final = "hand it over as a variable of the program, such as psql -v x=... or awk -v x=..., or by stdin"


def check_command(words: list[Word]) -> None:
    """Judge the templates of one simple command.

    Raises:
        ExpressionError: for a template in an argument that is read as a program.
    """
    rest = _behind_assignments(words)
    if not any(word.templates for word in rest):
        return
    if any(word.literal == "[[" for word in words):
        _refuse(_first_template(words), "inside [[ ]], where a text can be taken for a formula", "write [ ... ]")
    commands = _commands(rest)
    for name, at in _judged(rest, commands):
        _check_evaluator(name, rest[at + 1 :])
    shell = False
    for name, at in _judged(rest, range(len(rest))):
        if not shell and (name is None or name in _SHELLS):
            shell = True
            _check_shell(rest[at + 1 :])
        _check_interpreter(name, rest[at + 1 :])
    _check_first_operands(rest, commands)


def _judged(words: list[Word], places: range) -> Iterator[tuple[str | None, int]]:
    """Each name in front of the last template, at its first place.

    What is refused behind a later word of that name is refused behind the first one, so a long command is judged in
    no more time than its length.
    """
    last = max(at for at, word in enumerate(words) if word.templates)
    seen: set[str | None] = set()
    for at in places:
        name = _name(words[at]) if at < last else None
        if at < last and name not in seen:
            seen.add(name)
            yield name, at


def _refuse(offset: int, place: str, hint: str) -> NoReturn:
    raise ExpressionError(offset, f"a template cannot stand {place}", hint)


def _first_template(words: list[Word]) -> int:
    return min(offset for word in words for offset in word.templates)


def _name(word: Word) -> str | None:
    """The name of the program a word would start; None when only the run will tell."""
    if word.literal is None and (word.is_pattern or "/" not in word.tail):
        return None
    return (word.tail if word.literal is None else word.literal).rsplit("/", 1)[-1]


def _commands(words: list[Word]) -> range:
    """Which words may be the name of the command: behind `$SUDO`, which may be empty, and `sudo` it is a later one."""
    for at, word in enumerate(words):
        if word.is_pattern:
            _refuse(_first_template(words), "in a command whose name is a pattern", _BY_NAME)
        name = _name(word)
        if name is not None:
            return range(at, len(words) if name in _WRAPPERS else at + 1)
        if word.templates or not word.is_expansion:
            # a value as the name of the command is the author's wish; behind a half-known name it is a guess
            if at == 0 and word.templates:
                return range(0)
            _refuse(_first_template(words), "in a command whose name only the run will tell", _BY_NAME)
    return range(0)


def _behind_assignments(words: list[Word]) -> list[Word]:
    """The words from the command on: behind `if`, `!` and the like, and behind `NAME=value`."""
    at = 0
    while at < len(words):
        word = words[at]
        assignment = _ASSIGNMENT.match(word.raw)
        if word.templates and _SUBSCRIPT.match(word.raw):
            _refuse(word.templates[0], "in an index, where a text is taken for a formula", "POSIX sh has no arrays")
        if word.templates and assignment and assignment[1] in _DANGEROUS_NAMES:
            _refuse(word.templates[0], f"in {assignment[1]}, which the shell reads as code", "use another name")
        if not assignment and word.literal not in _OPENERS:
            break
        at += 1
    return words[at:]


def _check_evaluator(name: str | None, behind: list[Word]) -> None:
    if name in _EVALUATORS:
        _refuse(_first_template(behind), f"behind {name}, which reads text as code", _EVALUATORS[name])
    if name in {"export", "readonly", "local"}:
        _check_exports(name, behind)
    if name in {"test", "[", "printf"} and any(word.literal == "-v" for word in behind):
        _refuse(_first_template(behind), f"behind {name} -v, which reads text as a name", "leave -v out")


def _check_exports(name: str, words: list[Word]) -> None:
    for word in words:
        assignment = _ASSIGNMENT.match(word.raw)
        if word.templates and not assignment:
            _refuse(word.templates[0], f"behind {name} as a name", f"write {name} NAME=...")
        if word.templates and assignment and assignment[1] in _DANGEROUS_NAMES:
            _refuse(word.templates[0], f"in {assignment[1]}, which the shell reads as code", "use another name")


def _check_shell(behind: list[Word]) -> None:
    """`sh -c PROGRAM`; a program whose name only the run will tell may be a shell."""
    program = False  # behind -c, and options alone in between
    for option in behind:
        if program and option.templates:
            _refuse(option.templates[0], "in a program that a shell will read", _AS_ARGUMENT)
        if option.literal is None and option.raw.startswith(("-", "+")) and option.templates:
            _refuse(option.templates[0], "in an option of a shell", _AS_ARGUMENT)
        program = program and option.literal is not None and option.literal.startswith(("-", "+"))
        if option.literal is not None and _SHELL_OPTION.fullmatch(option.literal.split("=", 1)[0]):
            program = True


def _program_options(name: str | None) -> str | None:
    return _PROGRAM_OPTIONS.get(_VERSION.sub("", name or ""))


def _check_interpreter(name: str | None, behind: list[Word]) -> None:
    options = _program_options(name)
    if options is None:
        return
    attached = re.compile(rf"(?:{options})(?:=|$|(?<=-[a-zA-Z]))")
    for at, each in enumerate(behind):
        before = behind[at - 1].literal if at else None
        is_program = before and re.fullmatch(options, before)
        if each.templates and (is_program or attached.match(each.raw)):
            plain = _VERSION.sub("", name or "")
            _refuse(each.templates[0], f"in a program that {plain} will read", _AS_VARIABLE)


def _check_first_operands(words: list[Word], commands: range) -> None:
    """`awk PROGRAM`, where no option has given it already."""
    found = [at for at in commands if _VERSION.sub("", _name(words[at]) or "") in _FIRST_OPERAND]
    if len(found) > _MOST_PROGRAMS:
        _refuse(_first_template(words), f"in a command that names more than {_MOST_PROGRAMS} programs", _AS_VARIABLE)
    for at in found:
        name, behind = _VERSION.sub("", _name(words[at]) or ""), words[at + 1 :]
        options = _PROGRAM_OPTIONS.get(name)
        literals = (word.literal for word in behind[:-1])
        if options is None or not any(each and re.fullmatch(options, each) for each in literals):
            _check_first_operand(name, behind)


def _check_first_operand(name: str, behind: list[Word]) -> None:
    """The first word that is no option may be the program; an option may take the word after it."""
    for at, each in enumerate(behind):
        is_option = each.literal is not None and each.literal.startswith("-")
        is_attached_option = each.literal is None and each.raw.startswith("-")
        follows_option = at > 0 and (behind[at - 1].literal or "") in {"-v", "-F", "-f", "--arg", "--argjson"}
        if is_option or is_attached_option or follows_option:
            continue
        if name == "jq" and at > 1 and (behind[at - 2].literal or "") in {"--arg", "--argjson"}:
            continue
        if each.templates:
            _refuse(each.templates[0], f"in a program that {name} will read", _AS_VARIABLE)
        if name != "sqlite3":
            return
