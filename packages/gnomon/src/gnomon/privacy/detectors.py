"""What personal data and secrets look like in text: a table of patterns, each with the check that it really is one.

Every pattern takes time linear in the text: repetitions are bounded, or possessive and begun only at a boundary.
"""

import ipaddress
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


_AT_DOMAIN = re.compile(r"@((?:[A-Za-z0-9-]{1,63}\.){1,8}([A-Za-z]{2,24}))(?![A-Za-z0-9-])")
_SPACED_DOMAIN = re.compile(
    r" ?@ ?((?:[A-Za-z0-9-]{1,63} ?\. ?){1,8}"
    r"(?:com|org|net|edu|gov|io|co|es|fr|de|uk|it|eu|us|info|example|test))(?![A-Za-z0-9-])",
    re.IGNORECASE,
)
_LOCAL_TURNED = re.compile(r"[A-Za-z0-9_+%](?:[A-Za-z0-9._%+'!#$&*/=?^`{|}~-]{0,62}[A-Za-z0-9_+%])?")
_LOCAL_CUT = re.compile(r"[=/?&'`{|}]")
# What follows the last dot in unit names and files, where a TLD would stand.
_NO_TLD = frozenset({"service", "socket", "timer", "slice", "mount", "target", "scope", "device", "local", "py", "js"})


def emails(text: str) -> Iterator[Found]:
    """Addresses: the domain is matched forwards from the @, the local part backwards, so that no text costs more."""
    at = text.find("@")
    while at >= 0:
        domain = _AT_DOMAIN.match(text, at) or _SPACED_DOMAIN.match(text, at - 1 if text[at - 1 : at] == " " else at)
        if domain:
            begin = domain.start()
            local = _LOCAL_TURNED.match(text[max(0, begin - 64) : begin][::-1])
            last = domain[1].rpartition(".")[2].lower()
            if local and last not in _NO_TLD:
                # `to=ann@…` and `/users/ann@…` are allowed by the standard as addresses, and written by nobody.
                name = _LOCAL_CUT.split(local[0][::-1])[-1]
                credentials = (
                    text[begin - len(name) - 1 : begin - len(name)] == ":"
                    and "://" in text[max(0, begin - 256) : begin]
                )
                if name and not credentials:
                    yield begin - len(name), domain.end(), "email", f"{name}@{domain[1]}".lower().replace(" ", "")
        at = text.find("@", at + 1)


_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"  # JWT
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|(?:[srp]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{20,}"  # Stripe; OpenAI and Anthropic
    r"|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"  # SendGrid
    r")|-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----(?:(?!-----END)[\s\S])*+(?:-----END [A-Z ]{0,24}PRIVATE KEY-----)?"
)
_SCHEME_TOKEN = re.compile(r"(?<![A-Za-z])(?i:bearer|basic|token) {1,2}([A-Za-z0-9._~+/=-]{8,})")


def tokens(text: str) -> Iterator[Found]:
    """Access tokens, by what their issuers put in front of them."""
    for match in _TOKENS.finditer(text):
        yield *match.span(), "token", match[0]
    for match in _SCHEME_TOKEN.finditer(text):
        value = match[1]
        if not value.isalpha() or not (value.islower() or value.istitle() or value.isupper()):  # no word
            yield *match.span(1), "token", value


_USERINFO = re.compile(r"://[^\s/@:\"'<>]{0,64}:([^\s/@\"'<>]{1,128})@")
_SECRET = re.compile(
    r"(?i:passwo?r?d|passphrase|passcode|pwd|secret|token|authorization|credentials?|jwt"
    r"|(?<![a-z])(?:pass|sid|otp|pin|cvv|cvc)|(?:api|access|private|secret|encryption|account|auth)[_\-. ]?key"
    r"|secret_key_base|session[_\-. ]?id"
    r"|signature(?=[\\\"'\]=>: ]{1,8}[A-Za-z0-9+/=_%.~-]{16}))"
    r"(?:\\?[\"']|\])? {0,2}(?:=>?|:) {0,2}"
    r"b?(?:\"((?:[^\"\\]|\\.)++)|'((?:[^'\\]|\\.)++)|\\[\"']([^\"'\\]++)"
    r"|(?:(?i:bearer|basic|token|digest) {1,2})?([^\s\"'&;,<>\\]{2,}))"
)
_CALL = re.compile(r"[A-Za-z_.]+[({]")  # `token=Token{...`, as programs print objects
_SCHEME = re.compile(r"(?i:bearer|basic|token|digest) {1,2}")
_COOKIE = re.compile(r"(?i:cookie)(?:\\?[\"'])? {0,2}[:=] {0,2}(?:\\?[\"'])?([^\"'\r\n\\]{2,})")
_OPTION = re.compile(r"--(?i:pass(?:word|wd|phrase)?|secret|token|api-key) ++([^\s\-]\S*+)")
_ELEMENT = re.compile(r"<(?i:pass(?:word|wd|phrase)?|secret|token|api_?key)>([^<]++)</")
# A list of headers, as ASGI and http.client print it: `(b'authorization', b'Bearer ...')`.
_HEADER = re.compile(r"(?i:authorization|cookie|(?:api|auth)-?(?:key|token))[\"'], ?b?[\"']([^\"']{2,})")
# What follows `token:` in prose and is nobody's secret.
_WORDS = """
none null nil true false expired invalid missing required incorrect wrong empty unset not is was has must bad ok valid
unknown rejected accepted refused changed reset updated rotated revoked failed the no malformed absent yes bearer basic
string str int type redacted masked hidden
"""
_NO_SECRET = frozenset(_WORDS.split())


def secrets(text: str) -> Iterator[Found]:
    """Values whose name says that they are secret, and passwords in addresses of servers."""
    for match in _USERINFO.finditer(text):
        yield *match.span(1), "secret", match[1]
    for pattern in (_HEADER, _COOKIE, _OPTION, _ELEMENT):
        for match in pattern.finditer(text):
            yield *match.span(1), "secret", match[1]
    for match in _SECRET.finditer(text):
        group = match.lastindex or 0
        value, start = match[group].rstrip(".)]}"), match.start(group)
        if scheme := _SCHEME.match(value):
            value, start = value[scheme.end() :], start + scheme.end()
        word = value.strip("*x.-")
        if word and word.lower() not in _NO_SECRET and not (_CALL.match(value) and match[0][:5].lower() == "token"):
            yield start, start + len(value), "secret", value


_IPV4 = re.compile(r"(?<![0-9A-Za-z.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z]|\.[0-9])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![0-9A-Za-z:.])")


def addresses(text: str) -> Iterator[Found]:
    """IP addresses; a clock's `10:11:12` is none."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            try:
                yield *match.span(), "ip", str(ipaddress.ip_address(match[0]))
            except ValueError:
                continue


_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7", "fe80::/10"),
    )
)


def private(address: str) -> bool:
    """Whether an address is of this host or of a private network: it names nobody outside."""
    found = ipaddress.ip_address(address)
    return any(found in network for network in _PRIVATE)


def numbers(text: str, digits: int) -> Iterator[Found]:
    """Cards, national ids and phone numbers, the strictest first; `digits` is the longest run, separators apart."""
    for kind, needed, pattern, plain in NUMBERS:
        if digits < needed:
            continue
        group = pattern.groupindex.get("value", 0)
        for match in pattern.finditer(text):
            if value := plain(match[group]):
                yield *match.span(group), kind, value
