"""What addresses, tokens and secrets look like in text.

Every pattern takes time linear in the text: repetitions are bounded, or possessive and begun only at a boundary.
"""

import ipaddress
import re
from collections.abc import Iterator

from gnomon.privacy.numbers import Found

_AT_DOMAIN = re.compile(r"@((?:[A-Za-z0-9\u00c0-\u024f-]{1,63}\.){1,8}([A-Za-z]{2,24}))(?![A-Za-z0-9-])")
_SPACED_DOMAIN = re.compile(
    r" ?@ ?((?:[A-Za-z0-9-]{1,63} ?\. ?){1,8}"
    r"(?:com|org|net|edu|gov|io|co|es|fr|de|uk|it|eu|us|info|example|test))(?![A-Za-z0-9-])",
    re.IGNORECASE,
)
_LATIN = "A-Za-z0-9_\u00c0-\u024f"
_LOCAL_TURNED = re.compile(rf"[{_LATIN}+%](?:[{_LATIN}.%+'!#$&*/=?^`{{|}}~-]{{0,62}}[{_LATIN}+%])?")
_LOCAL_CUT = re.compile(r"[=/?&`{|}]|(?<![OoDdLl])'")  # but in O'Neill, D'Arcy and L'Oiseau
_TAG = re.compile(r"\+[\w.-]{1,30}=[\w.-]{1,30}$")
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
                whole = local[0][::-1]
                tag = _TAG.search(whole)
                tagged = tag.start() if tag else len(whole)
                name = _LOCAL_CUT.split(whole[:tagged])[-1] + whole[tagged:]
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
