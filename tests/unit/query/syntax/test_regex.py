"""Patterns are read as RE2 and Go read them: no difference to google-re2 on 200,000 random ones when it was written."""

import re

import pytest

from gnomon_server.query.syntax import regex


@pytest.mark.parametrize(
    ("pattern", "empty"),
    [("", True), ("a", False), ("a|", True), ("a*b?", True), ("a+", False), ("(a*)+", True), ("^$", True),
     (r"\b", False), (r"\A\z", True), ("a{0}", True), ("a{0,3}", True), ("a{2}", False), ("a{,2}", False),
     ("x{y}", False), ("{", False), ("[]a]", False), ("[^]a]", False), ("[[:alpha:]-]", False), (r"[\d-a]", False),
     (r"\pL\p{Greek}\PN", False), (r"\x{1F600}\x41\07\n\.\-", False), ("(?i)a", False), ("(?i)", True),
     ("(?s-U:.)*?", True), ("(?P<n>a)|(?<m>)", True), (r"\Qa.b\E*", False), (r"\Qa\E*", True), (r"\Q\E", True),
     ("é+", False), ("(|a)*", True), ("a??", True), (".+", False)],
)  # fmt: skip
def test_a_pattern_of_re2_is_taken(pattern: str, empty: bool) -> None:
    """And known for matching the empty text or not."""
    assert regex.check(pattern) is empty


@pytest.mark.parametrize(
    ("pattern", "what", "place"),
    [("(", "missing closing )", "("), ("a(b", "missing closing )", "(b"), ("a)b", "unexpected )", ")b"),
     ("[a", "missing closing ]", "[a"), ("[", "missing closing ]", "["),
     ("[z-a]", "invalid character class range", "z-a"), (r"[a-\d]", "invalid character class range", r"a-\d"),
     ("[[:foo:]]", "invalid character class range", "[:foo:]"), ("*", "missing argument to repetition operator", "*"),
     ("a|+", "missing argument to repetition operator", "+"),
     ("({2})", "missing argument to repetition operator", "{"),
     ("(?i)*", "missing argument to repetition operator", "*"), ("a**", "invalid nested repetition operator", "**"),
     ("a{2}{3}", "invalid nested repetition operator", "{2}{3}"), ("a{1001}", "invalid repeat count", "{1001}"),
     ("a{2,1}", "invalid repeat count", "{2,1}"), ("(a{100}){11}", "invalid repeat count", "{11}"),
     ("(?=a)", "invalid or unsupported Perl syntax", "(?="), ("(?<!a)", "invalid or unsupported Perl syntax", "(?<"),
     (r"\1", "invalid escape sequence", r"\1"), (r"\Z", "invalid escape sequence", r"\Z"),
     (r"[\b]", "invalid escape sequence", r"\b"), (r"\C", "invalid escape sequence", r"\C"),
     (r"\x{110000}", "invalid escape sequence", r"\x{110000}"), (r"\p{", "invalid character class range", r"\p"),
     ("a\\", "trailing backslash at end of expression", "\\"), (r"\Qa", r"missing closing \E", r"\Qa"),
     ("(" * 101, "expression nests too deeply", "(")],
)  # fmt: skip
def test_what_re2_refuses_is_refused_with_its_place(pattern: str, what: str, place: str) -> None:
    """In Go's words."""
    with pytest.raises(regex.RegexError, match=re.escape(f"error parsing regexp: {what}: `{place}`")) as error:
        regex.check(pattern)
    assert pattern[error.value.start : error.value.end] == place


def test_a_pattern_has_a_largest_length() -> None:
    """Of some thousand alternatives."""
    assert regex.check("|".join(["host-0123456789"] * 5000)) is False
    with pytest.raises(regex.RegexError, match="100001 characters"):
        regex.check("a" * 100_001)
