"""A bucket of any S3-compatible store: PUT, GET, list, delete, signed with Signature Version 4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. Addresses are path-style
(`endpoint/bucket/key`), which all of them serve. Bodies are signed, so what arrives is what was sent.
"""

import hashlib
import hmac
import http.client
import os
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from gnomon_server.errors import GnomonError, InvalidInput, NotFound, Unavailable

_TIMEOUT_S = 60.0
_PAUSES_S = (0.5, 2.0, 5.0)
_RETRIED = {408, 429, 500, 502, 503, 504}
_NOT_FOUND = 404
_REFUSED = {401, 403}
_ENTRY = re.compile(r"<Contents>.*?<Key>(.*?)</Key>.*?<Size>(\d+)</Size>.*?</Contents>", re.DOTALL)
_NEXT = re.compile(r"<NextContinuationToken>(.*?)</NextContinuationToken>")
_CODE = re.compile(rb"<Code>([\w.]{1,60})</Code>")


class S3Settings(BaseModel):
    """How `s3://bucket/prefix` is reached. Empty: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ... are taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    endpoint: str = ""
    """The store's address (`https://minio.example.com:9000`); AWS's own for the region when there is none."""
    region: str = ""
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")


@dataclass(frozen=True, slots=True)
class Keys:
    """Who asks; `token` is that of a session, `region` goes into the signature."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    region: str = "us-east-1"


class S3Place:
    """See store.backup.places.Place. One connection, for one thread at a time."""

    def __init__(
        self, bucket: str, prefix: str, settings: S3Settings, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.keys = Keys(
            settings.access_key or environment.get("AWS_ACCESS_KEY_ID", ""),
            settings.secret_key.get_secret_value() or environment.get("AWS_SECRET_ACCESS_KEY", ""),
            "" if settings.access_key else environment.get("AWS_SESSION_TOKEN", ""),
            settings.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
        )
        if not self.keys.access or not self.keys.secret:
            hint = "backup.s3.access_key and backup.s3.secret_key_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise InvalidInput("place_without_keys", "there are no keys for the bucket", f"s3://{bucket}", hint)
        given = settings.endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        endpoint = urlsplit(given or f"https://s3.{self.keys.region}.amazonaws.com")
        if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
            raise InvalidInput("config_invalid", "the endpoint is not http(s)://host", "backup.s3.endpoint")
        self._endpoint, self._host = endpoint, endpoint.netloc.rpartition("@")[2]
        self._root = f"{endpoint.path.rstrip('/')}/{quote(bucket, safe='')}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._connection: http.client.HTTPConnection | None = None

    def write(self, name: str, content: bytes) -> None:
        """See Place: an object is there when the answer is, whole."""
        self._ask("PUT", self._key(name), body=content)

    def read(self, name: str) -> bytes:
        """See Place."""
        return self._ask("GET", self._key(name))

    def sizes(self) -> dict[str, int]:
        """See Place."""
        found: dict[str, int] = {}
        query = {"list-type": "2", "prefix": self._prefix}
        while True:
            text = self._ask("GET", self._root, query).decode("utf-8", "replace")
            found |= {unescape(key).removeprefix(self._prefix): int(size) for key, size in _ENTRY.findall(text)}
            following = _NEXT.search(text)
            if following is None:
                return found
            query["continuation-token"] = unescape(following[1])

    def delete(self, name: str) -> None:
        """See Place."""
        self._ask("DELETE", self._key(name))

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _key(self, name: str) -> str:
        return f"{self._root}/{quote(self._prefix + name, safe='/-_.~')}"

    def _ask(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """One request, tried again while the store is busy or away."""
        asked = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted((query or {}).items()))
        error: GnomonError | None = None
        for pause_s in (0.0, *_PAUSES_S):
            time.sleep(pause_s)
            payload = hashlib.sha256(body).hexdigest()
            signed = sign(method, path, asked, {"host": self._host}, payload, self.keys, datetime.now(UTC))
            try:
                status, answer = self._send(method, f"{path}?{asked}" if asked else path, body, signed)
            except (OSError, http.client.HTTPException) as failure:
                self.close()
                error = self._away(f"it does not answer: {type(failure).__name__}")
                continue
            if status < 300:  # noqa: PLR2004  (2xx)
                return answer
            error = self._refusal(status, answer, path)
            if status not in _RETRIED:
                break
        assert error is not None  # noqa: S101  (the loop has run)
        raise error

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            host, port = self._endpoint.hostname or "", self._endpoint.port
            self._connection = (
                http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
                if self._endpoint.scheme == "https"
                else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
            )
        self._connection.request(method, path, body, dict(headers))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _refusal(self, status: int, answer: bytes, path: str) -> GnomonError:
        code = _CODE.search(answer)
        told = code[1].decode() if code else f"status {status}"
        if status == _NOT_FOUND:
            return NotFound("place_unusable", f"the bucket has no such thing: {told}", f"{self._host}{path}")
        hint = "mend the keys, their rights, or the region" if status in _REFUSED else ""
        return self._away(f"it refuses: {told}", hint)

    def _away(self, what: str, hint: str = "") -> Unavailable:
        return Unavailable("place_unusable", what, where=f"{self._host}{self._root}", hint=hint)


def sign(
    method: str, path: str, query: str, headers: Mapping[str, str], payload: str, keys: Keys, now: datetime
) -> dict[str, str]:
    """The headers with those that sign them: names in lower case, `path` and `query` encoded, `payload` a SHA-256."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    every = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": payload}
    if keys.token:
        every["x-amz-security-token"] = keys.token
    names = ";".join(sorted(every))
    lines = "".join(f"{name}:{every[name].strip()}\n" for name in sorted(every))
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"
    scope = f"{stamp[:8]}/{keys.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys.secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope},SignedHeaders={names},Signature={signature}"
    return {**every, "authorization": credential}
