"""What the name of a field says of its value: secret, somebody's id, a client's address, a number to look at closer."""

import re
from collections.abc import Iterable
from typing import Literal

Class = Literal["plain", "allowed", "secret", "id", "client_ip", "phone", "ssn"]

_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_SECRET = re.compile(
    r"(?:passw(?:or)?d|passphrase|passcode|pwd|secret|credentials?|authorization|jwt|(?:^|_)(?:cookie|token|signature|pass|sid|otp|pin|cvv|cvc)"
    r"|(?:api|access|private|secret|encryption|account|auth)_?key|session_?(?:id|key|token))$"
)
_CLIENT = re.compile(
    r"^(?:client_address|client_ip|source_ip|src_ip|remote_(?:addr|ip)|peer_ip|ip_address|source_address|user_ip"
    r"|net_(?:sock_)?peer_(?:ip|addr)|network_peer_address|.*x_forwarded_for|.*x_real_ip)$"
)
_PHONE = re.compile(r"(?:^|_)(?:phone|mobile|telephone|tel|cell|fax|msisdn|whatsapp)(?:_(?:number|num|no))?$")
_SSN = re.compile(r"(?:^|_)(?:ssn|social_security(?:_number)?)$")
IDS = frozenset({"user_id", "userid", "enduser_id", "customer_id", "session_id"})
"""Keys that hold somebody's id. `session.id` is OpenTelemetry's, made up for telemetry: nobody gets in with it. What is
like it and a cookie (`sessionid`, `user_session_id`, `session.token`) is a secret."""


def snake(key: str) -> str:
    """`X-Api-Key`, `apiKey` and `api.key` as one name."""
    return _WORDS.sub("_", key).lower().strip("_")


def classified(key: str, allowed: Iterable[str], secret: Iterable[str], ids: Iterable[str]) -> Class:
    """What this key's values are; the lists hold keys in `snake` writing and go before what the name says."""
    name = snake(key)
    if name in allowed:
        return "allowed"
    if name in secret:
        return "secret"
    if name in ids:
        return "id"
    patterns: tuple[tuple[Class, re.Pattern[str]], ...] = (
        ("secret", _SECRET),
        ("client_ip", _CLIENT),
        ("phone", _PHONE),
        ("ssn", _SSN),
    )
    return next((found for found, pattern in patterns if pattern.search(name)), "plain")
