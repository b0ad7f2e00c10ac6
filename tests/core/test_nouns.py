"""Our `dataclass` makes what the standard one makes: every case here is asked of both."""

from __future__ import annotations

import abc
import copy
import dataclasses
import gc
import importlib
import inspect
import itertools
import pickle
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drctl
from drctl.core import nouns

if TYPE_CHECKING:
    from collections.abc import Iterator

Made: TypeAlias = Callable[..., Any]
OURS: Made = vars(nouns)["dataclass"]
BOTH: tuple[Made, ...] = (OURS, dataclasses.dataclass)


Noun: TypeAlias = Any
"""A dataclass of which mypy knows nothing, or an instance of it."""


def outcome(work: Made, *args: object, **words: object) -> Any:  # noqa: ANN401 - what any call gives
    """What a call gives, or the words with which it is refused."""
    try:
        return work(*args, **words)
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error)


def told(made: Noun) -> object:
    """All that the standard library tells of a dataclass."""
    fields = dataclasses.fields(made)
    shown = [
        (f.name, f.type, f.default, f.default_factory, f.init, f.repr, f.hash, f.compare, f.kw_only, dict(f.metadata))
        for f in fields
    ]
    params = vars(made)["__dataclass_params__"]
    flags = {name: getattr(params, name) for name in ("init", "repr", "eq", "order", "unsafe_hash", "frozen")}
    names = (
        made.__init__.__qualname__,
        getattr(made.__init__, "__annotations__", {}),
        made.__module__,
        made.__qualname__,
    )
    given_ = (vars(made)[name] for name in ("__slots__", "__match_args__"))
    return shown, flags, names, *given_, str(inspect.signature(made)), made.__hash__ is None


# --- made at random ---------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "self", "other", "name", "cls", "value")
VALUES = st.sampled_from([0, 1, 2, "a", "b", None, (1, "a")])
SIGNS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
WORDS = st.fixed_dictionaries(
    {},
    optional={
        "init": st.booleans(),
        "repr": st.booleans(),
        "compare": st.booleans(),
        "hash": st.sampled_from([None, True, False]),
        "kw_only": st.booleans(),
        "metadata": st.just({"doc": "x"}),
    },
)
DEFAULTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    VALUES.map(lambda value: {"default": value}),
    st.just({"default_factory": tuple}),
    st.just({"default": []}),
)
LAYOUTS = st.dictionaries(st.sampled_from(NAMES), st.builds(lambda words, default: words | default, WORDS, DEFAULTS))
FLAGS = st.fixed_dictionaries({flag: st.booleans() for flag in ("init", "frozen", "eq", "kw_only", "order")})
CALLS = st.lists(
    st.tuples(st.lists(VALUES, max_size=4), st.dictionaries(st.sampled_from([*NAMES, "x"]), VALUES, max_size=5)),
    min_size=1,
    max_size=4,
)


def built(decorator: Made, layout: dict[str, dict[str, Any]], flags: dict[str, bool]) -> Noun:
    body: dict[str, Any] = {"__annotations__": dict.fromkeys(layout, "object"), "__module__": __name__, "__doc__": "x"}
    body |= {name: dataclasses.field(**words) for name, words in layout.items()}
    made: Noun = decorator(slots=True, **flags)(type("Noun", (), body))
    return made


def done(value: Noun, made: Noun) -> Iterator[object]:
    """What an instance answers."""
    yield outcome(repr, value)
    yield outcome(hash, value) if made.__hash__ is not object.__hash__ else "by identity"
    yield outcome(dataclasses.asdict, value)
    for field in dataclasses.fields(made):
        yield outcome(setattr, value, field.name, 7)
        yield outcome(delattr, value, field.name)


def answers(made: Noun, calls: list[tuple[list[object], dict[str, object]]]) -> Iterator[object]:
    """What a class says of itself, and what its instances do."""
    yield told(made)
    values = [outcome(made, *args, **words) for args, words in calls]
    names = {field.name for field in dataclasses.fields(made)}
    good = [value for value in values if isinstance(value, made) and all(hasattr(value, name) for name in names)]
    yield [value for value in values if not isinstance(value, made)]
    for x, y in itertools.product(good, good):
        yield [outcome(getattr(x, sign), y) for sign in SIGNS]
    for value in good:
        yield list(done(value, made))


@given(LAYOUTS, FLAGS, CALLS, st.lists(VALUES, min_size=len(NAMES), max_size=len(NAMES)))
def test_any_class_is_the_same(
    layout: dict[str, dict[str, Any]],
    flags: dict[str, bool],
    calls: list[tuple[list[object], dict[str, object]]],
    values: list[object],
) -> None:
    fitting = {
        name: value for (name, words), value in zip(layout.items(), values, strict=False) if words.get("init", True)
    }
    least = {name: value for name, value in fitting.items() if not layout[name].keys() & {"default", "default_factory"}}
    calls = [*calls, ([], fitting), ([], least), ([], least)]
    standard = outcome(built, dataclasses.dataclass, layout, flags)
    ours = outcome(built, OURS, layout, flags)
    if isinstance(standard, type):
        assert list(answers(ours, calls)) == list(answers(standard, calls))
    elif "non-default argument" in str(standard):
        with pytest.raises(SyntaxError):
            _ = ours.__init__
    else:
        assert ours[0] is standard[0]


# --- written out ------------------------------------------------------------------------------------------------------


def both(test: Callable[..., None]) -> Any:  # noqa: ANN401 - a decorator of tests
    return pytest.mark.parametrize("dataclass", BOTH, ids=["ours", "standard"])(test)


@both
def test_what_a_class_writes_itself_is_kept(dataclass: Made) -> None:
    @dataclass(frozen=True, slots=True)
    class Own:
        a: int

        def __init__(self) -> None:
            object.__setattr__(self, "a", 7)

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert (Own().a, repr(Own()), Own() == 0, hash(Own())) == (7, "own", True, 7)


@both
def test_a_class_with_eq_alone_is_hashed_when_frozen(dataclass: Made) -> None:
    @dataclass(frozen=True, slots=True)
    class Frozen:  # noqa: PLW1641 - the decorator gives it
        a: int

        def __eq__(self, other: object) -> bool:
            return NotImplemented

    @dataclass(slots=True)
    class Open:
        a: int

        def __hash__(self) -> int:
            return 7

    assert hash(Frozen(1)) == hash((1,))
    assert hash(Open(1)) == 7


@both
@pytest.mark.parametrize("name", ["__lt__", "__ge__", "__setattr__", "__delattr__"])
def test_what_would_be_overwritten_is_refused(dataclass: Made, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        dataclass(slots=True, frozen=True, order=True)(type("Noun", (), {name: lambda *_: None, "__doc__": "x"}))


@both
def test_post_init_sees_the_values_and_may_refuse(dataclass: Made) -> None:
    @dataclass(frozen=True, slots=True)
    class Even:
        a: int
        half: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            if self.a % 2:
                raise ValueError("odd")
            object.__setattr__(self, "half", self.a // 2)

    assert Even(8).half == 4
    with pytest.raises(ValueError, match="odd"):
        Even(7)


@both
def test_a_noun_may_add_to_another(dataclass: Made) -> None:
    @dataclass(frozen=True, slots=True)
    class Base:
        TYPE: ClassVar[str] = "base"
        a: int
        b: int = 2

    @dataclass(frozen=True, slots=True)
    class More(Base):
        TYPE: ClassVar[str] = "more"
        b: int = 3
        c: tuple[int, ...] = dataclasses.field(default_factory=tuple)

    assert repr(More(1)).endswith("More(a=1, b=3, c=())")
    assert (More(1), hash(More(1)), More.TYPE) == (More(1, 3, ()), hash((1, 3, ())), "more")
    assert More(1) != Base(1)
    assert vars(More)["__slots__"] == ("c",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(More(1), "a", 2)  # noqa: B010 - mypy knows that it is refused
    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclass(slots=True)(type("Open", (Base,), {"__doc__": "x"}))
    with pytest.raises(TypeError, match="cannot inherit frozen"):
        dataclass(slots=True, frozen=True)(type("Shut", (dataclass(slots=True)(type("Open", (), {})),), {}))


def test_ours_and_the_standard_one_may_inherit_from_each_other() -> None:
    for base, more in itertools.product(BOTH, BOTH):
        first = built(base, {"a": {}}, {"frozen": True})
        second = more(slots=True, frozen=True)(type("More", (first,), {"__annotations__": {"b": "int"}, "b": 2}))
        assert repr(second(1)) == "More(a=1, b=2)"
        assert second(1) == second(1, 2) != first(1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            second(1).a = 2


@both
def test_an_abstract_class_stays_one(dataclass: Made) -> None:
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self) -> int: ...

    unfinished = dataclass(slots=True, frozen=True)(type("Unfinished", (Shape,), {"__annotations__": {"a": "int"}}))
    finished = dataclass(slots=True)(type("Finished", (Shape,), {"area": lambda _: 7}))
    assert inspect.isabstract(unfinished)
    with pytest.raises(TypeError, match="abstract"):
        unfinished(1)
    assert finished().area() == 7


@both
def test_a_value_that_holds_itself_can_be_shown(dataclass: Made) -> None:
    @dataclass(slots=True)
    class Ring:
        next: Any = None

    ring = Ring()
    ring.next = ring
    assert repr(ring).endswith("Ring(next=...)")


@nouns.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Kept:
    """A class with a name that pickle can find."""

    a: int
    b: list[int] = dataclasses.field(default_factory=list, compare=False)


def test_values_can_be_copied_pickled_replaced_and_matched() -> None:
    kept = Kept(a=1, b=[2])
    assert pickle.loads(pickle.dumps(kept)) == kept == copy.copy(kept) == copy.deepcopy(kept)  # noqa: S301 - our own
    assert copy.deepcopy(kept).b == [2]
    assert dataclasses.replace(kept, a=3).b is kept.b
    match kept:
        case Kept(a=1, b=[two]):
            assert two == 2
        case _:
            pytest.fail("no match")
    assert Kept(a=1) < Kept(a=2)
    assert Kept(a=1).b is not Kept(a=1).b


@pytest.mark.parametrize("words", [{"slots": False}, {"slots": True, "order": True, "eq": False}])
def test_flags_that_do_not_fit_are_refused(words: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match="must be true"):
        OURS(**words)(type("Noun", (), {}))


@pytest.mark.parametrize("replace", [nouns.replace, dataclasses.replace], ids=["ours", "standard"])
def test_replace_makes_anew_and_checks_anew(replace: Made) -> None:
    @nouns.dataclass(frozen=True, slots=True)
    class Even:
        a: int
        b: list[int] = dataclasses.field(default_factory=list, compare=False)
        half: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            if self.a % 2:
                raise ValueError("odd")
            object.__setattr__(self, "half", self.a // 2)

    one = Even(8)
    two = replace(one, a=6)
    assert (two.a, two.half, two.b is one.b, one.a) == (6, 3, True, 8)
    with pytest.raises(ValueError, match="odd"):
        replace(one, a=7)
    with pytest.raises(TypeError, match="c"):
        replace(one, c=1)
    with pytest.raises((TypeError, ValueError), match="half"):
        replace(one, half=1)


def test_a_noun_has_no_room_for_more_attributes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        built(OURS, {"a": {}}, {"frozen": True})(1).more = 2


def test_a_class_without_a_docstring_is_not_given_its_signature() -> None:
    """To write it the standard library would have to compile the constructor at once."""
    noun = OURS(slots=True)(type("Noun", (), {"__annotations__": {"a": "int"}}))
    assert noun.__doc__ == "Noun"


def test_a_method_is_written_once_and_then_stands_in_the_class() -> None:
    noun = built(OURS, {"a": {}}, {"frozen": True})
    assert type(vars(noun)["__init__"]) is not type(built)
    assert noun(1) == noun(1)
    assert type(vars(noun)["__init__"]) is type(built)
    assert vars(noun)["__init__"] is noun.__init__
    assert not hasattr(noun(1), "__dict__")


def test_every_method_of_every_noun_can_be_written() -> None:
    """What the standard decorator would have said when the class was defined is said here."""
    for module in pkgutil.walk_packages(drctl.__path__, "drctl."):
        if not module.name.startswith("drctl.lab") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    late = type(vars(built(OURS, {}, {}))["__init__"])
    classes = [one for one in gc.get_objects() if isinstance(one, type) and str(one.__module__).startswith("drctl.")]
    waiting = [(cls, name) for cls in classes for name, value in list(vars(cls).items()) if isinstance(value, late)]
    for cls, name in waiting:
        assert callable(getattr(cls, name)), cls
    assert len({cls for cls in classes if dataclasses.is_dataclass(cls)}) > 200
    assert inspect.signature(Kept).parameters["b"].kind is inspect.Parameter.KEYWORD_ONLY
