"""Tokens: what a bearer may do, for which tenants. Secrets are kept as SHA-256 only, and never shown."""

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from gnomon_server.access.tenants import DEFAULT_TENANT, check_tenant
from gnomon_server.errors import GnomonError

_HASHED = re.compile(r"sha256:[0-9a-fA-F]{64}")
# 128 bits in hex or base64 are 22 characters and more; 16 still keeps guessing over a network hopeless.
_MIN_SECRET_LENGTH = 16


class Scope(enum.StrEnum):
    """What a bearer may do. Scopes do not imply one another."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


class TokenSettings(BaseModel):
    """One token as configured."""

    # A mistyped token is still a secret: it must not appear in the complaint about it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=100)
    """Who that is, for logs and audit: `checkout-team`."""
    secret: SecretStr
    """The token itself (at least 16 characters), or `sha256:` and the 64 hex digits of its SHA-256."""
    tenants: tuple[str, ...] = Field(default=(DEFAULT_TENANT,), min_length=1)
    """Which tenants it may name; the first is taken when `X-Scope-OrgID` is absent, unless `default` is among them."""
    scopes: frozenset[Scope] = frozenset({Scope.INGEST, Scope.READ})

    @field_validator("secret")
    @classmethod
    def _strong(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if text.startswith("sha256:"):
            if _HASHED.fullmatch(text) is None:
                raise ValueError("sha256: takes 64 hex digits (printf %s TOKEN | sha256sum)")
        elif len(text) < _MIN_SECRET_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"a token is at least {_MIN_SECRET_LENGTH} printable ASCII characters without spaces")
        return secret

    @field_validator("tenants")
    @classmethod
    def _named(cls, tenants: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(check_tenant(tenant, "tenants") for tenant in tenants)
        except GnomonError as error:
            raise ValueError(error.what) from error


@dataclass(frozen=True)
class Identity:
    """Who asks. `tenants` is None for whom every tenant is open (the anonymous user of a loopback server)."""

    name: str
    tenants: tuple[str, ...] | None
    scopes: frozenset[Scope]


ANONYMOUS = Identity("anonymous", None, ALL_SCOPES)


@dataclass(frozen=True)
class Tokens:
    """The known tokens, as digests.

    Only digests are compared, so that the time of a comparison says nothing about a secret, and all of them are,
    so that it says nothing about which token was meant.
    """

    _entries: tuple[tuple[bytes, Identity], ...] = field(repr=False)

    @classmethod
    def of(cls, settings: Iterable[TokenSettings]) -> "Tokens":
        """The store of these settings."""
        return cls(
            tuple((_digest_of(token.secret), Identity(token.name, token.tenants, token.scopes)) for token in settings)
        )

    def __bool__(self) -> bool:
        return bool(self._entries)

    def find(self, secret: str) -> Identity | None:
        """Whose token that is."""
        digest, found = hashlib.sha256(secret.encode(errors="surrogateescape")).digest(), None
        for known, identity in self._entries:
            if hmac.compare_digest(known, digest):
                found = identity
        return found


def _digest_of(secret: SecretStr) -> bytes:
    text = secret.get_secret_value()
    if text.startswith("sha256:"):
        return bytes.fromhex(text.removeprefix("sha256:"))
    return hashlib.sha256(text.encode()).digest()
