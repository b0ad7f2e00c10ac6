"""`dataclass` for drctl's nouns: what `dataclasses.dataclass` makes, made in a tenth of the time.

The standard decorator compiles the source of six or more methods of each class when the class is defined. With some
280 nouns that was 40 % of what a start of drctl cost, though a command uses a few dozen of them (docs/adr/0006). Here
the standard decorator still finds the fields, defaults and slots, and refuses what it refuses; `__init__`, `__eq__`,
`__hash__` and the ordering are compiled when they are first asked for. Type checkers see the original.

Left out, because no noun needs it: classes without slots, InitVar, `repr=False`, `unsafe_hash`, `weakref_slot`.
"""

from __future__ import annotations

import dataclasses
import sys
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass

__all__ = ["dataclass"]

_ORDER: Final = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}
_BY_FACTORY: Final = object()  # the default of a parameter whose field has a factory


def _dataclass(
    *, init: bool = True, eq: bool = True, order: bool = False, frozen: bool = False, kw_only: bool = False, slots: bool
) -> Callable[[type], type]:
    """Make a slotted dataclass; the arguments mean what they mean to `dataclasses.dataclass`.

    Raises:
        TypeError: for what the standard decorator refuses. A field without a default behind one with a default is the
            exception: that is a SyntaxError of the first construction, and mypy says it before.
    """
    if not slots or (order and not eq):
        raise ValueError("slots must be true" if not slots else "eq must be true if order is true")

    def made(cls: type) -> type:
        inherits = any(map(dataclasses.is_dataclass, cls.__mro__[1:]))
        cls.__doc__ = cls.__doc__ or cls.__name__  # else the standard decorator writes the signature here, at a price
        noun: type = dataclasses.dataclass(
            init=False, repr=False, eq=False, slots=True, kw_only=kw_only, frozen=frozen and inherits
        )(cls)
        params = vars(noun)["__dataclass_params__"]
        params.init, params.repr, params.eq, params.order, params.frozen = init, True, eq, order, frozen
        own = set(vars(cls))
        if "__eq__" in own and cls.__hash__ is None:
            own.discard("__hash__")  # written by Python because of the `__eq__`, not by a person
        if frozen:
            _add(noun, own, _FROZEN if not inherits else {})
        _add(noun, own, {"__repr__": _repr})
        if eq:
            hashed = _Late(noun, "__hash__", _hash) if frozen else None
            _add(noun, own, {"__eq__": _Late(noun, "__eq__", _comparison), "__hash__": hashed})
        if order:
            _add(noun, own, {name: _Late(noun, name, _comparison) for name in _ORDER})
        if init:
            _add(noun, own, {"__init__": _Late(noun, "__init__", _init)})
        return noun

    return made


def _add(noun: type, own: set[str], methods: dict[str, Any]) -> None:
    """Give methods to a class, but for those that it has written itself."""
    for name, method in methods.items():
        if name not in own:
            setattr(noun, name, method)
        elif name in _ORDER or name in {"__setattr__", "__delattr__"}:
            raise TypeError(f"Cannot overwrite attribute {name} in class {noun.__name__}")


class _Late:
    """A method that is compiled when it is first looked up, and then takes its own place in the class."""

    __slots__ = ("name", "noun", "write")

    def __init__(self, noun: type, name: str, write: Callable[[type, str], tuple[str, dict[str, object]]]) -> None:
        self.noun, self.name, self.write = noun, name, write

    def __get__(self, instance: object, owner: type | None = None) -> object:
        text, given = self.write(self.noun, self.name)
        maker: dict[str, Any] = {}
        text = f"def __create_fn__({', '.join(given)}):\n {text}\n return {self.name}"
        exec(text, vars(sys.modules[self.noun.__module__]), maker)  # noqa: S102 - only names of fields are in the text
        method = maker["__create_fn__"](**given)
        method.__qualname__ = f"{self.noun.__qualname__}.{self.name}"
        if self.name == "__init__":
            hints = {field.name: field.type for field in dataclasses.fields(self.noun) if field.init}
            method.__annotations__ = {**hints, "return": None}
        setattr(self.noun, self.name, method)  # two threads that come at once write the same thing twice
        return method.__get__(instance, owner)


def _init(noun: type, _: str) -> tuple[str, dict[str, object]]:
    """The constructor. A slot of a frozen class is filled by its descriptor: twice as fast as `object.__setattr__`."""
    parameters: dict[bool, list[str]] = {False: [], True: []}
    body, given = [], dict[str, object]({"_by_factory": _BY_FACTORY})
    me = "self" if "self" not in noun.__dataclass_fields__ else "__dataclass_self__"  # type: ignore[attr-defined]
    for field in dataclasses.fields(noun):
        name, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            given[f"_default_{name}"] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            given[f"_factory_{name}"] = field.default_factory
        if field.init:
            default = f"=_default_{name}" if f"_default_{name}" in given else ""
            if f"_factory_{name}" in given:
                default, value = "=_by_factory", f"_factory_{name}() if {name} is _by_factory else {name}"
            parameters[field.kw_only is True].append(f"{name}{default}")
        elif f"_factory_{name}" in given:
            value = f"_factory_{name}()"
        elif f"_default_{name}" in given:
            value = f"_default_{name}"
        else:
            continue  # __post_init__ sees to it
        if noun.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            given[f"_set_{name}"] = getattr(noun, name).__set__
            body.append(f"_set_{name}({me}, {value})")
        else:
            body.append(f"{me}.{name} = {value}")
    if hasattr(noun, "__post_init__"):
        body.append(f"{me}.__post_init__()")
    named = ["*", *parameters[True]] if parameters[True] else []
    return f"def __init__({', '.join([me, *parameters[False], *named])}):\n  " + "\n  ".join(body or ["pass"]), given


def _values(noun: type, of: str, *, hashed: bool = False) -> str:
    """The text of a tuple of what is compared, or hashed."""
    fields = dataclasses.fields(noun)
    taken = (field for field in fields if (field.compare if not hashed or field.hash is None else field.hash))
    return f"({''.join(f'{of}.{field.name},' for field in taken)})"


def _comparison(noun: type, name: str) -> tuple[str, dict[str, object]]:
    sides = f"{_values(noun, 'self')} {_ORDER.get(name, '==')} {_values(noun, 'other')}"
    same = f"return {sides} if other.__class__ is self.__class__ else NotImplemented"
    return f"def {name}(self, other):\n  {same}", {}


def _hash(noun: type, _: str) -> tuple[str, dict[str, object]]:
    return f"def __hash__(self):\n  return hash({_values(noun, 'self', hashed=True)})", {}


@recursive_repr()
def _repr(self: Any) -> str:  # noqa: ANN401 - any noun
    named = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(named)})"


def _is_fixed(noun: Any, name: str) -> bool:  # noqa: ANN401 - any noun
    """Whether an attribute may not change: all of a noun, only the noun's fields in a plain subclass."""
    return "__dataclass_fields__" in vars(type(noun)) or name in noun.__dataclass_fields__


def _setattr(self: object, name: str, value: object) -> None:
    if _is_fixed(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delattr(self: object, name: str) -> None:
    if _is_fixed(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _getstate(self: Any) -> list[object]:  # noqa: ANN401 - any noun
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[object]) -> None:  # noqa: ANN401 - any noun
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_FROZEN: Final = {
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,  # what pickle and copy do by themselves would come to __setattr__
    "__setstate__": _setstate,
}
if not TYPE_CHECKING:
    dataclass = _dataclass
