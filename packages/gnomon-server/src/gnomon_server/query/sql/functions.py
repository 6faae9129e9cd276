"""Which functions and types untrusted SQL may name: functions.txt, and what is built from it."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

# -State and -Merge are absent: an aggregate's state in a crafted text is read by code that trusts it.
_COMBINATORS = ("If", "Array", "Map", "Distinct", "OrDefault", "OrNull", "ForEach", "Resample", "ArgMin", "ArgMax")
_HEADING = re.compile(r"\[(.+)\]")

TABLE_FUNCTIONS = frozenset({"numbers", "generate_series", "generateseries"})
"""They count, and nothing else; their arguments must be literals."""

_TYPES = """
    Array Bool Date Date32 DateTime DateTime32 DateTime64 Decimal Decimal32 Decimal64 Decimal128 FixedString Float32
    Float64 IPv4 IPv6 Int8 Int16 Int32 Int64 Int128 JSON LowCardinality Map Nullable String Tuple UInt8 UInt16 UInt32
    UInt64 UInt128 UUID
"""
TYPES = frozenset(_TYPES.split())
"""What may stand in a CAST and in `{name:Type}`. Not AggregateFunction (above), nor Identifier (names a table)."""

_HIGHER_ORDER = """
    arrayAll arrayAvg arrayBottomK arrayCompact arrayCount arrayCumSum arrayCumSumNonNegative arrayDifference
    arrayExists arrayFill arrayFilter arrayFirst arrayFirstIndex arrayFirstOrNull arrayFold arrayLast arrayLastIndex
    arrayLastOrNull arrayMap arrayMax arrayMin arrayPartialReverseSort arrayPartialSort arrayProduct
    arrayReverseFill arrayReverseSort arrayReverseSplit arraySort arraySplit arraySum arrayTopK mapAll mapApply
    mapExists mapFilter mapPartialReverseSort mapPartialSort mapReverseSort mapSort
"""
HIGHER_ORDER = frozenset(name.lower() for name in _HIGHER_ORDER.split())
"""Their first argument may be a function, by its bare name too: `arrayMap(file, ['/etc/passwd'])` reads the file."""

_WORD = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")


@dataclass(frozen=True, slots=True)
class Functions:
    """The listed names, by their lower case: ClickHouse takes many in any case."""

    plain: dict[str, str]
    aggregate: dict[str, str]

    def allow(self, name: str) -> bool:
        """Whether a call of `name` is allowed, with combinators (`sumIfOrNull`) where it is an aggregate."""
        lower = name.lower()
        return lower in self.plain or lower in self.aggregate or self._combined(name)

    def _combined(self, name: str) -> bool:
        for combinator in _COMBINATORS:
            stem = name.removesuffix(combinator)
            if stem != name and (stem.lower() in self.aggregate or self._combined(stem)):
                return True
        return False

    def nearest(self, name: str) -> str:
        """The most alike listed name, or ''."""
        return nearest(name, {**self.plain, **self.aggregate})


def nearest(name: str, known: Iterable[str] | dict[str, str]) -> str:
    """The most alike of `known` (lower case -> as spelt), or ''."""
    spelt = known if isinstance(known, dict) else {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), list(spelt), n=1)
    return spelt[found[0]] if found else ""


@cache
def functions() -> Functions:
    """functions.txt, read once."""
    plain: dict[str, str] = {}
    aggregate: dict[str, str] = {}
    section = plain
    for line in resources.files(__package__).joinpath("functions.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        if heading := _HEADING.fullmatch(line):
            section = aggregate if heading[1] == "aggregate" else plain
        else:
            section.update((name.lower(), name) for name in line.split())
    return Functions(plain, aggregate)


def foreign_type(text: str) -> str:
    """The first word in a type's text that is no listed type, or ''. Names of tuple elements and enums are none."""
    words = (word[0] for word in _WORD.finditer(_QUOTED.sub("", text)))
    return next((word for word in words if word not in TYPES), "")
