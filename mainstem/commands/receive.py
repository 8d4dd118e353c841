"""Being the server behind a webhook account, to see what goes out: for a try, and for those who build the real one."""

from __future__ import annotations

import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, ClassVar

import click

from hub.errors import Forged, NotFound
from mainstem.commands import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

_BODY_BYTES = 16 * 1024 * 1024  # attachments together, in base64, with room to spare


@click.command()
@click.argument("account", default="webhook/main")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="0: any free one."
)
def receive(account: str, port: int) -> None:
    """Listen on 127.0.0.1, check and print what goes out over ACCOUNT, and answer as its server should.

    Set `url: http://127.0.0.1:9000` for the account, and MAINSTEM_ALLOW_PRIVATE_TARGETS=true for the hub: replies go to
    private addresses only where that is allowed. The same reply twice is answered 409 and printed once.
    """
    from connectors import accounts
    from hub.secrets import load_key

    with shared.store() as opened:
        config = shared.config(opened)
    resolved, troubles = accounts.resolve(config, os.environ, load_key(shared.settings()))
    found = resolved.get(account)
    if found is None or "signing" not in found.secrets:
        raise NotFound(troubles.get(account) or f"{account} is no webhook account that can work")

    with listen(port, found.secrets["signing"]) as server:
        click.echo(f"Listening for {account} on http://127.0.0.1:{server.server_port} · Ctrl-C stops it")
        server.serve_forever()


def listen(port: int, secrets: Sequence[str]) -> HTTPServer:
    """The server, listening; `secrets` are those that are valid now."""
    return HTTPServer(("127.0.0.1", port), type("Bound", (_Handler,), {"secrets": secrets, "known": set()}))


class _Handler(BaseHTTPRequestHandler):
    secrets: ClassVar[Sequence[str]]
    known: ClassVar[set[str]]

    def do_POST(self) -> None:
        from connectors import signing

        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _BODY_BYTES))
        try:
            signing.check(self.headers.get(signing.HEADER), self.secrets, body, time.time())
        except Forged as error:
            click.secho(f"refused: {error}", fg="red")
            return self._answer(401)
        key = self.headers.get("Idempotency-Key", "")
        if key in self.known:
            return self._answer(409)
        self.known.add(key)
        try:
            said = json.loads(body)
        except ValueError:
            return self._answer(400)
        click.echo(f"{click.style('signed', fg='green')}  {said.get('to')}  {said.get('text')!r}")
        return self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: what matters is printed above."""
