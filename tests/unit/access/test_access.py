"""Tokens, tenants, grants, and where a server may listen."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gnomon_server.access.authenticator import Authenticator
from gnomon_server.access.bind import check_bind, is_loopback
from gnomon_server.access.tenants import check_tenant
from gnomon_server.access.tokens import ALL_SCOPES, Scope, Tokens, TokenSettings
from gnomon_server.errors import Forbidden, InvalidInput, Unauthenticated

CHECKOUT, OPS = "checkout-secret-0123456789", "ops-secret-0123456789abcdef"
TOKENS = Tokens.of(
    [
        TokenSettings(name="checkout", secret=CHECKOUT, tenants=("shop", "lab")),
        TokenSettings(
            name="ops",
            secret="sha256:" + hashlib.sha256(OPS.encode()).hexdigest(),
            tenants=("shop", "default"),
            scopes=frozenset({Scope.ADMIN}),
        ),
    ]
)


def bearer(token: str, tenant: str = "") -> dict[str, str]:
    """A token as `Authorization: Bearer`."""
    return {"authorization": f"Bearer {token}", **({"x-scope-orgid": tenant} if tenant else {})}


def basic(user: str, password: str) -> dict[str, str]:
    """A token as the password of Basic."""
    return {"authorization": "basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "name", "tenant"),
    [
        (bearer(CHECKOUT), "checkout", "shop"),
        (bearer(CHECKOUT, "lab"), "checkout", "lab"),
        (basic("anyone", CHECKOUT), "checkout", "shop"),
        (basic("", CHECKOUT), "checkout", "shop"),
        (bearer(OPS), "ops", "default"),
        (bearer(OPS, "_gnomon"), "ops", "_gnomon"),
    ],
)
def test_a_token_opens_its_tenants(headers: dict[str, str], name: str, tenant: str) -> None:
    """Bearer or Basic, plain or hashed; the header chooses, else `default` if it is among them, else the first."""
    grant = Authenticator(TOKENS).authenticate(headers)
    assert (grant.identity.name, grant.tenant) == (name, tenant)


@pytest.mark.parametrize("tenant", ["other", "default", "_gnomon", "SHOP"])
def test_another_tenant_is_forbidden(tenant: str) -> None:
    """403, and `_gnomon` needs the scope admin."""
    with pytest.raises(Forbidden) as refusal:
        Authenticator(TOKENS).authenticate(bearer(CHECKOUT, tenant))
    assert refusal.value.code == "tenant_forbidden"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "token_missing"),
        ({"authorization": ""}, "token_missing"),
        ({"authorization": "Bearer "}, "token_missing"),
        ({"authorization": f"Digest {CHECKOUT}"}, "token_missing"),
        ({"authorization": "Basic !!!"}, "token_missing"),
        (basic(CHECKOUT, ""), "token_missing"),
        (bearer("wrong"), "token_unknown"),
        (bearer(CHECKOUT + "x"), "token_unknown"),
        (bearer("\udcff"), "token_unknown"),
        # The hash is what is stored, not what opens.
        (bearer("sha256:" + hashlib.sha256(OPS.encode()).hexdigest()), "token_unknown"),
    ],
)
def test_without_a_known_token_nobody_enters(headers: dict[str, str], code: str) -> None:
    """401, with the reason."""
    with pytest.raises(Unauthenticated) as refusal:
        Authenticator(TOKENS).authenticate(headers)
    assert refusal.value.code == code


@given(st.text(max_size=80))
def test_any_authorization_header_ends_in_a_named_refusal(header: str) -> None:
    """No header value raises anything else."""
    with pytest.raises(Unauthenticated):
        Authenticator(TOKENS).authenticate({"authorization": header})


def test_scopes_are_demanded_by_name() -> None:
    """A scope that the token lacks is 403, and no scope implies another."""
    ops = Authenticator(TOKENS).authenticate(bearer(OPS))
    ops.require(Scope.ADMIN)
    with pytest.raises(Forbidden, match="lacks the scope 'ingest'"):
        ops.require(Scope.INGEST)


def test_without_tokens_everybody_may_everything() -> None:
    """The loopback server: every tenant by its header, all scopes."""
    authenticator = Authenticator(Tokens.of([]))
    assert authenticator.authenticate({}).tenant == "default"
    assert authenticator.authenticate({"x-scope-orgid": "_gnomon"}).tenant == "_gnomon"
    assert authenticator.authenticate({"x-scope-orgid": "any"}).scopes == ALL_SCOPES


@pytest.mark.parametrize("name", ["a", "team-1", "A.b_c*'()!", "x" * 150])
def test_tenant_names_follow_mimir(name: str) -> None:
    """The characters and the length that Mimir takes."""
    assert check_tenant(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 151, "a b", "a/b", "a|b", "ä", "a\n", "a\0", "a;DROP"])
def test_other_tenant_names_are_refused(name: str) -> None:
    """Nothing that could be a path, a list or a statement."""
    with pytest.raises(InvalidInput):
        check_tenant(name)


@pytest.mark.parametrize("secret", ["tooshort", "x" * 15, "with a space in it", "sha256:abc", "ümlaut-ümlaut-ümlaut"])
def test_weak_or_malformed_secrets_are_refused_without_being_shown(secret: str) -> None:
    """A mistake in the configuration must not put the token into the log."""
    with pytest.raises(ValidationError) as refusal:
        TokenSettings(name="a", secret=secret)
    assert "input_value" not in str(refusal.value)
    assert secret not in str(refusal.value)


def test_secrets_are_not_in_reprs() -> None:
    """Neither in the settings' nor in the store's."""
    settings = TokenSettings(name="checkout", secret=CHECKOUT)
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(TOKENS), str(TOKENS)):
        assert CHECKOUT not in shown
        assert hashlib.sha256(CHECKOUT.encode()).hexdigest() not in shown


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"]
)
def test_loopback_needs_no_token(host: str) -> None:
    """Names and addresses that only this machine reaches."""
    assert is_loopback(host)
    assert check_bind((host, 4318), Tokens.of([]), tls=False) is None


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "gnomon.example", "127.0.0.1.example", "localhost.example"]
)
def test_anything_else_demands_a_token_and_warns_without_tls(host: str) -> None:
    """Refused without a token, a warning in the clear, silent with both."""
    with pytest.raises(Forbidden) as refusal:
        check_bind((host, 4318), Tokens.of([]), tls=True)
    assert refusal.value.code == "bind_needs_token"
    assert refusal.value.hint
    assert "no TLS" in check_bind((host, 4318), TOKENS, tls=False)
    assert check_bind((host, 4318), TOKENS, tls=True) is None
