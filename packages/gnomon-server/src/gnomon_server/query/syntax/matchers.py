"""Label matchers: `=`, `!=`, `=~` and `!~`, in PromQL, LogQL and the Prometheus API alike."""

from dataclasses import dataclass, field
from enum import StrEnum

METRIC_NAME = "__name__"


class MatchOp(StrEnum):
    """How a label's value is compared; a label that a series does not have is the empty string."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label.

    Args:
        name: the label; any UTF-8 text.
        op: the comparison.
        value: a text, or for `=~` and `!~` a valid RE2 expression (`regex.check`) that must match the *whole* value.
        start, end: its place in the text, in characters.
    """

    name: str
    op: MatchOp
    value: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)
