r"""Relabelling: rules that rewrite a set of labels or drop it, as Prometheus' `relabel_configs`.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config and Prometheus
model/relabel/relabel.go. Regular expressions are anchored, `.` takes line breaks too (Prometheus 3), classes are ASCII
as in RE2. What Python's `re` does not know of RE2 (`\pL`, `\Q`) is refused when the rule is read.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Action = Literal[
    "replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase", "keepequal",
    "dropequal",
]  # fmt: skip

_POSIX = {
    "[:alnum:]": "0-9A-Za-z", "[:alpha:]": "A-Za-z", "[:digit:]": "0-9", "[:lower:]": "a-z", "[:upper:]": "A-Z",
    "[:space:]": r"\t\n\v\f\r ", "[:punct:]": r"!-/:-@\[-`{-~", "[:word:]": "0-9A-Za-z_", "[:xdigit:]": "0-9A-Fa-f",
}  # fmt: skip
_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))", re.ASCII)
_NEEDS_TARGET = {"replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"}
_ONLY = {  # an action that takes no other keys than these
    "keepequal": {"action", "source_labels", "target_label"},
    "dropequal": {"action", "source_labels", "target_label"},
    "labeldrop": {"action", "regex"},
    "labelkeep": {"action", "regex"},
}


def compiled(expression: str) -> re.Pattern[str]:
    """An RE2 expression as Python's, to be matched whole. ValueError when it is none."""
    python = expression.replace(r"\z", r"\Z")
    for name, members in _POSIX.items():
        python = python.replace(name, members)
    try:
        return re.compile(python, re.ASCII | re.DOTALL)
    except re.error as error:
        raise ValueError(f"{expression[:200]!r} is no regular expression that can be used here: {error}") from error


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _compilable(expression: str) -> str:
    compiled(expression)
    return expression


class RelabelRule(BaseModel):
    """One rule. Labels that a source names and the set has not are empty text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    regex: Annotated[str, BeforeValidator(_text), AfterValidator(_compilable)] = "(.*)"
    modulus: int = Field(default=0, ge=0)
    target_label: str = ""
    replacement: Annotated[str, BeforeValidator(_text)] = "$1"
    action: Annotated[Action, BeforeValidator(lambda word: word.lower() if isinstance(word, str) else word)] = "replace"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.action in _NEEDS_TARGET and not self.target_label:
            raise ValueError(f"the action {self.action} needs a target_label")
        if self.action == "hashmod" and not self.modulus:
            raise ValueError("the action hashmod needs a modulus above 0")
        extra = self.model_fields_set - _ONLY.get(self.action, self.model_fields_set)
        if extra:
            raise ValueError(f"the action {self.action} takes no {', '.join(sorted(extra))}")
        return self


class Relabeller:
    """Rules ready to be applied, in order."""

    def __init__(self, rules: Iterable[RelabelRule]) -> None:
        self._rules = [(rule, compiled(rule.regex)) for rule in rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def apply(self, labels: dict[str, str]) -> dict[str, str] | None:
        """The labels as the rules leave them, without empty ones; None when a rule drops the set."""
        labels = dict(labels)
        for rule, pattern in self._rules:
            if not _apply(rule, pattern, labels):
                return None
        return labels


def _apply(rule: RelabelRule, pattern: re.Pattern[str], labels: dict[str, str]) -> bool:
    """Change `labels`; False when they are dropped."""
    value = rule.separator.join(labels.get(name, "") for name in rule.source_labels)
    if rule.action in _KEEPS:
        return _KEEPS[rule.action](rule, pattern, value, labels)
    _CHANGES[rule.action](rule, pattern, value, labels)
    return True


def _replace(rule: RelabelRule, pattern: re.Pattern[str], value: str, labels: dict[str, str]) -> None:
    if (found := pattern.fullmatch(value)) and (target := expanded(rule.target_label, found)):
        _set(labels, target, expanded(rule.replacement, found))


def _hash(rule: RelabelRule, _pattern: re.Pattern[str], value: str, labels: dict[str, str]) -> None:
    last = hashlib.md5(value.encode(), usedforsecurity=False).digest()[8:]
    _set(labels, rule.target_label, str(int.from_bytes(last) % rule.modulus))


def _map_names(rule: RelabelRule, pattern: re.Pattern[str], _value: str, labels: dict[str, str]) -> None:
    for name, text in list(labels.items()):
        if found := pattern.fullmatch(name):
            _set(labels, expanded(rule.replacement, found), text)


def _drop_names(rule: RelabelRule, pattern: re.Pattern[str], _value: str, labels: dict[str, str]) -> None:
    for name in list(labels):
        if (pattern.fullmatch(name) is not None) == (rule.action == "labeldrop"):
            del labels[name]


_KEEPS: dict[str, Callable[[RelabelRule, re.Pattern[str], str, dict[str, str]], bool]] = {
    "keep": lambda _rule, pattern, value, _labels: pattern.fullmatch(value) is not None,
    "drop": lambda _rule, pattern, value, _labels: pattern.fullmatch(value) is None,
    "keepequal": lambda rule, _pattern, value, labels: labels.get(rule.target_label, "") == value,
    "dropequal": lambda rule, _pattern, value, labels: labels.get(rule.target_label, "") != value,
}
_CHANGES: dict[str, Callable[[RelabelRule, re.Pattern[str], str, dict[str, str]], None]] = {
    "replace": _replace,
    "hashmod": _hash,
    "lowercase": lambda rule, _pattern, value, labels: _set(labels, rule.target_label, value.lower()),
    "uppercase": lambda rule, _pattern, value, labels: _set(labels, rule.target_label, value.upper()),
    "labelmap": _map_names,
    "labeldrop": _drop_names,
    "labelkeep": _drop_names,
}


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def expanded(template: str, found: re.Match[str]) -> str:
    """Go's Regexp.Expand: `$1`, `${1}`, `$name`, `$$`. A group that is not there is empty text."""

    def value(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(value, template) if "$" in template else template
