"""A question to a running server's native API, and its refusal as the command's last words."""

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson

from gnomon_server.cli.wire import ask, target_of, trusting

_TIMEOUT_S = 300.0


def client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--api, --token, --ca."""
    for option in (
        click.option("--ca", type=click.Path(path_type=Path), help="PEM authorities of the server's certificate."),
        click.option("--token", envvar="GNOMON_TOKEN", help="Bearer token with the scope admin (also GNOMON_TOKEN)."),
        click.option(
            "--api", default="http://127.0.0.1:4319", envvar="GNOMON_API", show_default=True, help="The server."
        ),
    ):
        command = option(command)
    return command


class Client:
    """The native API of one server."""

    def __init__(self, api: str, token: str | None, ca: Path | None, tenant: str | None = None) -> None:
        try:
            self._server = target_of("http", api, tls=False, port=4319)
        except ValueError as error:
            raise click.BadParameter(f"{api} is no address: {error}", param_hint="--api") from error
        self._context = trusting(ca) if self._server.tls else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if tenant:
            self._headers["X-Scope-OrgID"] = tenant

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The JSON object that is answered; ClickException for a refusal, or when nobody answers."""
        content = None if body is None else orjson.dumps(body)
        headers = {**self._headers, **({} if body is None else {"Content-Type": "application/json"})}
        try:
            answer = ask(self._server, method, f"/api/gnomon/v1{path}", self._context, content, headers, _TIMEOUT_S)
        except (OSError, http.client.HTTPException) as error:
            hint = "start one with `gnomon up`, or ask `gnomon doctor`"
            raise click.ClickException(f"no server answers at {self._server.url}: {error}\n  hint: {hint}") from error
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            letter = answer.letter
            hint = f"\n  hint: {letter.hint}" if letter.hint else ""
            raise click.ClickException(f"{letter.what} [{letter.code}]{hint}")
        return answer.json()
