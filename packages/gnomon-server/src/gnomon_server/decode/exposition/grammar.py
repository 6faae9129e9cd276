r"""The grammar of a line, as regular expressions over bytes, and labels from their text.

Sources: Prometheus model/textparse/promlex.l and openmetricslex.l;
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md (ABNF). Names in quotes (UTF-8 names):
https://github.com/prometheus/proposals/blob/main/proposals/0028-utf8.md. Quantifiers are possessive: no backtracking.
"""

import re

from gnomon_server.errors import InvalidInput

NAME = rb"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_LABEL = rb"[a-zA-Z_][a-zA-Z0-9_]*+"
QUOTED = rb'"(?:[^"\\\n]++|\\[^\n])*+"'


def _braces(blank: bytes, trailing_comma: bytes) -> bytes:
    item = rb"(?:(?:%b|%b)%b=%b%b|%b)" % (_LABEL, QUOTED, blank, blank, QUOTED, QUOTED)
    rest = rb"(?:%b,%b%b)*+" % (blank, blank, item)
    return rb"\{%b(?:%b%b%b%b%b)?\}" % (blank, item, rest, blank, trailing_comma, blank)


_BLANK = rb"[ \t]*+"
TEXT_SERIES = re.compile(rb"(?:%b%b)?(?:%b)?" % (NAME, _BLANK, _braces(_BLANK, rb",?")))
STRICT_SERIES = re.compile(rb"(?:%b)?(?:%b)?" % (NAME, _braces(b"", b"")))
TEXT_REST = re.compile(rb"[ \t]*+([^{} \t#]++)(?:[ \t]++([+-]?\d++))?[ \t]*+")
STRICT_REST = re.compile(
    rb" ([^ #]++)(?: ([^ #]++))?(?: # (%b) ([^ ]++)(?: ([^ ]++))?)?" % _braces(b"", b""),
)
_ITEMS = re.compile(rb"(?:(%b)|(%b))%b(?:=%b(%b))?" % (_LABEL, QUOTED, _BLANK, _BLANK, QUOTED))
_ESCAPE = re.compile(r"\\([\\n\"])")
_UNESCAPED = {"\\": "\\", "n": "\n", '"': '"'}


def labels_of(series: bytes) -> dict[str, str]:
    """The labels of a series part that the grammar took, `__name__` among them.

    Labels with empty values too: they are no labels, but where `honor_labels` holds they keep the target's away.
    """
    name, brace, inside = series.partition(b"{")
    labels = {"__name__": name.strip().decode("ascii")} if name.strip() else {}
    seen = set(labels)
    for plain, quoted, value in _ITEMS.findall(inside) if brace else ():
        key = plain.decode("ascii") if plain else unquoted(quoted)
        key, text = (key, unquoted(value)) if value else ("__name__", key)
        if key in seen or not key:
            raise InvalidInput("duplicate_label", f"the label {key!r} is empty or a repetition", where=_shown(series))
        seen.add(key)
        labels[key] = text
    if not labels.get("__name__"):
        raise InvalidInput("no_metric_name", "a series needs a metric name", where=_shown(series))
    return labels


def name_of(token: bytes) -> str:
    """A metric name, in quotes or not."""
    return unquoted(token) if token[:1] == b'"' else token.decode("ascii")


def unquoted(token: bytes) -> str:
    r"""The text in quotes: `\\`, `\"` and `\n` are unescaped, all else stays, as in Prometheus."""
    return unescaped(decoded(token[1:-1]))


def unescaped(text: str) -> str:
    r"""With `\\`, `\"` and `\n` as what they stand for."""
    return _ESCAPE.sub(lambda match: _UNESCAPED[match[1]], text) if "\\" in text else text


def decoded(raw: bytes) -> str:
    """UTF-8 as text. InvalidInput when it is none."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("invalid_utf8", "text is UTF-8", where=_shown(raw)) from error


def _shown(raw: bytes) -> str:
    return raw[:200].decode("utf-8", "replace")
