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
    for at in commands:
        _check_evaluator(rest[at], rest[at + 1 :])
    for at, word in enumerate(rest):
        _check_shell(word, rest[at + 1 :])
        _check_interpreter(word, rest[at + 1 :], is_command=at in commands)


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


def _check_evaluator(command: Word, behind: list[Word]) -> None:
    name = _name(command)
    if not any(word.templates for word in behind):
        return
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


def _check_shell(word: Word, behind: list[Word]) -> None:
    """`sh -c PROGRAM`; a program whose name only the run will tell may be a shell."""
    if _name(word) is not None and _name(word) not in _SHELLS:
        return
    for at, option in enumerate(behind):
        if option.literal is None and option.raw.startswith(("-", "+")) and option.templates:
            _refuse(option.templates[0], "in an option of a shell", _AS_ARGUMENT)
        if option.literal is None or not _SHELL_OPTION.fullmatch(option.literal.split("=", 1)[0]):
            continue
        for program in behind[at + 1 :]:
            if program.templates:
                _refuse(program.templates[0], "in a program that a shell will read", _AS_ARGUMENT)
            if program.literal is None or not program.literal.startswith(("-", "+")):
                break


def _check_interpreter(word: Word, behind: list[Word], *, is_command: bool) -> None:
    name = _VERSION.sub("", _name(word) or "")
    options = _PROGRAM_OPTIONS.get(name)
    seen_program = False
    for at, each in enumerate(behind):
        before = behind[at - 1].literal if at else None
        is_program = bool(options and before and re.fullmatch(options, before))
        is_attached = bool(options and each.templates and re.match(rf"(?:{options})(?:=|$|(?<=-[a-zA-Z]))", each.raw))
        seen_program |= is_program
        if each.templates and (is_program or is_attached):
            _refuse(each.templates[0], f"in a program that {name} will read", _AS_VARIABLE)
    if name in _FIRST_OPERAND and is_command and not seen_program:
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
