"""Questions to a server's Prometheus API."""

import http.client
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import click
import orjson

from gnomon_server.cli.client import Client
from gnomon_server.cli.promql.answer import Answer, read
from gnomon_server.cli.wire import ask
from gnomon_server.query.syntax.spot import show
from gnomon_server.selfmon.events import printable

_FORM = "application/x-www-form-urlencoded"
_TIMEOUT_S = 300.0
_PLACE = re.compile(r"(\d{1,6}):(\d{1,6}): parse error")
_WORD = re.compile(r"[\w:.]+")


class Prometheus(Client):
    """The Prometheus API of one server; any server that has this API will do."""

    def query(self, text: str, path: str, parameters: Mapping[str, str]) -> Answer:
        """Of `query` or `query_range`; ClickException for a refusal, with the place in `text` underlined."""
        status, body = self._sent("POST", f"/{path}", {"query": text, **parameters})
        tree = _tree(body)
        if status != http.HTTPStatus.OK or tree.get("status") != "success":
            raise click.ClickException(refusal(text, _said(tree, status, body)))
        try:
            return read(tree, body)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise click.ClickException(f"{self._server.url} answers otherwise than Prometheus' API does") from error

    def label_values(self, label: str, selector: str = "", limit: int = 0) -> list[str]:
        """The values of a label, of series that `selector` matches; none where that cannot be asked."""
        parameters = {"match[]": selector} if selector else {}
        if limit:
            parameters["limit"] = str(limit)
        path = f"/label/{quote(_escaped(label), safe='')}/values?{urlencode(parameters)}"
        status, body = self._sent("GET", path, None)
        found = _tree(body).get("data") if status == http.HTTPStatus.OK else None
        return [str(value) for value in found] if isinstance(found, list) else []

    def _sent(self, method: str, path: str, form: Mapping[str, str] | None) -> tuple[int, bytes]:
        body = None if form is None else urlencode(form, errors="replace").encode()
        headers = self._headers if form is None else {**self._headers, "Content-Type": _FORM}
        try:
            answer = ask(self._server, method, f"/api/v1{path}", self._context, body, headers, _TIMEOUT_S)
        except (OSError, http.client.HTTPException) as error:
            hint = "start one with `gnomon up`, or ask `gnomon doctor`"
            raise click.ClickException(f"no server answers at {self._server.url}: {error}\n  hint: {hint}") from error
        return answer.status, answer.body


def refusal(text: str, said: str) -> str:
    """What a server said of the query `text`, and under it the line with the place underlined, where it names one."""
    place = _PLACE.search(said)
    if not place or int(place[1]) > text.count("\n") + 1:
        return said
    before = sum(len(line) + 1 for line in text.split("\n")[: int(place[1]) - 1])
    start = min(before + int(place[2]) - 1, len(text))
    word = _WORD.match(text, start)
    spot = show(text, start, word.end() if word else start + 1)
    return said + "".join(f"\n{printable(line)}" for line in spot.split("\n")[1:])


def _said(tree: Mapping[str, Any], status: int, body: bytes) -> str:
    error = tree.get("error")
    if isinstance(error, dict):  # a refusal of ours, from before the request reached the API
        lines = [str(error.get("what", "")), *(f"  hint: {hint}" for hint in [error.get("hint")] if hint)]
        return "\n".join(printable(line) for line in lines)
    if isinstance(error, str):
        return f"{printable(error)} [{printable(str(tree.get('errorType', status)))}]"
    return f"HTTP status {status}: {printable(body[:400].decode('utf-8', 'replace'))}"


def _tree(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _escaped(label: str) -> str:
    """A label's name as it may stand in a path. Source: prometheus/common model/metric.go, `ValueEncodingEscaping`."""
    if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label) and not label.startswith("U__"):
        return label
    return "U__" + "".join(_escaped_letter(letter) for letter in label)


def _escaped_letter(letter: str) -> str:
    if letter == "_":
        return "__"
    return letter if letter.isascii() and letter.isalnum() else f"_{ord(letter):x}_"
