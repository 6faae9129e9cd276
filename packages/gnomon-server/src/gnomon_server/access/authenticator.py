"""From a request's headers to a grant: who asks, for which tenant, with which scopes."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from gnomon_server.access.tenants import DEFAULT_TENANT, OWN_TENANT, check_tenant
from gnomon_server.access.tokens import ANONYMOUS, Identity, Scope, Tokens
from gnomon_server.errors import Forbidden, Unauthenticated


@dataclass(frozen=True)
class Grant:
    """What this request may do: `scopes`, in `tenant` only."""

    tenant: str
    identity: Identity

    @property
    def scopes(self) -> frozenset[Scope]:
        """The bearer's scopes."""
        return self.identity.scopes

    def require(self, scope: Scope) -> None:
        """Raise `Forbidden` (`scope_missing`) unless the grant has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(
                "scope_missing",
                f"token {self.identity.name!r} lacks the scope {scope.value!r}",
                where="header Authorization",
                hint=f"its scopes are: {', '.join(sorted(self.scopes)) or 'none'}",
            )


class Authenticator:
    """Judges requests by their headers.

    Without tokens everybody is anonymous, with all scopes in all tenants; `check_bind` keeps such a server on loopback.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def authenticate(self, headers: Mapping[str, str]) -> Grant:
        """The grant of a request.

        Args:
            headers: HTTP headers or gRPC metadata, names in lower case.

        Raises:
            Unauthenticated: `token_missing` or `token_unknown`.
            Forbidden: `tenant_forbidden`, the token is not for that tenant (or not `admin`, for `_gnomon`).
            InvalidInput: `tenant_invalid`.
        """
        identity = self._identify(headers.get("authorization", "")) if self._tokens else ANONYMOUS
        return Grant(_choose_tenant(identity, headers.get("x-scope-orgid", "").strip()), identity)

    def _identify(self, authorization: str) -> Identity:
        secret = _secret_of(authorization)
        if not secret:
            raise Unauthenticated(
                "token_missing",
                "this server asks for a token",
                where="header Authorization",
                hint="send Authorization: Bearer TOKEN, or Basic with the token as password",
            )
        identity = self._tokens.find(secret)
        if identity is None:
            raise Unauthenticated("token_unknown", "this token is not known here", where="header Authorization")
        return identity


def _secret_of(authorization: str) -> str:
    """The token in an `Authorization` header; empty when there is none that we understand."""
    scheme, _, credentials = authorization.strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() == "basic":
        try:
            user_and_password = base64.b64decode(credentials, validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return ""
        return user_and_password.partition(":")[2]
    return ""


def _choose_tenant(identity: Identity, asked: str) -> str:
    if not asked:
        open_to = identity.tenants
        return DEFAULT_TENANT if open_to is None or DEFAULT_TENANT in open_to else open_to[0]
    tenant = check_tenant(asked)
    if tenant == OWN_TENANT:
        # The server's own telemetry belongs to whoever administers it, whatever tenants the token lists.
        allowed = Scope.ADMIN in identity.scopes
    else:
        allowed = identity.tenants is None or tenant in identity.tenants
    if not allowed:
        raise Forbidden(
            "tenant_forbidden", f"token {identity.name!r} is not for tenant {tenant!r}", where="header X-Scope-OrgID"
        )
    return tenant
