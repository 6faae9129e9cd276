"""The mask: every new text passes here before it is encoded, so what is clean must pass in no time."""

import hashlib
import ipaddress
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal
from urllib.parse import unquote

from gnomon.errors import ConfigurationError
from gnomon.privacy import detectors, errors, numbers
from gnomon.privacy.keys import IDS, Class, classified, snake
from gnomon.privacy.numbers import Found
from gnomon.process.forks import after_fork

Policy = Literal["mask", "truncate", "keep"]
"""`mask`: replaced. `truncate`: an IP address keeps its network (/24, /48). `keep`: passes, and is not counted."""

KINDS: Final = ("email", "phone", "card", "iban", "token", "national_id", "secret", "id", "ip", "client_ip")
_ALWAYS_MASKED: Final = frozenset({"secret", "token", "card"})
_TRUNCATED: Final = frozenset({"ip", "client_ip"})
# Servers log addresses of servers in every second line: inside text they stay. A client's, known by its key, does not.
_DEFAULTS: Final[Mapping[str, Policy]] = {"ip": "keep", "client_ip": "truncate"}

HARMLESS_VALUES: Final = ("git@github.com", "git@gitlab.com", "git@bitbucket.org")
"""They look like addresses of people, and stand in every second build log."""

LONGEST: Final = 16_384
"""Characters that are looked at. What follows is cut off: what was not looked at does not leave."""
_LAST_WORD: Final = 256
_MOST_KEYS: Final = 4096
_SHORTEST_KEY: Final = 16

# Two translations tell the clean texts. In the first, separators are gone, so that six digits however they are
# spaced stand together, and the signs without which there is neither address nor secret are all "!"; in the second
# every letter and digit is "a": a token is a long run of them.
_MARKS: Final = bytes(
    ord("0") if chr(at) in string.digits else ord("!") if chr(at) in "@%=:<\"'" or at > 127 else ord("a")  # noqa: PLR2004 - ASCII
    for at in range(256)
)
_SEPARATORS: Final = b" .-/()+_,\t"
_WORDS: Final = bytes(ord("a") if chr(at) in string.ascii_letters + string.digits else ord(" ") for at in range(256))
_LONG_WORD: Final = "a" * 16
_SIX_DIGITS: Final = "000000"
_ITALIAN: Final = "00a00a000a"  # a codice fiscale, which has no six digits together

# The paths of most requests: words, and numbers that stand alone, which are ids of rows.
_PATH: Final = re.compile(r"(?:/(?:[A-Za-z_.~-]{0,15}[0-9]{0,2}|[0-9]{1,10}))+")
_RUNS: Final = re.compile(r"0+")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
# Days and times, UUIDs, trace ids and digests: most of the digits that services write, and never what we look for.
_HARMLESS: Final = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][ .+-])(?:"
    r"(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|[0-9a-f]{32}(?:[0-9a-f]{8}(?:[0-9a-f]{24})?)?)(?!-?[0-9A-Za-z])"
)
# Hyphens, spaces and nothings of other alphabets, as ASCII.
_LOOK_ALIKES: Final = {
    **dict.fromkeys(range(0x2010, 0x2016), "-"),
    0x2212: "-",
    **dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)),
}
# Hexadecimal digits as letters: a pseudonym without digits is never taken for a number when it is masked again.
_LETTERS: Final = str.maketrans(string.digits, "ghijklmnop")
_MASKED: Final = re.compile(r"<[a-z_]+(?::[a-p]{16})?>")


class Masker:
    """Replaces personal data and secrets in texts: `masker(key, text)` is the text as it may leave the process.

    A value becomes `<email>` or, with a key, `<email:ohbnd...>`: the same value, however it is written, has the same
    pseudonym in every service that has the key, so joins survive. Secrets and tokens never have pseudonyms.

    Args:
        key: at least 16 bytes, the same in all services; empty: no pseudonyms, and ids (`user_id`) stay as they are.
        policies: by kind (`KINDS`); what is not named is masked, but for `ip` (kept) and `client_ip` (truncated).
        allowed_keys: fields whose values are never looked at, in any writing (`X-Api-Key` is `x_api_key`).
        allowed_values: values that stay, exactly as they are written.
        allowed_patterns: regular expressions; a value that one matches entirely stays.
        secret_keys: more fields whose whole value is a secret.
        id_keys: the fields that hold somebody's id.

    Raises:
        ConfigurationError: the key is too short, a kind is unknown, a policy cannot be had, a pattern does not compile.
    """

    __slots__ = (
        "__weakref__",
        "_allowed_keys",
        "_allowed_pattern",
        "_allowed_values",
        "_classes",
        "_id_keys",
        "_key",
        "_plain",
        "_policies",
        "_secret_keys",
        "counts",
    )

    def __init__(
        self,
        key: bytes = b"",
        *,
        policies: Mapping[str, Policy] | None = None,
        allowed_keys: Iterable[str] = (),
        allowed_values: Iterable[str] = HARMLESS_VALUES,
        allowed_patterns: Iterable[str] = (),
        secret_keys: Iterable[str] = (),
        id_keys: Iterable[str] = IDS,
    ) -> None:
        if key and len(key) < _SHORTEST_KEY:
            raise ConfigurationError(
                f"privacy key of {len(key)} bytes", hint=f"Give at least {_SHORTEST_KEY} random bytes, or none"
            )
        self._key = key[:64]
        self._policies: dict[str, Policy] = {**dict.fromkeys(KINDS, "mask"), **_DEFAULTS, **_refused(policies or {})}
        if not key:
            self._policies["id"] = "keep"  # `<id>` for everybody would hide who is who and help nobody
        self._allowed_keys = frozenset(map(snake, allowed_keys))
        self._allowed_values = frozenset(allowed_values)
        self._allowed_pattern = _joined(allowed_patterns)
        self._secret_keys = frozenset(map(snake, secret_keys))
        self._id_keys = frozenset(map(snake, id_keys))
        self._classes: dict[str, Class] = {}
        self._plain: set[str] = set()  # keys whose clean texts are told by a glance
        self.counts: dict[str, int] = dict.fromkeys((*KINDS, "cut", "sql"), 0)
        """How many values of each kind were replaced, texts cut and errors of databases reduced, in this process."""
        after_fork(self._count_anew)

    def keeping(self, *kinds: str) -> "Masker":
        """A masker for records that may hold these kinds in full (the security category); the counts are shared.

        Raises:
            ConfigurationError: the kind is unknown, or is a secret, a token or a card, which no category may hold.
        """
        other = object.__new__(Masker)
        for name in Masker.__slots__[1:]:
            setattr(other, name, getattr(self, name))
        other._policies = {**self._policies, **_refused(dict.fromkeys(kinds, "keep"))}
        other._classes, other._plain = {}, set()
        after_fork(other._count_anew)
        return other

    def __call__(self, key: str, text: str) -> str:
        """The text without personal data and secrets; the text itself when it is clean. Never raises."""
        if key in self._plain and len(text) < LONGEST:
            if text[:1] == "/" and _PATH.fullmatch(text):
                return text
            try:
                raw = text.encode()
            except UnicodeEncodeError:  # half a surrogate pair
                return self._looked_at("plain", text)
            marks = raw.translate(_MARKS, _SEPARATORS).decode()
            if (
                "!" not in marks
                and _ITALIAN not in marks
                and "--" not in text
                and _LONG_WORD not in raw.translate(_WORDS).decode()
                and (_SIX_DIGITS not in marks or not numbers.possible(text))
            ):
                return text
        return self._looked_at(self._classes.get(key) or self._classify(key), text)

    def _classify(self, key: str) -> Class:
        found = classified(key, self._allowed_keys, self._secret_keys, self._id_keys)
        if len(self._classes) >= _MOST_KEYS:
            self._classes.clear()
            self._plain.clear()
        self._classes[key] = found
        if found == "plain" and self._policies["ip"] == "keep":
            self._plain.add(key)
        return found

    def _looked_at(self, named: Class, text: str) -> str:
        if named == "allowed":
            return text
        if len(text) >= LONGEST:
            text = self._cut(text)
        if named in {"secret", "id"}:
            return text if not text or self._allowed(text, named) else self._replacement(named, text)
        if named == "client_ip":
            return self._masked(text, "client_ip")
        if named == "plain":
            return self._masked(text, "ip")
        prefix = f"{named}="  # the name of the field says what digits are, as it would inside a text
        return self._masked(prefix + text, "ip")[len(prefix) :]

    def _masked(self, text: str, address: str) -> str:
        """The text with what is found replaced; a text in escapes comes back without them, if anything is found."""
        if errors.suspected(text) and (reduced := errors.reduced(text)) != text:
            # Straight-line code, as in `_replacement`.
            self.counts["sql"] = self.counts["sql"] + 1
            text = reduced
        written = unquote(text) if "%" in text and _ESCAPE.search(text) else text
        if not written.isascii():
            written = unicodedata.normalize("NFKC", written.translate(_LOOK_ALIKES))
        parts: list[str] = []
        end = 0
        shown = ""
        for start, stop, kind, value in sorted(self._found(written, address), key=_widest_first):
            if self._allowed(written[start:stop], kind):
                continue
            if start >= end:
                parts += shown, written[end:start]
                shown = self._replacement(kind, value)
            end = max(end, stop)  # two that overlap go as one
        return "".join((*parts, shown, written[end:])) if shown else text

    def _found(self, text: str, address: str) -> Iterator[Found]:
        if ("=" in text or ":" in text or "--" in text or "</" in text or "'," in text or '",' in text) and (
            _names_a_secret(text.lower())
        ):
            yield from detectors.secrets(text)
        raw = text.encode("utf-8", "replace")
        if _LONG_WORD in raw.translate(_WORDS).decode():
            yield from detectors.tokens(text)
        if "@" in text:
            yield from detectors.emails(text)
        if self._policies[address] != "keep":
            for start, stop, _, value in detectors.addresses(text):
                yield start, stop, address, value
        marks = raw.translate(_MARKS, _SEPARATORS).decode()
        italian = _ITALIAN in marks
        if italian or _SIX_DIGITS in marks:
            text = _HARMLESS.sub(_blank, text)
            rest = text.encode("utf-8", "replace").translate(_MARKS, _SEPARATORS).decode()
            if italian or (_SIX_DIGITS in rest and numbers.possible(text)):
                yield from numbers.ibans(text)
                yield from numbers.numbers(text, max(map(len, _RUNS.findall(rest)), default=0))

    def _allowed(self, written: str, kind: str) -> bool:
        return (
            self._policies[kind] == "keep"
            or (kind == "client_ip" and detectors.private(written))
            or written in self._allowed_values
            or (self._allowed_pattern is not None and self._allowed_pattern.fullmatch(written) is not None)
            or _MASKED.fullmatch(written) is not None
        )

    def _replacement(self, kind: str, value: str) -> str:
        # Straight-line code: no other thread comes between reading a count and writing it.
        self.counts[kind] = self.counts[kind] + 1
        if kind in _TRUNCATED and self._policies[kind] == "truncate":
            network = ipaddress.ip_network(f"{value}/{48 if ':' in value else 24}", strict=False)
            return str(network.network_address)
        if not self._key or kind in {"secret", "token"}:
            return f"<{kind}>"
        digest = hashlib.blake2b(
            value.encode("utf-8", "replace"), key=self._key, digest_size=8, person=kind.encode()[:16]
        )
        return f"<{kind}:{digest.hexdigest().translate(_LETTERS)}>"

    def _cut(self, text: str) -> str:
        """What is looked at, back to the last gap: half a card number would not be seen for one."""
        self.counts["cut"] = self.counts["cut"] + 1
        start = LONGEST - _LAST_WORD
        tail = text[start:LONGEST]
        gap = max(tail.rfind(sign) for sign in "\n,;")
        return text[: start + max(gap, 0)] + f"<cut:{len(text)}>"

    def _count_anew(self) -> None:
        for kind in self.counts:
            self.counts[kind] = 0


def _names_a_secret(lowered: str) -> bool:
    return (  # written out: a search for any of them takes four times as long
        "pass" in lowered
        or "token" in lowered
        or "secret" in lowered
        or "key" in lowered
        or "://" in lowered
        or "auth" in lowered
        or "cookie" in lowered
        or "pwd" in lowered
        or "cred" in lowered
        or "session" in lowered
        or "sign" in lowered
        or "jwt" in lowered
        or "sid" in lowered
        or "otp" in lowered
        or "pin" in lowered
        or "cv" in lowered
    )


def _blank(match: re.Match[str]) -> str:
    return "x" * (match.end() - match.start())


def _widest_first(found: Found) -> tuple[int, int]:
    return found[0], -found[1]


def _refused(policies: Mapping[str, Policy]) -> Mapping[str, Policy]:
    for kind, policy in policies.items():
        if kind not in KINDS:
            raise ConfigurationError(f"privacy policy for {kind!r}", hint=f"The kinds are {', '.join(KINDS)}")
        if policy not in {"mask", "truncate", "keep"} or (policy == "truncate" and kind not in _TRUNCATED):
            raise ConfigurationError(
                f"privacy policy {policy!r} for {kind!r}", hint="Take mask or keep; truncate is for ip and client_ip"
            )
        if policy == "keep" and kind in _ALWAYS_MASKED:
            raise ConfigurationError(
                f"privacy policy keep for {kind!r}", hint="Secrets, tokens and cards never leave; allow single values"
            )
    return policies


def _joined(patterns: Iterable[str]) -> re.Pattern[str] | None:
    one = [f"(?:{pattern})" for pattern in patterns]
    try:
        return re.compile("|".join(one)) if one else None
    except re.error as error:
        raise ConfigurationError(f"allowed pattern does not compile: {error}") from error
