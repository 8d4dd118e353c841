"""Being a customer from this terminal, over the console channel and the real edge."""

from __future__ import annotations

import json
import secrets
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import click

from hub.errors import MainstemError, NotFound, Refused, Unavailable
from mainstem.commands import shared

if TYPE_CHECKING:
    from hub.config import Account

_BLOCK_MS = 1000


class Line:
    """One console account as one customer: posts to the edge, reads the customer's own stream."""

    def __init__(self, account_key: str | None, sender: str, name: str) -> None:
        self.account = console_account(account_key)
        self.sender = sender
        self.name = name
        self.url = f"{_edge()}/in/{self.account.key}"

    def say(self, text: str) -> None:
        self._post(
            {
                "kind": "message",
                "id": secrets.token_hex(12),
                "from": self.sender,
                "name": self.name,
                "text": text,
            }
        )

    def shown(self, seqs: list[int]) -> None:
        """Tell the hub that the terminal has shown these: the agent's tick."""
        self._post({"kind": "receipt", "from": self.sender, "seqs": seqs, "status": "read"})

    def _post(self, said: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            self.url,
            data=json.dumps(said).encode(),
            headers={
                "Authorization": f"Bearer {self.account.secrets['token'][0]}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                told = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise Refused(
                f"the edge answered {error.code}: {error.read(300).decode(errors='replace')}"
            ) from None
        except OSError as error:
            why = getattr(error, "reason", error)
            why = getattr(why, "strerror", None) or why
            raise Unavailable(
                f"no web process answers at {_edge()} ({why}): start `mainstem up`, or set PORT"
            ) from None
        if "note" in told:
            raise Refused(str(told["note"]))


def console_account(key: str | None) -> Account:
    """The console account named, or the only one. Raises NotFound with what there is."""
    import os

    from connectors import accounts
    from hub.secrets import load_key

    with shared.store() as opened:
        resolved, troubles = accounts.resolve(shared.config(opened), os.environ, load_key(shared.settings()))
    consoles = sorted(name for name in resolved if name.startswith("console/"))
    if key is None and consoles:
        return resolved[consoles[0]]
    if key in consoles:
        return resolved[str(key)]
    if key in troubles:
        raise Unavailable(f"{key} does not work: {troubles[str(key)]}")
    there = (
        f"there {'is' if len(consoles) == 1 else 'are'} {', '.join(consoles)}"
        if consoles
        else "config/channels.yaml has none"
    )
    raise NotFound(f"no console account {key!r}; {there}" if key else f"no console account: {there}")


def _edge() -> str:
    settings = shared.settings()
    return f"http://{settings.near_host}:{settings.port}"


_account = click.option("--account", metavar="KEY", help="The console account, if there are several.")
_sender = click.option(
    "--from", "sender", default="terminal", show_default=True, help="Which customer you are."
)
_name = click.option("--name", default="", help="Your name, as agents see it.")


@click.command()
@click.argument("text")
@_sender
@_name
@_account
def say(text: str, sender: str, name: str, account: str | None) -> None:
    """Write one message as a customer. TEXT "-" reads it from standard input."""
    words = sys.stdin.read() if text == "-" else text
    if not words.strip():
        raise click.UsageError("TEXT is empty", click.get_current_context())
    line = Line(account, sender, name)
    line.say(words)
    click.secho(f"Accepted on {line.account.key}. Answers: mainstem chat --from {sender}", dim=True)


@click.command()
@_sender
@_name
@_account
@click.option(
    "--wait", default=0.0, metavar="SECONDS", help="After the end of the input, wait so long for answers."
)
def chat(sender: str, name: str, account: str | None, wait: float) -> None:
    """Be a customer: what you type goes in, answers appear as agents send them. Ctrl-D ends it."""
    line = Line(account, sender, name)
    stop = threading.Event()
    with shared.redis_client() as client:
        reader = threading.Thread(target=_show, args=(line, client, stop), daemon=True)
        reader.start()
        if sys.stdin.isatty():
            click.secho(f"You are {sender} on {line.account.key}. Type, Enter sends, Ctrl-D ends.", dim=True)
        try:
            for typed in sys.stdin:
                if typed.strip():
                    line.say(typed.rstrip("\n"))
            stop.wait(wait)
        finally:
            stop.set()
            reader.join(_BLOCK_MS / 1000 + 1)


def _show(line: Line, client: Any, stop: threading.Event) -> None:
    """Print what is in the customer's stream, then everything new; tell the hub what was shown."""
    import redis

    from connectors import visitor

    name = visitor.key(line.account.key, line.sender)
    after = "0"
    shown: dict[int, int] = {}
    while not stop.is_set():
        try:
            found = client.xread({name: after}, block=_BLOCK_MS)
        except redis.RedisError:
            stop.wait(1.0)
            continue
        entries = found[0][1] if found else []
        new = []
        for at, message in visitor.lines(entries):
            after = at
            if message.change <= shown.get(message.seq, -1):
                continue
            if message.seq not in shown:
                new.append(message.seq)
            shown[message.seq] = message.change
            who = click.style(message.by or "Agent", fg="green", bold=True)
            if message.gone:
                click.echo(f"{who} took a message back.")
            else:
                click.echo(f"{who}{' (changed)' if message.change else ''}: {_safe(message.text)}")
        if new:
            try:
                line.shown(new)
            except MainstemError as error:
                click.secho(str(error), err=True, dim=True)


def _safe(text: str) -> str:
    """Without control characters: what others wrote must not drive this terminal."""
    return "".join(c for c in text if c in "\n\t" or c.isprintable())
