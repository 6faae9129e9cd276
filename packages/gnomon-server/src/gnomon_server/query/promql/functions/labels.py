"""`label_replace` and `label_join`: other labels for the same samples.

Regular expressions are a stranger's, so they run in RE2 (Arrow's), whose time is linear in the text; each distinct
value is matched once, however many series have it. RE2 and Go's `regexp` share their syntax.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_server.errors import TooLarge
from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context, refused
from gnomon_server.query.promql.functions.arguments import text_of, vector_of
from gnomon_server.query.promql.labels import merged, replaced
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import NAME, Labels, Value, Vector
from gnomon_server.query.syntax import regex

# Values that are made of themselves, again and again, double each time; a query is no place to store them.
_LONGEST = 1 << 20  # characters of a value
_MOST = 256 << 20  # characters of all values of a call
# What a `(` may be mistaken for: an escaped one, one in `\Q...\E`, one in a class.
_PARTS = re.compile(
    r"\\Q(?s:.*?)(?:\\E|\Z)|\\(?s:.)|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\(?s:.)|[^\]\\])*\]"
    r"|(?P<group>\((?:\?P?<(?P<name>\w+)>|(?!\?)))"
)
_REFERENCE = re.compile(r"\$(?:\$|\{(?P<braced>\w+)\}|(?P<plain>\w+))")


def _label_replace(call: Call, args: list[Value], ctx: Context) -> Vector:
    """`label_replace(v, dst, replacement, src, regex)`: where all of `src`'s value matches, `dst` is set."""
    vector = vector_of(args)
    destination, template, source, pattern = (text_of(args, position) for position in range(1, 5))
    values = [dict(labels).get(source, "") for labels in vector.labels]
    distinct = list(dict.fromkeys(values))
    try:
        found = dict(zip(distinct, expanded(pattern, template, distinct), strict=True))
    except ValueError:
        said = f"invalid regular expression in label_replace(): {pattern}"
        raise refused(said, call, ctx.notes.text) from None
    _check_name(destination, "destination", call, ctx)
    texts = [found[value] for value in values]
    return _relabelled(vector, destination, texts)


def _label_join(call: Call, args: list[Value], ctx: Context) -> Vector:
    """`label_join(v, dst, separator, src...)`: the values of the labels one after the other."""
    vector = vector_of(args)
    destination, separator, *sources = (text_of(args, position) for position in range(1, len(args)))
    for source in sources:
        _check_name(source, "source", call, ctx)
    _check_name(destination, "destination", call, ctx)
    given = (dict(labels) for labels in vector.labels)
    texts = _joined(([labels.get(source, "") for source in sources] for labels in given), separator)
    return _relabelled(vector, destination, texts)


def _joined(rows: Iterable[list[str]], separator: str = "") -> list[str]:
    """The texts of each row as one.

    Raises:
        TooLarge: there would be too many characters.
    """
    texts, left = [], _MOST
    for pieces in rows:
        size = sum(map(len, pieces)) + len(separator) * (len(pieces) - 1)
        left -= size
        if size > _LONGEST or left < 0:
            what = f"a label value of {size:,} characters" if size > _LONGEST else f"label values of over {_MOST:,}"
            raise TooLarge("promql_labels_too_large", f"{what} would be made; {_LONGEST:,} are allowed in one")
        texts.append(_sendable(separator.join(pieces)))
    return texts


def _sendable(text: str) -> str:
    r"""Bytes of a query's `"\xff"`, which no answer can carry, as U+FFFD: so Prometheus shows them."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _relabelled(vector: Vector, name: str, texts: Sequence[str | None]) -> Vector:
    """With a label set where there is a text for it."""
    labels: list[Labels] = [
        one if text is None else replaced(one, name, text) for one, text in zip(vector.labels, texts, strict=True)
    ]
    if name == NAME:  # a name that is given anew is not removed any more
        kept = np.fromiter((text is not None for text in texts), np.bool_, len(texts))
        vector = replace(vector, nameless=vector.nameless & ~kept)
    return merged(vector, labels)


def _check_name(name: str, which: str, call: Call, ctx: Context) -> None:
    """A name is any text that is UTF-8 (what is not stands as lone surrogates)."""
    if not name or any("\ud800" <= character <= "\udfff" for character in name):
        said = f"invalid {which} label name in label_{'join' if call.function == 'label_join' else 'replace'}(): {name}"
        raise refused(said.encode(errors="backslashreplace").decode(), call, ctx.notes.text)


def expanded(pattern: str, template: str, values: Sequence[str]) -> list[str | None]:
    """What a template becomes for each value that matches from end to end, as Go's Regexp.ExpandString has it.

    `$1`, `${1}`, `$name` and `${name}` stand for what a group matched, `$$` for a dollar; a group that is not there or
    took no part is empty. None: does not match.

    Raises:
        ValueError: RE2 does not take the pattern.
        TooLarge: there would be too many characters.
    """
    regex.check(pattern)
    named, groups = _with_names(pattern)
    try:
        matched = pc.extract_regex(pa.array(values, pa.string()), pattern=f"^(?P<g0>(?s:{named}))$")
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        # More memory than RE2 allows, a thing that only Go takes, or bytes that are no UTF-8.
        raise ValueError(str(error)) from None
    columns = {key: matched.field(f"g{number}").to_pylist() for key, number in groups.items()}
    pieces: list[str | list[str]] = []
    end = 0
    for reference in _REFERENCE.finditer(template):
        pieces.append(template[end : reference.start()])
        end = reference.end()
        key = reference["braced"] or reference["plain"]
        pieces.append("$" if key is None else columns.get(key, ""))
    pieces.append(template[end:])
    rows = matched.is_valid().to_numpy(zero_copy_only=False).nonzero()[0].tolist()
    texts = _joined([piece if isinstance(piece, str) else piece[row] for piece in pieces] for row in rows)
    found: list[str | None] = [None] * len(values)
    for row, text in zip(rows, texts, strict=True):
        found[row] = text
    return found


def _with_names(pattern: str) -> tuple[str, dict[str, int]]:
    """The pattern with group n named `gn`, as Arrow wants it; and each group's number by its number and its name."""
    groups = {"0": 0}
    number = 0

    def name(part: re.Match[str]) -> str:
        nonlocal number
        if part["group"] is None:
            return part[0]
        number += 1
        groups[str(number)] = number
        if part["name"]:
            groups.setdefault(part["name"], number)
        return f"(?P<g{number}>"

    return _PARTS.sub(name, pattern), groups


FUNCTIONS: Mapping[str, Function] = MappingProxyType({"label_join": _label_join, "label_replace": _label_replace})
