"""Numbers of people: cards, accounts, national ids, telephones: as they are written, with the check that they are some.

Every pattern takes time linear in the text: repetitions are bounded.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gnomon.privacy import checksums

Found = tuple[int, int, str, str]
"""(start, end, kind, the value without its way of writing: what the pseudonym is made of)."""


class Detector(NamedTuple):
    """One shape of one kind.

    Attributes:
        kind: what is counted, and stands in the replacement.
        digits: a text that has no run of so many digits, separators apart, cannot hold one.
        pattern: the value is its group `value`, or else all of it.
        plain: matched text -> the value in one way of writing, or "" when it is none after all.
    """

    kind: str
    digits: int
    pattern: re.Pattern[str]
    plain: Callable[[str], str]


_NOT_ALNUM = {ord(sign): None for sign in " .-/()+_,:\\\t\"'"}


def bare(written: str) -> str:
    """Without separators, upper-case."""
    return written.translate(_NOT_ALNUM).upper()


def _checked(check: Callable[[str], bool]) -> Callable[[str], str]:
    def plain(written: str) -> str:
        value = bare(written)
        return value if check(value) else ""

    return plain


def _card(written: str) -> str:
    value = bare(written)
    return value if len(set(value)) > 1 and checksums.card(value) else ""


def _phone(written: str) -> str:
    value = bare(written)
    return value.removeprefix("00") if 7 <= len(value) <= 17 else ""  # noqa: PLR2004 - E.164 has at most 15, and 00


_S = r"[ .\-]"  # what stands between groups of digits
# A number that touches a letter, a digit or a decimal point is part of something else: a hash, a version.
_BEGIN = r"(?<![0-9A-Za-z_])(?<![0-9]\.)"
_END = r"(?![0-9A-Za-z_]|\.[0-9])"
_NOT_GROUPED = rf"(?<![0-9]{_S})"
_NO_GROUP = rf"(?!{_S}[0-9])"


class Shape(NamedTuple):
    """How a number is written, in regular expressions: from it come its detector, and its part in `_POSSIBLE`.

    Attributes:
        first: its first sign.
        rest: what follows; `(?P<s>...)` is a separator that comes again as `(?P=s)`.
        before, after: what must not be beside it.
        letters: whether letters stand before its first digit.
        possible: its part in `_POSSIBLE`, where that is not `first` and `rest`: what follows the first digit.
    """

    kind: str
    digits: int
    plain: Callable[[str], str]
    first: str
    rest: str
    before: str = ""
    after: str = ""
    letters: bool = False
    possible: str = ""

    def detector(self) -> Detector:
        """One that finds it."""
        pattern = f"{_BEGIN}{self.before}{self.first}(?:{self.rest}){_END}{self.after}"
        return Detector(self.kind, self.digits, re.compile(pattern), self.plain)

    def hint(self) -> str:
        """What must follow a first sign, if it is to be one of these; separators need not be the same."""
        rest = re.sub(r"\(\?P=\w\)", r"[ .\\-/_]{1,2}", re.sub(r"\(\?P<\w>", "(?:", self.rest))
        return self.possible or f"(?<={self.first})(?:{rest})"


_SHAPES = (
    Shape(
        "card",
        14,
        _card,
        "[2-6]",
        r"[0-9]{13,18}|[0-9]{3}(?P<s>[ .\-/_]{1,2})[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{1,7}"
        rf"|[0-9]{{3}}(?P<t>{_S})[0-9]{{6}}(?P=t)[0-9]{{4,5}}",
        before="(?<![_ =(:,]-)",
    ),
    Shape(  # FR
        "national_id",
        8,
        _checked(checksums.nir),
        "[12]",
        rf"{_S}?[0-9]{{2}}{_S}?[0-9]{{2}}{_S}?(?:[0-9]{{2}}|2[ABab])(?:{_S}?[0-9]{{3}}){{2}}{_S}?[0-9]{{2}}",
    ),
    Shape(  # DE
        "national_id",
        11,
        _checked(checksums.steuer_id),
        "[1-9]",
        r"[0-9](?:[0-9]{9}|(?P<s>[ .\-/])[0-9]{3}(?P=s)[0-9]{3}(?P=s)[0-9]{3})",
    ),
    Shape(  # US
        "national_id",
        9,
        _checked(checksums.ssn),
        "[0-8]",
        rf"[0-9]{{2}}(?P<s>{_S})[0-9]{{2}}(?P=s)[0-9]{{4}}",
        before=_NOT_GROUPED,
        after=_NO_GROUP,
    ),
    # ES; solid and in lower case not beside letters that are hexadecimal or a unit: `12345678b`, `12345678s`.
    Shape(
        "national_id",
        8,
        _checked(checksums.dni),
        "[0-9]",
        rf"[0-9](?:{_S}?[0-9]{{3}}){{2}}(?:{_S}?[A-Z]|[ \-][a-z]|[j-lnp-rtv-z])",
    ),
    Shape(
        "national_id",
        7,
        _checked(checksums.dni),
        "[XYZxyz]",
        rf"{_S}?[0-9](?:{_S}?[0-9]{{3}}){{2}}{_S}?[A-Za-z]",
        letters=True,
        possible=rf"(?:{_S}?[0-9]{{3}}){{2}}{_S}?[A-Za-z]",
    ),
    Shape(  # UK; in lower case not what may be hexadecimal
        "national_id",
        6,
        _checked(checksums.nino),
        "(?![a-f]{2})[A-Za-z]",
        rf"(?:(?<=[A-Z])[A-Z](?:{_S}?[0-9]{{2}}){{3}}{_S}?[A-D]|(?<=[a-z])[a-z](?:{_S}?[0-9]{{2}}){{3}}{_S}?[a-d])",
        letters=True,
        possible=rf"[0-9](?:{_S}?[0-9]{{2}}){{2}}{_S}?[A-Da-d]",
    ),
    Shape("phone", 9, _phone, "0", r"0[1-9][0-9]{0,2}[ .\-/(](?:[ .\-/()+]{0,2}[0-9]){6,12}"),
    Shape(
        "phone",
        10,
        _phone,
        rf"(?:1{_S})?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}{_S})",
        rf"[2-9][0-9]{{2}}{_S}[0-9]{{4}}",
        before=_NOT_GROUPED,
        after=_NO_GROUP,
        possible=rf"(?<=[(2-9])[0-9]{{2,3}}(?:\) ?|{_S})[2-9][0-9]{{2}}{_S}[0-9]{{4}}",
    ),
    Shape("phone", 9, _phone, r"\(", rf"(?:0[0-9]{{1,4}}|[67][0-9]{{2}})\) ?[0-9]{{2,4}}(?:{_S}?[0-9]{{2,4}}){{1,3}}"),
    Shape(
        "phone",
        9,
        _phone,
        "0",
        r"[1-9][0-9]{1,3}(?:[ /.\-][0-9]{5,8}(?!:)|(?P<s>[ .\-])[0-9]{3,4}(?P=s)[0-9]{3,4})",
    ),
    Shape(
        "phone",
        10,
        _phone,
        "0",
        rf"[1-9](?P<s>{_S})[0-9]{{2}}(?:(?P=s)[0-9]{{2}}){{3}}",
        before=_NOT_GROUPED,
        after=_NO_GROUP,
    ),
    Shape(
        "phone",
        9,
        _phone,
        "[6-9]",
        rf"[0-9]{{2}}(?P<s>{_S})(?:[0-9]{{3}}(?P=s)[0-9]{{3}}|[0-9]{{2}}(?P=s)[0-9]{{2}}(?P=s)[0-9]{{2}})"
        rf"|[1-8](?P<t>{_S})[0-9]{{3}}(?P=t)[0-9]{{2}}(?P=t)[0-9]{{2}}",
        before=_NOT_GROUPED,
        after=_NO_GROUP,
    ),
)
_PHONE_WORD = r"(?i:phone|mobile|telephone|tel|cell|fax|msisdn|whatsapp)(?i:[_ ]?(?:number|num|no))?\.?"
_NAMED = r"[\"']?[ :=#(]{1,4}[\"']?"
NUMBERS = (
    *(shape.detector() for shape in _SHAPES),
    Detector(
        "national_id",  # IT
        0,
        re.compile(
            rf"{_BEGIN}[A-Za-z]{{3}}{_S}?[A-Za-z]{{3}}{_S}?[0-9L-V]{{2}}[A-EHLMPRSTa-ehlmprst]{_S}?[0-9L-V]{{2}}"
            rf"{_S}?[A-Za-z][0-9L-V]{{3}}{_S}?[A-Za-z]{_END}"
        ),
        _checked(checksums.codice_fiscale),
    ),
    Detector("phone", 8, re.compile(r"\+(?<![0-9A-Za-z]\+)\(?[1-9](?:[ .\-/()+]{0,2}[0-9]){7,14}(?![0-9])"), _phone),
    Detector(
        "national_id",  # US, nine digits that only their name tells from others
        9,
        re.compile(r"(?i:ssn|social[ _]security(?:[ _]number)?)[\"']?[ :=#(]{1,4}[\"']?(?P<value>[0-9]{9})(?![0-9])"),
        _checked(checksums.ssn),
    ),
    Detector(
        "phone",  # digits that only their name tells from others
        7,
        re.compile(rf"(?<![A-Za-z]){_PHONE_WORD}{_NAMED}(?P<value>[0-9](?:[ .\-/()]{{0,2}}[0-9]){{6,14}})(?![0-9])"),
        _phone,
    ),
)
# Whatever a detector of numbers finds, and IBANs, begin so. One pattern that begins with a plain set of signs, which is
# looked for in no time; what it does not match no detector need see.
_AFTER_LETTERS = "|".join(shape.hint() for shape in _SHAPES if shape.letters)
_AFTER_NONE = "|".join(shape.hint() for shape in _SHAPES if not shape.letters)
_GAP = r"[ .\-/()+_]{0,3}"
_POSSIBLE = re.compile(
    # Eight digits; or six and a letter, as Corsicans have it. Of most numbers no more is looked at.
    rf"[0-9(+](?:(?<![0-9_].)(?:(?<![A-Za-z].)(?=(?:{_GAP}[0-9]){{5}}(?:[ABab]|(?:{_GAP}[0-9]){{2}}))"
    rf"(?:{_AFTER_NONE}){_END}"
    rf"|(?:(?<=[A-Za-z].)|(?<=[A-Za-z]{_S}.))(?:(?:{_AFTER_LETTERS}){_END}"
    rf"|(?:(?<![0-9A-Za-z][A-Za-z]{{2}}.)(?<=[A-Za-z]{{2}}.)|(?<![0-9A-Za-z][A-Za-z]{{2}}{_S}.)(?<=[A-Za-z]{{2}}{_S}.))"
    rf"[0-9](?:{_S}?[0-9A-Za-z]){{11}}))"
    r"|(?<=\+)\(?[1-9](?:[ .\-/()+]{0,2}[0-9]){7})"
)


def possible(text: str) -> bool:
    """Whether `numbers` or `ibans` may find anything in a text, but for a codice fiscale."""
    if _POSSIBLE.search(text):
        return True
    text = text.lower()
    return (  # the names beside which digits alone are something
        "tel" in text
        or "phone" in text
        or "mobile" in text
        or "cell" in text
        or "fax" in text
        or "msisdn" in text
        or "whatsapp" in text
        or "ssn" in text
        or "social" in text
    )


_IBAN_START = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}[ .-]?[0-9]{2}(?=[ .\-]?[0-9A-Za-z])")
_IBAN_SIGN = re.compile(r"[ .\-]?([0-9A-Za-z])")


def ibans(text: str) -> Iterator[Found]:
    """IBANs: the country says how many letters and digits to take, whatever follows them."""
    for match in _IBAN_START.finditer(text):
        size = checksums.IBAN_LENGTHS.get(match[0][:2].upper())
        if size is None:
            continue
        value, end = bare(match[0]), match.end()
        while len(value) < size and (sign := _IBAN_SIGN.match(text, end)):
            value, end = value + sign[1].upper(), sign.end()
        if len(value) == size and value.isascii() and checksums.iban(value):
            yield match.start(), end, "iban", value


def numbers(text: str, digits: int) -> Iterator[Found]:
    """Cards, national ids and phone numbers, the strictest first; `digits` is the longest run, separators apart."""
    for kind, needed, pattern, plain in NUMBERS:
        if digits < needed:
            continue
        group = pattern.groupindex.get("value", 0)
        for match in pattern.finditer(text):
            if value := plain(match[group]):
                yield *match.span(group), kind, value
