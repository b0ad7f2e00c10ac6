"""Expression text to a tree: the grammar of the language, one method for each rule.

A parse refuses everything that can be refused without knowing any name or value: unknown functions, a wrong number of
arguments, a regex that RE2 does not take.
"""

from __future__ import annotations

import difflib
from typing import Final

from drctl.core.expressions import patterns
from drctl.core.expressions.errors import ExpressionError
from drctl.core.expressions.signatures import EACH_SIGNATURES, RESERVED, SIGNATURES, Signature, usage
from drctl.core.expressions.tokens import Token, tokens
from drctl.core.expressions.tree import (
    Call,
    Chain,
    Compare,
    Each,
    Index,
    ListOf,
    Literal,
    Logic,
    Member,
    Name,
    Negative,
    Not,
    Operation,
    Path,
    Tree,
)

MAX_DEPTH: Final = 32
"""Brackets within brackets, and `not` before `not`."""

_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_WORDS: Final = frozenset({"and", "or", "not", "in"})
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})


def parse_tree(text: str) -> Tree:
    """The tree of an expression.

    Raises:
        ExpressionError: when the text is no expression; nothing else, whatever the text is.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0
        self.bound: list[str] = []

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def whole(self) -> Tree:
        if self.token.kind == "end":
            raise ExpressionError(0, "the expression is empty", None)
        tree = self.either()
        if self.token.kind != "end":
            raise self.unexpected()
        return tree

    def take(self, *texts: str) -> Token | None:
        """The next token if it is one of these words or symbols."""
        token = self.token
        if token.text in texts and token.kind in {"symbol", "name"}:
            self.at += 1
            return token
        return None

    def need(self, symbol: str, meaning: str) -> Token:
        token = self.take(symbol)
        if token is None:
            shown = f"'{self.token.text}'" if self.token.text else "the end"
            raise ExpressionError(self.token.offset, f"{shown} stands where {symbol} was expected", meaning)
        return token

    def unexpected(self) -> ExpressionError:
        token = self.token
        if token.kind == "end":
            return ExpressionError(token.offset, "the expression ends where a value was expected", None)
        hint = None
        if token.text in _COMPARISONS or token.text in {"in", "not"}:
            hint = "one comparison does not follow another; join them with `and`"
        elif token.text == "(":
            hint = "functions are written f(x), never x.f()"
        elif self.at and self.tokens[self.at - 1].kind != "symbol" and token.kind != "symbol":
            hint = "an operator is missing before it, or quotes around a text"
        return ExpressionError(token.offset, f"'{token.text}' does not fit here", hint)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(self.token.offset, f"nested deeper than {MAX_DEPTH} levels", "divide it with `set`")

    def either(self) -> Tree:
        """`and { "or" and }`."""
        start = self.token.offset
        operands = [self.both()]
        while self.take("or"):
            operands.append(self.both())
        return operands[0] if len(operands) == 1 else Logic(start, "or", tuple(operands))

    def both(self) -> Tree:
        """`not { "and" not }`."""
        start = self.token.offset
        operands = [self.negation()]
        while self.take("and"):
            operands.append(self.negation())
        return operands[0] if len(operands) == 1 else Logic(start, "and", tuple(operands))

    def negation(self) -> Tree:
        """`"not" not | compare`."""
        word = self.take("not")
        if word is None:
            return self.comparison()
        self.deeper()
        operand = self.negation()
        self.depth -= 1
        return Not(word.offset, operand)

    def comparison(self) -> Tree:
        """`sum [ operator sum ]`."""
        start = self.token.offset
        left = self.sum()
        operator = self.comparison_operator()
        if operator is None:
            return left
        right = self.sum()
        if self.token.text in _COMPARISONS | {"in", "not"} and self.token.kind != "literal":
            raise self.unexpected()
        return Compare(start, operator, left, right)

    def comparison_operator(self) -> str | None:
        if token := self.take(*_COMPARISONS, "in"):
            return token.text
        if self.token.text == "not" and self.token.kind == "name":
            self.at += 1
            self.need("in", "after a value only `not in` fits; a condition is negated as `not x == y`")
            return "not in"
        return None

    def sum(self) -> Tree:
        """`term { ( "+" | "-" ) term }`."""
        first = self.term()
        rest: list[Operation] = []
        while operator := self.take("+", "-"):
            rest.append(Operation(operator.offset, operator.text, self.term()))
        return Chain(first.offset, first, tuple(rest)) if rest else first

    def term(self) -> Tree:
        """`unary { ( "*" | "/" ) unary }`."""
        first = self.unary()
        rest: list[Operation] = []
        while operator := self.take("*", "/"):
            rest.append(Operation(operator.offset, operator.text, self.unary()))
        return Chain(first.offset, first, tuple(rest)) if rest else first

    def unary(self) -> Tree:
        """`[ "-" ] path`."""
        minus = self.take("-")
        return Negative(minus.offset, self.path()) if minus else self.path()

    def path(self) -> Tree:
        """`atom { "." NAME | "[" expr "]" }`."""
        base = self.atom()
        accessors: list[Member | Index] = []
        while token := self.take(".", "["):
            if token.text == ".":
                accessors.append(self.member())
            else:
                accessors.append(Index(token.offset, self.inner()))
                self.need("]", "the index that begins here is not closed")
        return Path(base.offset, base, tuple(accessors)) if accessors else base

    def member(self) -> Member:
        token = self.token
        if token.kind != "name":
            hint = "after a dot comes a name; a position is written [0], any other key ['key']"
            raise ExpressionError(token.offset, f"'{token.text}' is no name", hint)
        self.at += 1
        if self.token.text == "(" and self.token.kind == "symbol" and self.token.offset == token.end:
            raise ExpressionError(
                token.offset, f".{token.text}() is not part of the language", _method_hint(token.text)
            )
        return Member(token.offset, token.text)

    def inner(self) -> Tree:
        """An expression inside brackets."""
        self.deeper()
        tree = self.either()
        self.depth -= 1
        return tree

    def atom(self) -> Tree:
        token = self.token
        if token.kind == "literal":
            self.at += 1
            return Literal(token.offset, token.value)
        if token.kind == "name" and token.text not in _WORDS:
            return self.name()
        if self.take("("):
            tree = self.inner()
            self.need(")", "a bracket is not closed")
            return tree
        if self.take("["):
            return ListOf(token.offset, self.several("]"))
        if token.text in {"-", "not"} and token.kind != "end":
            raise ExpressionError(token.offset, f"'{token.text}' does not fit here", "put it and its value in brackets")
        raise self.unexpected()

    def name(self) -> Tree:
        token = self.token
        self.at += 1
        if self.take("("):
            return self.call(token)
        if token.text in _CONSTANTS:
            return Literal(token.offset, _CONSTANTS[token.text])
        return Name(token.offset, token.text)

    def several(self, end: str) -> tuple[Tree, ...]:
        """Expressions with commas between them, up to the closing bracket."""
        if self.take(end):
            return ()
        members = [self.inner()]
        while self.take(","):
            members.append(self.inner())
        self.need(end, "members stand with commas between them")
        return tuple(members)

    def call(self, token: Token) -> Tree:
        function = token.text
        if function in EACH_SIGNATURES:
            return self.each(token)
        signature = SIGNATURES.get(function)
        if signature is None:
            raise ExpressionError(token.offset, f"there is no function {function}", _function_hint(function))
        arguments = self.several(")")
        if not signature.least <= len(arguments) <= len(signature.takes):
            raise ExpressionError(token.offset, _count_sentence(function, signature, len(arguments)), usage(function))
        _check_literals(function, arguments)
        return Call(token.offset, function, arguments)

    def each(self, token: Token) -> Tree:
        """`EACH "(" NAME "in" sum "," expr ")"`."""
        name = self.token
        hint = f"write {usage(token.text)}"
        if name.kind != "name" or self.tokens[self.at + 1].text != "in":
            raise ExpressionError(name.offset, f"{token.text} goes through a list under a name of your choice", hint)
        if name.text in RESERVED or name.text in self.bound:
            taken = "a word of the language" if name.text in RESERVED else "bound already around this"
            raise ExpressionError(name.offset, f"{name.text} is {taken}", "choose another name")
        self.at += 2
        self.deeper()
        source = self.sum()
        self.need(",", hint)
        self.bound.append(name.text)
        body = self.either()
        self.bound.pop()
        self.depth -= 1
        self.need(")", hint)
        return Each(token.offset, token.text, name.text, source, body)


def _check_literals(function: str, arguments: tuple[Tree, ...]) -> None:
    if function in {"match", "matches"}:
        _check_literal(function, arguments[1], patterns.compiled, "no look-around, no back-references")
    elif function == "time" and len(arguments) > 1:
        _check_literal(function, arguments[1], patterns.check_time_format, usage("time"))
    elif function == "columns" and isinstance(arguments[1], Literal) and isinstance(arguments[1].value, str):
        names = arguments[1].value.split()
        if not names or len(set(names)) != len(names):
            raise ExpressionError(arguments[1].offset, "columns needs names, each once", usage("columns"))
    elif function == "split" and isinstance(arguments[1], Literal) and arguments[1].value == "":
        raise ExpressionError(arguments[1].offset, "split needs a separator", "for lines, write lines(t)")


def _check_literal(function: str, argument: Tree, check: object, hint: str) -> None:
    if not isinstance(argument, Literal) or not isinstance(argument.value, str):
        what = "format" if function == "time" else "regex"
        raise ExpressionError(argument.offset, f"the {what} of {function} is a text written here", usage(function))
    try:
        check(argument.value)  # type: ignore[operator]
    except patterns.PatternError as error:
        raise ExpressionError(argument.offset, str(error), hint) from None


def _count_sentence(function: str, signature: Signature, given: int) -> str:
    most = len(signature.takes)
    needs = f"{signature.least} or {most}" if signature.optional else str(most)
    return f"{function} takes {needs} argument{'' if needs == '1' else 's'}, not {given}"


_OTHER_NAMES: Final = {
    "length": "len(x)",
    "size_of": "len(x)",
    "count": "len(x)",
    "contains": "'part' in text",
    "float": "decimal(t)",
    "str": "text(x)",
    "string": "text(x)",
    "bool": "x == 'true'",
    "upper": "lower(t)",
    "strip": "trim(t)",
    "search": "match(t, 're')",
    "regex": "match(t, 're')",
    "startswith": "starts_with(t, 'a')",
    "endswith": "ends_with(t, 'a')",
    "defined": "known(x)",
    "exists": "known(x)",
    "sorted": "sort(x in list, x)",
    "reversed": "reverse(l)",
    "fromJSON": "json(t)",
    "parse_json": "json(t)",
}


def _function_hint(function: str) -> str:
    if function in _OTHER_NAMES:
        return f"write {_OTHER_NAMES[function]}"
    near = difflib.get_close_matches(function[:60], [*SIGNATURES, *EACH_SIGNATURES], n=1)
    if near:
        return f"did you mean {usage(near[0])}?"
    return f"the functions are {' '.join(SIGNATURES)} {' '.join(EACH_SIGNATURES)}"


def _method_hint(function: str) -> str:
    if function in SIGNATURES or function in EACH_SIGNATURES:
        return f"write {usage(function)}"
    return _function_hint(function)
