"""Buckets: our signature is Amazon's, our requests are understood by a server of the field, secrets are not shown."""

import hashlib
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from gnomon_server.errors import GnomonError, InvalidInput, NotFound, Unavailable
from gnomon_server.store.backup.places import FolderPlace, Place, open_place
from gnomon_server.store.backup.s3 import Keys, S3Place, S3Settings, sign

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCESS = "AKIAIOSFODNN7EXAMPLE"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A bucket `backups` on a server of moto's."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/backups", method="PUT"), timeout=30).close()
    yield f"http://{host}:{port}"
    server.stop()


def settings(endpoint: str, secret: str = SECRET) -> S3Settings:
    """Settings with keys."""
    return S3Settings(endpoint=endpoint, access_key=ACCESS, secret_key=secret)


def test_the_signature_is_the_documented_one() -> None:
    """The example of Amazon's page on Signature Version 4: GET of a range of test.txt."""
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}
    empty = hashlib.sha256(b"").hexdigest()
    signed = sign("GET", "/test.txt", "", headers, empty, Keys(ACCESS, SECRET), datetime(2013, 5, 24, tzinfo=UTC))
    assert signed["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


@pytest.mark.parametrize("kind", ["folder", "bucket", "bucket without prefix"])
def test_every_place_keeps_names_and_bytes(kind: str, endpoint: str, tmp_path: Path) -> None:
    """Written, listed with sizes, read, replaced, deleted; also more than one page of a listing holds."""
    where = {"folder": str(tmp_path), "bucket": "s3://backups/a b/c", "bucket without prefix": "s3://backups"}[kind]
    place: Place = open_place(where, settings(endpoint))
    before = set(place.sizes())
    names = {f"20261121T124855.123Z/{number:06}.pack": bytes([number % 256]) * number for number in range(1, 1010)}
    for name, content in list(names.items())[: 1009 if kind == "bucket" else 3]:
        place.write(name, content)
    sizes = {name: size for name, size in place.sizes().items() if name not in before}
    assert sizes == {name: len(names[name]) for name in sizes}
    assert len(sizes) == (1009 if kind == "bucket" else 3)
    first = next(iter(names))
    assert place.read(first) == names[first]
    place.write(first, b"other")
    assert place.read(first) == b"other"
    for name in sizes:
        place.delete(name)
    place.delete(first)
    assert set(place.sizes()) == before
    with pytest.raises(GnomonError) as missing:
        place.read(first)
    assert missing.value.code == "place_unusable"
    place.close()


def test_what_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys, no bucket, no server, no such scheme: each with its reason, none with a secret."""
    with pytest.raises(InvalidInput, match="no keys"):
        S3Place("backups", "", S3Settings(), {})
    with pytest.raises(InvalidInput, match="endpoint"):
        S3Place("backups", "", settings("ftp://x"), {})
    with pytest.raises(NotFound, match="NoSuchBucket"):
        open_place("s3://nowhere", settings(endpoint)).write("a/b", b"")
    monkeypatch.setattr("gnomon_server.store.backup.s3._PAUSES_S", ())
    with pytest.raises(Unavailable) as away:
        open_place("s3://backups", settings("http://127.0.0.1:1")).sizes()
    for text in (str(away.value), repr(settings(endpoint)), repr(Keys(ACCESS, SECRET))):
        assert SECRET not in text
    for where in ("gs://x", "s3://", "file://host/x"):
        with pytest.raises(InvalidInput, match="no place"):
            open_place(where, settings(endpoint))


def test_keys_of_the_environment(endpoint: str) -> None:
    """AWS's own variables are taken where the settings are silent, with the session's token."""
    place = S3Place("backups", "env", S3Settings(), {
        "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": endpoint,
    })  # fmt: skip
    place.write("x/y", b"1")
    assert place.sizes() == {"x/y": 1}
    assert place.keys == Keys(ACCESS, SECRET, "token", "eu-west-1")


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    """Percent-encoded, as URLs are."""
    place = open_place(f"file://{tmp_path}/a%20b", S3Settings())
    assert isinstance(place, FolderPlace)
    assert place.folder == tmp_path / "a b"
