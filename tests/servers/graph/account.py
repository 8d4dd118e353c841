"""What a WhatsApp Business Account, its number, a Page and an Instagram account have in common, and one call to
them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tests.servers.graph.door import Told
from tests.servers.graph.errors import GraphError, Json, missing
from tests.servers.graph.model import Media, Refused, Sent

if TYPE_CHECKING:
    from tests.servers.graph.server import Graph


@dataclass(frozen=True, kw_only=True)
class File:
    """A part of a multipart body."""

    name: str
    filename: str
    mime: str
    content: bytes


@dataclass(kw_only=True)
class Call:
    """One call, read. node and edge: of the path /{version}/{node}/{edge}; given: parameters of body and query."""

    method: str
    node: str
    edge: str
    version: str
    query: dict[str, str]
    given: Json
    token: str
    files: list[File] = field(default_factory=list)

    @property
    def at(self) -> str:
        return self.edge or "object"

    @property
    def to(self) -> str:
        recipient = self.given.get("recipient", "")
        if isinstance(recipient, dict):
            return str(next(iter(recipient.values()), ""))
        return str(self.given.get("to") or recipient)

    @property
    def fields(self) -> list[str]:
        asked = str(self.query.get("fields") or self.given.get("fields") or "")
        return [one.partition("{")[0] for one in asked.split(",") if one]


class Account:
    """token: what may act for it. fields: the webhook fields to which the app is subscribed; None: all."""

    platform: ClassVar[str]
    object: ClassVar[str]
    scopes: ClassVar[list[str]] = []

    def __init__(self, graph: Graph, account_id: str, token: str = "") -> None:
        self.graph = graph
        self.id = account_id
        self._token = token or f"EAA{secrets.token_urlsafe(48)}"
        self.expired: int | None = None
        self.fields: set[str] | None = None
        self.unsubscribed: list[Json] = []  # entries that were not told, their field not being subscribed
        graph.accounts[account_id] = self

    @property
    def token(self) -> str:
        return self._token

    @token.setter
    def token(self, token: str) -> None:
        self._token = token

    def holds(self, token: str) -> bool:
        """Whether this token may act for the account."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def over(self, token: str) -> int | None:
        """Why this token, which is the account's, is not taken any more: a subcode of 190."""
        return self.expired

    def expire(self, subcode: int = 463) -> None:
        """Every call answers 190 from now on (463: expired, 460: password changed), until `renew`."""
        self.expired = subcode

    def renew(self) -> str:
        self.expired, self.token = None, f"EAA{secrets.token_urlsafe(48)}"
        return self.token

    async def call(self, call: Call) -> Json:
        raise missing(call.node, call.method.lower())

    async def report(self, sent_id: str, status: str, code: int = 0, details: str = "") -> Told | None:
        """Tell of a sent message that it is now `status`."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------------------- inside

    @property
    def told_as(self) -> str:
        """The id under which a URL of its own may stand in `Door.callbacks`."""
        return self.id

    async def tell(self, told_id: str, fieldname: str, entry: Json) -> Told:
        told = Told(id=told_id, object=self.object, account=self.told_as, entry=entry)
        if self.fields is not None and fieldname not in self.fields:
            self.unsubscribed.append(entry)
            return told
        return await self.graph.door.tell(told)

    def picked(self, node: Json, call: Call, default: tuple[str, ...]) -> Json:
        """The fields asked for, id always; raises (#100) for one that does not exist."""
        names = call.fields or list(default)
        for name in names:
            if name not in node:
                raise GraphError(100, message=f"Tried accessing nonexisting field ({name})")
        return {name: node[name] for name in names if node[name] is not None} | {"id": node["id"]}

    def refuse(self, error: GraphError, body: Json, *, later: bool = False) -> None:
        self.graph.refused.append(
            Refused(account=self.id, code=error.code, subcode=error.subcode, body=body, later=later)
        )

    def accept(self, sent: Sent) -> None:
        self.graph.sent.append(sent)
        self.graph.objects[sent.id] = self

    def keep(self, content: bytes, mime: str, filename: str = "", life_s: float | None = None) -> Media:
        """A file at Meta, of this account."""
        media = Media(
            id=self.graph.ids.number(),
            owner=self.id,
            content=content,
            mime=mime,
            at=self.graph.clock.now(),
            filename=filename,
        )
        if life_s is not None:
            media.life_s = life_s
        self.graph.media[media.id] = media
        self.graph.objects[media.id] = self
        return media
