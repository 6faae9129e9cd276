"""The mask: what it replaces and by what, what may stay, what it counts, and that no text takes long."""

import os
import threading

import pytest

from gnomon.errors import ConfigurationError
from gnomon.privacy.masking import LONGEST, Masker
from gnomon.wire.attributes import KeyValues

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail Jane.Doe+x@Example.com now", "mail <email> now"),
        ("mailto:ann@example.org?x=1", "mailto:<email>?x=1"),
        ("call +34 (600) 123-456.", "call <phone>."),
        ("(212) 555-1234", "<phone>"),
        ("00 34 600 123 456", "00 34 600 123 456"),
        ("0034 600 123 456", "<phone>"),
        ("tel: 600123456", "tel: <phone>"),
        ("hotel 600123456", "hotel 600123456"),
        ("card 4111-1111-1111-1111", "card <card>"),
        ("card 4111-1111-1111-1112", "card 4111-1111-1111-1112"),
        ("gb82west12345698765432", "<iban>"),
        ("GB82 WEST 1234 5698 7654 33", "GB82 WEST 1234 5698 7654 33"),
        ("GB82 WEST 1234", "GB82 WEST 1234"),
        ("ZZ82 1234 5678 9012 3456", "ZZ82 1234 5678 9012 3456"),
        ("ssn 078-05-1120", "ssn <national_id>"),
        ("ssn 666-05-1120", "ssn 666-05-1120"),
        ("RSSMRA85T10A562S", "<national_id>"),
        ("RSSMRA85T10A562T", "RSSMRA85T10A562T"),
        ("ABCDEF12H34X123P", "ABCDEF12H34X123P"),
        ("postgres://app:s3cr3t@db.example.com/x", "postgres://app:<secret>@db.example.com/x"),
        ("GET /login?user=7&password=hunter2&x=1", "GET /login?user=7&password=<secret>&x=1"),
        ('{"password": "two words", "b": 1}', '{"password": "<secret>", "b": 1}'),
        (r'{"body": "{\"secret\": \"two words\"}"}', r'{"body": "{\"secret\": \"<secret>\"}"}'),
        ("{'api_key': 'abc'}", "{'api_key': '<secret>'}"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic <secret>"),
        ('"authorization": "Bearer abc.def"', '"authorization": "Bearer <secret>"'),
        ("Cookie: a=b; c=d", "Cookie: <secret>"),
        ("(b'authorization', b'Bearer abc')", "(b'authorization', b'<secret>')"),
        ("{b'password': b'abc'}", "{b'password': b'<secret>'}"),
        ("mysql --password abc -u root", "mysql --password <secret> -u root"),
        ("tests -- --password", "tests -- --password"),
        ("<password>abc</password>", "<password><secret></password>"),
        ("secret_key_base: abcdef", "secret_key_base: <secret>"),
        ("X-Signature: 9f4ef63a9f4ef63a", "X-Signature: <secret>"),
        ("signature: def f(x)", "signature: def f(x)"),
        ("Tel.: 600123456", "Tel.: <phone>"),
        ("91 123 45 67", "<phone>"),
        ("12345678-z", "<national_id>"),
        ("px123456c or ab123456c", "<national_id> or ab123456c"),
        ("ean 4815806998339", "ean 4815806998339"),
        ("order 1234567 shipped", "order 1234567 shipped"),
        ("p.o'neill@example.org, (søren@bücher.example)", "<email>, (<email>)"),
        ("u'ann@example.org' no-reply+tag=7@example.org", "u'<email>' <email>"),
        ("missing fields 'password', 'email'", "missing fields 'password', 'email'"),
        ("password=a(b)c[d", "password=<secret>"),
        ("Invalid token: expired", "Invalid token: expired"),
        ("using Basic authentication", "using Basic authentication"),
        ("token=AppToken{9f4ef63 x}", "token=AppToken{9f4ef63 x}"),
        ("password=***", "password=***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY----- x", "<token> x"),
        ("to=ann%40example.org&x=%20", "to=<email>&x= "),
        ("100% of %zz", "100% of %zz"),
        ("git clone git@github.com:a/b", "git clone git@github.com:a/b"),
        ("user@1000.service and a@b", "user@1000.service and a@b"),
        ("@@@ =@example.com", "@@@ =@example.com"),
        ("", ""),
        ("\ud800 half a pair, ann@example.org", "\ud800 half a pair, <email>"),
        ("peer 203.0.113.77", "peer 203.0.113.77"),
        ("2029-03-12T04:49:09.29569136Z and 2029-03-12", "2029-03-12T04:49:09.29569136Z and 2029-03-12"),
        ("+33 2012-10-12-34", "<phone>"),
        (
            "GET /orders/de98e52b-8a86-4cb8-a2c5-14a7f5ff68cc 200",
            "GET /orders/de98e52b-8a86-4cb8-a2c5-14a7f5ff68cc 200",
        ),
    ],
)
def test_texts(text: str, shown: str) -> None:
    """What goes is replaced by its kind; what only looks like it stays."""
    masker = Masker()
    assert masker("message", text) == shown
    assert masker("message", text) == shown  # now that the key is known


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "x", "<secret>"),
        ("X-Api-Key", "x", "<secret>"),
        ("http.request.header.authorization", "x", "<secret>"),
        ("dbPassword", "x", "<secret>"),
        ("session.id", "x", "x"),
        ("user.pin", "1234", "<secret>"),
        ("shipping", "1234", "1234"),
        ("gen_ai.usage.output_tokens", "1234", "1234"),
        ("messaging.kafka.message.key", "order-7", "order-7"),
        ("password", "", ""),
        ("password", "<secret>", "<secret>"),
        ("source_ip", "203.0.113.77", "203.0.113.0"),
        ("client.address", "2001:db8:1:2::3", "2001:db8:1::"),
        ("http.request.header.x-forwarded-for", "203.0.113.77, 10.1.2.3", "203.0.113.0, 10.1.2.3"),
        ("net.peer.ip", "172.16.3.4", "172.16.3.4"),
        ("net.peer.ip", "172.32.3.4", "172.32.3.0"),
        ("client.address", "::1", "::1"),
        ("client.address", "fd12::3:4", "fd12::3:4"),
        ("client.address", "fe80::1", "fe80::1"),
        ("client.address", "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("session.token", "x", "<secret>"),
        ("sessionid", "x", "<secret>"),
        ("client.address", "10:11:12 999.1.1.1", "10:11:12 999.1.1.1"),
        ("phone_number", "600123456", "<phone>"),
        ("ssn", "078051120", "<national_id>"),
        ("user_id", "42", "42"),
    ],
)
def test_keys(key: str, value: str, shown: str) -> None:
    """The name of a field says what its value is, however it is written."""
    assert Masker()(key, value) == shown


def test_a_pseudonym_is_the_same_however_the_value_is_written() -> None:
    """So joins survive, between lines and between services that have the same key; another key gives another."""
    masker, other = Masker(KEY), Masker(KEY[::-1])
    cards = {masker("m", text) for text in ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111")}
    mails = {masker("m", text) for text in ("Ann@Example.org", "ann@example.org", "ann%40example.org")}
    phones = {masker("m", text) for text in ("+34600123456", "+34 600 123 456", "0034 600-123-456", "%2B34600123456")}
    assert len(cards) == len(mails) == len(phones) == 1
    assert mails != {other("m", "ann@example.org")}
    assert masker("user_id", "42") == Masker(KEY)("user.id", "42") != masker("user_id", "43")


def test_a_masked_text_is_masked_no_further() -> None:
    """A pseudonym has no digits, so it is neither a number nor, after `token=`, a secret."""
    masker = Masker(KEY)
    for text in ("phone: 600123456", "token=abcdef", "ann@example.org", "4111111111111111"):
        once = masker("message", text)
        assert once != text
        assert masker("message", once) == once
        assert masker("password", "<secret>") == "<secret>"


def test_a_session_is_a_pseudonym_unless_told_otherwise() -> None:
    """As `session.id`; where it is a cookie's value, its key belongs to the secret ones."""
    assert Masker(KEY)("session.id", "s-1").startswith("<id:")
    assert Masker(KEY, secret_keys=["session.id"])("session.id", "s-1") == "<secret>"


def test_a_private_address_stays_also_where_addresses_are_masked() -> None:
    """It names nobody; a public one goes."""
    masker = Masker(policies={"client_ip": "mask"})
    assert masker("client.address", "192.168.1.9") == "192.168.1.9"
    assert masker("client.address", "203.0.113.77") == "<client_ip>"


def test_lists_of_what_may_stay() -> None:
    """A key, a value as it is written, a pattern; and more keys whose values are secret or an id."""
    masker = Masker(
        KEY,
        allowed_keys=["support.contact"],
        allowed_values=["help@example.org", "4111 1111 1111 1111"],
        allowed_patterns=[r".*@example\.net"],
        secret_keys=["fullName"],
        id_keys=["patient"],
    )
    assert masker("support.contact", "ann@example.org") == "ann@example.org"
    assert masker("m", "help@example.org, 4111 1111 1111 1111, x@example.net") == (
        "help@example.org, 4111 1111 1111 1111, x@example.net"
    )
    assert masker("m", "not-help@example.org").startswith("<email:")
    assert masker("full_name", "Ann") == "<secret>"
    assert masker("patient", "7").startswith("<id:")
    assert masker("user_id", "7") == "7"


def test_the_security_category_may_hold_what_others_may_not() -> None:
    """But no secret; both masks count together."""
    masker = Masker(KEY)
    security = masker.keeping("email", "client_ip", "id")
    assert security("source_ip", "203.0.113.77") == "203.0.113.77"
    assert security("user_id", "42") == "42"
    assert security("m", "ann@example.org password=hunter2") == "ann@example.org password=<secret>"
    assert masker("m", "ann@example.org") != "ann@example.org"
    assert (masker.counts["secret"], masker.counts["email"]) == (1, 1)
    with pytest.raises(ConfigurationError, match="never leave"):
        masker.keeping("token")


def test_policies() -> None:
    """Addresses inside texts stay unless told otherwise; national ids may be kept."""
    line = "10.1.2.3 sent 078-05-1120 at 10:11:12"
    assert Masker(policies={"ip": "truncate"})("m", line) == "10.1.2.0 sent <national_id> at 10:11:12"
    assert Masker(policies={"ip": "mask", "national_id": "keep"})("m", line) == "<ip> sent 078-05-1120 at 10:11:12"
    for policies in ({"mail": "mask"}, {"email": "truncate"}, {"ip": "hide"}, {"secret": "keep"}):
        with pytest.raises(ConfigurationError, match="privacy policy"):
            Masker(policies=policies)  # type: ignore[arg-type]


def test_settings_that_cannot_be() -> None:
    """A short key can be guessed; a pattern must compile."""
    with pytest.raises(ConfigurationError, match="4 bytes"):
        Masker(b"1234")
    with pytest.raises(ConfigurationError, match="does not compile"):
        Masker(allowed_patterns=["("])


def test_what_is_too_long_is_cut_where_nothing_is_torn() -> None:
    """What was not looked at does not leave, and a number at the edge goes with it."""
    masker = Masker()
    text = "x, " * ((LONGEST - 12) // 3) + ", 4111111111111111 and more" + "y" * 100
    shown = masker("m", text)
    assert "4111" not in shown
    assert shown.endswith(f"<cut:{len(text)}>")
    assert masker.counts["cut"] == 1
    assert len(masker("m", "z" * 100_000)) < LONGEST


def test_keys_are_remembered_within_bounds() -> None:
    """A host that makes up keys fills no memory."""
    masker = Masker()
    for number in range(10_000):
        masker(f"key.{number}", "text")
    assert len(masker._classes) <= 4096
    assert len(masker._plain) <= 4096
    assert masker("key.1", "ann@example.org") == "<email>"


def test_threads_lose_no_count() -> None:
    """Eight threads mask as one would."""
    masker = Masker(KEY)
    threads = [threading.Thread(target=lambda: [masker("m", "ann@example.org") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert masker.counts["email"] == 16_000


def test_a_forked_child_counts_anew_and_has_the_same_pseudonyms() -> None:
    """What the parent counted the parent reports."""
    masker = Masker(KEY)
    here = masker("m", "ann@example.org")
    child = os.fork()
    if not child:
        there = masker("m", "ann@example.org")
        os._exit(0 if (there, masker.counts["email"]) == (here, 1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert masker.counts["email"] == 1


@pytest.mark.timeout(20)  # what goes back and forth takes minutes; what does not, milliseconds
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "@",
            "a@",
            "a.",
            "1 ",
            "1",
            "4111 ",
            "eyJ",
            "eyJa.",
            "password=",
            '"password":"',
            "://a:",
            "+1-",
            "(0",
            "AB12",
        ),
        *(":", "a:", "-----BEGIN PRIVATE KEY-----", "cookie", "token token ", "%4", "a1b2-", "1.", "Bearer ", " @ a ."),
        *("ssn ", "phone: ", "GB82", "a" * 63 + ".", "XYZ1", "\\\\", "ghp_", "00a00a000a"),
        *("<password>", "--password ", "signature: ", "+a=a", "2A 1", "1(1) "),
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    """The longest text of anything that a pattern could go back and forth in."""
    masker = Masker(policies={"ip": "mask"})
    for size in range(LONGEST - 3, LONGEST):
        assert isinstance(masker("m", (piece * size)[:size]), str)


def test_encoders_take_it() -> None:
    """A masker is the hook of `KeyValues`: nothing of the value is in the bytes."""
    encoded = KeyValues(9, Masker(KEY)).encode({"note": "ann@example.org", "list": ["4111111111111111"]})
    assert b"ann@" not in encoded
    assert b"4111" not in encoded
    assert b"<email:" in encoded
