"""Attributes: what the field's own classes read of our bytes is what was meant."""

import enum
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gnomon.wire import attributes
from gnomon.wire.attributes import DEEPEST, LONGEST_COLLECTION, LONGEST_REMEMBERED, LONGEST_VALUE, KeyValues, any_value

INT64 = 1 << 63


def read(value: AnyValue) -> Any:
    """As Python has it; a mapping as its pairs, for a message may hold a key twice."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [read(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return [(one.key, read(one.value)) for one in value.kvlist_value.values]
    return getattr(value, kind) if kind else None


def written(text: str) -> str:
    """What UTF-8 can carry of a text."""
    return text[:LONGEST_VALUE].encode("utf-8", "replace").decode()


def meant(value: Any) -> Any:
    """What should arrive."""
    if isinstance(value, str):
        return written(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -INT64 <= value < INT64:
        return str(value)
    if isinstance(value, dict):
        return [(written(str(key)), meant(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [meant(inner) for inner in value]
    return value


def told(pairs: bytes) -> list[tuple[str, Any]]:
    """The attributes of a span of nothing else."""
    return [(one.key, read(one.value)) for one in Span.FromString(pairs).attributes]


def same(first: Any, second: Any) -> bool:
    """Equal, of the same type, and one NaN as good as another."""
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


texts = st.text(st.characters(), max_size=80)  # surrogates too
plain = st.one_of(
    texts, st.booleans(), st.integers(), st.integers(-INT64, INT64 - 1), st.floats(), st.binary(max_size=40), st.none()
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_every_value_arrives_as_it_was(value: Any) -> None:
    """Whatever a value is made of, the generated classes read the same from its bytes."""
    assert same(read(AnyValue.FromString(any_value(value))), meant(value))


@given(st.lists(st.dictionaries(texts, plain, max_size=6), max_size=6))
def test_what_is_remembered_is_what_was_meant(several: list[dict[str, Any]]) -> None:
    """Mappings that are encoded again and again, of equal values of other types too, arrive as they were."""
    encoder = KeyValues(9)
    for mapping in [*several, *several]:
        expected = [(written(key), meant(value)) for key, value in mapping.items()]
        assert same(told(encoder.encode(mapping)), expected)


def test_equal_numbers_of_other_types_are_kept_apart() -> None:
    """1, 1.0 and True, 0.0 and -0.0 are equal to Python and not to OTLP, in whatever order they come."""
    encoder = KeyValues(9)
    for value in (1, 1.0, True, "1", 1, True, 1.0, 0, False, 0.0, -0.0, math.nan, math.inf, -math.inf, 0.0, "1"):
        ((key, arrived),) = told(encoder.encode({"a": value}))
        assert key == "a"
        assert same(arrived, value)
        assert math.copysign(1, float(arrived)) == math.copysign(1, float(value)) or math.isnan(value)


@pytest.mark.parametrize(
    "size", [0, 1, 110, 120, 122, 123, 124, 125, 126, 127, 128, 129, 300, 2040, 2050, 16_383, 16_384]
)
def test_texts_of_every_size_of_length(size: int) -> None:
    """Where a length needs a byte more, the pair still says its own length, in letters of one byte and of three."""
    for letter in ("a", "€"):
        encoder = KeyValues(9)
        for key in ("k", "k" * 130):
            assert told(encoder.encode({key: letter * size}) * 2) == [(key, letter * size)] * 2


def test_long_values_are_cut_and_not_remembered() -> None:
    """A value is cut at its limit; what is long leaves nothing behind."""
    encoder = KeyValues(9)
    assert told(encoder.encode({"a": "x" * (LONGEST_VALUE + 1), "b": b"y" * (LONGEST_VALUE + 1)})) == [
        ("a", "x" * LONGEST_VALUE),
        ("b", b"y" * LONGEST_VALUE),
    ]
    encoder.encode({"c": "z" * LONGEST_REMEMBERED, "d": 10**30, "k" * LONGEST_REMEMBERED: 1.5})
    assert not encoder._texts
    assert not encoder._doubles


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When what is remembered has filled its room it is forgotten, and what is encoded stays right."""
    monkeypatch.setattr(attributes, "REMEMBERED", 10)
    encoder = KeyValues(9)
    for number in range(100):
        mapping = {f"k{number}": str(number), "n": number, f"f{number}": number / 2}
        assert told(encoder.encode(mapping)) == list(mapping.items())
        assert max(map(len, (encoder._texts, encoder._numbers, encoder._doubles, encoder._keys))) <= 10


class Loud(str):
    """A text of another class."""

    __slots__ = ()

    def __str__(self) -> str:
        return "SHOUTED"


class Colour(enum.Enum):
    """A plain enumeration."""

    RED = 1


class Level(enum.IntEnum):
    """One of numbers."""

    HIGH = 3


class Word(enum.StrEnum):
    """One of texts."""

    YES = "yes"


class Broken:
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


class Half(Mapping[str, int]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Loud("quiet"), "quiet"),
        (Colour.RED, "Colour.RED"),
        (Level.HIGH, 3),
        (Word.YES, "yes"),
        (Broken(), "<Broken: str() failed>"),
        (Half(), "<Half: cannot be read>"),
        ({Broken(): 1}, [("<Broken: str() failed>", 1)]),
        pytest.param(10**5000, "<int: str() failed>", id="huge"),  # Python refuses to write so long a number
        (INT64, str(INT64)),
        (-INT64, -INT64),
        (frozenset({7}), [7]),
        (range(3), [0, 1, 2]),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (3 + 4j, "(3+4j)"),
    ],
)
def test_foreign_values(value: Any, arrives: Any) -> None:
    """What is of a class that OTLP does not know arrives in words, whatever its class does, and hurts nobody."""
    assert told(KeyValues(9).encode({"a": value, "b": 1})) == [("a", arrives), ("b", 1)]
    assert read(AnyValue.FromString(any_value([value]))) == [arrives]


def test_keys_that_are_no_texts() -> None:
    """Keys are written as texts, and are not taken for each other."""
    encoder = KeyValues(9, lambda key, value: f"{key.upper()}:{value}")
    for key, name in ((1, "1"), (True, "True"), (None, "None"), (Word.YES, "yes"), (Loud("q"), "SHOUTED")):
        for value in ("x", 5, 2.5):
            shown = f"{name.upper()}:x" if value == "x" else value
            assert told(encoder.encode({key: value})) == [(name, shown)]
    assert told(encoder.encode({Broken(): "x"}))[0][0] == "<Broken: str() failed>"


def test_depth_is_bounded() -> None:
    """Beyond the deepest level the rest is written as one text; what contains itself ends too."""
    nested: Any = "leaf"
    for _ in range(DEEPEST + 3):
        nested = [nested]
    seen = read(AnyValue.FromString(any_value(nested)))
    for _ in range(DEEPEST):
        (seen,) = seen
    assert seen == "[[['leaf']]]"
    itself: list[Any] = []
    itself.append(itself)
    assert "[...]" in str(read(AnyValue.FromString(any_value(itself))))


def test_breadth_is_bounded() -> None:
    """What is endless, or contains itself a thousand times, is cut; its host does not wait for it."""
    assert len(any_value(range(10**12))) < LONGEST_COLLECTION + 100
    itself: list[Any] = []
    itself += [itself] * 1000
    assert len(any_value(itself)) < 2 * LONGEST_COLLECTION
    mapping = {str(number): "x" * 1000 for number in range(1000)}
    kept = read(AnyValue.FromString(any_value(mapping)))
    assert kept == list(mapping.items())[: len(kept)]
    assert 60 < len(kept) < 70


def test_the_mask_stands_before_everything() -> None:
    """Every text is masked, nested ones with the key above them; what is remembered is masked already, once."""
    asked: list[tuple[str, str]] = []

    def mask(key: str, value: str) -> str:
        asked.append((key, value))
        return "***" if "secret" in value else value

    encoder = KeyValues(9, mask)
    mapping = {"a": "a secret", "b": ["x secret", {"c": "secret", "d": 1}], "e": Broken()}
    for _ in range(3):
        encoded = encoder.encode(mapping)
        assert told(encoded) == [
            ("a", "***"),
            ("b", ["***", [("c", "***"), ("d", 1)]]),
            ("e", "<Broken: str() failed>"),
        ]
        assert b"secret" not in encoded
    assert asked.count(("a", "a secret")) == 1
    assert {("b", "x secret"), ("c", "secret"), ("e", "<Broken: str() failed>")} <= set(asked)
    assert not any(b"secret" in part for part in encoder._texts.values())


def test_another_mask_forgets_what_the_first_let_pass() -> None:
    """After `forget` the new mask is asked."""
    encoder = KeyValues(9)
    assert told(encoder.encode({"a": "open", "n": 1, "f": 1.0}))[0] == ("a", "open")
    encoder.mask = lambda _key, _value: "masked"
    encoder.forget()
    assert told(encoder.encode({"a": "open", "n": 1, "f": 1.0})) == [("a", "masked"), ("n", 1), ("f", 1.0)]


def test_a_mask_that_makes_surrogates() -> None:
    """What the mask gives is made fit for UTF-8 too."""
    assert told(KeyValues(9, lambda _key, value: value + "\ud800").encode({"a": "b"})) == [("a", "b?")]


def test_threads_share_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that encode at the same time, while it is emptied again and again, each get what they meant."""
    monkeypatch.setattr(attributes, "REMEMBERED", 4)
    encoder = KeyValues(9)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for number in range(400):
            mapping = {"a": str((number + seed) % 7), "b": number % 5, "c": number / 4}
            if told(encoder.encode(mapping)) != list(mapping.items()):
                wrong.append(mapping)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(texts, values)
def test_a_pair_alone(key: str, value: Any) -> None:
    """`key_value` is the body of one KeyValue."""
    pair = KeyValue.FromString(attributes.key_value(key, value))
    assert pair.key == written(key)
    assert same(read(pair.value), meant(value))
