"""Messenger and Instagram: a Page, an Instagram professional account, and what they answer.

Messenger: docs/messenger-platform/reference/send-api, /reference/attachment-upload-api, /discovery/private-replies;
comments: docs/graph-api/reference/object/comments. Instagram: docs/instagram-platform (Instagram Login: an
Instagram user token, `me` or the account's id, on graph.instagram.com, which is this server too),
.../private-replies, .../comment-moderation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.servers.graph import public, social_send
from tests.servers.graph.account import Account, Call
from tests.servers.graph.door import Told
from tests.servers.graph.errors import GraphError, Json, missing
from tests.servers.graph.model import AGENT_WINDOW_S, WINDOW_S, Comment, Mark, Sent
from tests.servers.graph.rates import PRIVATE_BURST, PRIVATE_PER_S, SOCIAL_MEDIA_PER_S, SOCIAL_PER_S
from tests.servers.graph.social_send import Message
from tests.servers.graph.tokens import REFRESH, Tokens
from tests.servers.graph.visitor import Visitor

if TYPE_CHECKING:
    from tests.servers.graph.server import Graph

# Instagram's names of webhook fields, where they are not Messenger's.
_SINGULAR = {
    "message_edits": "message_edit",
    "messaging_referrals": "messaging_referral",
    "messaging_handovers": "messaging_handover",
}
PAGE_INBOX = "263902037430900"  # the app id of Meta's own inbox, in echoes of what people write there


class Social(Account):
    """visitors: by PSID or IGSID. comments, posts: of it, by id. echoes: whether message_echoes come (Instagram:
    always). human_agent, profiles: whether the app has that permission (Human Agent; Business Asset User Profile
    Access)."""

    scopes: ClassVar[list[str]] = ["pages_messaging", "pages_manage_metadata", "pages_manage_engagement"]

    def __init__(self, graph: Graph, name: str, account_id: str, token: str) -> None:
        super().__init__(graph, account_id, token)
        self.name = name
        self.visitors: dict[str, Visitor] = {}
        self.comments: dict[str, Comment] = {}
        self.attachments: dict[str, str] = {}  # attachment_id -> kind
        self.mids: dict[str, str] = {}  # mid -> the visitor's id
        self.echoes = True
        self.human_agent = True
        self.profiles = True

    def visitor(self, name: str = "Bo Lind", *, username: str = "") -> Visitor:
        """Who may write to it."""
        made = Visitor(self, self.graph.ids.number("24"), name, username or name.lower().replace(" ", "."))
        self.visitors[made.id] = made
        self.graph.objects[made.id] = self
        return made

    # --------------------------------------------------------------------------------------------------- the API

    async def call(self, call: Call) -> Json:
        if call.node in self.comments:
            return await public.asked(self, call, self.comments[call.node])
        if call.node in self.visitors and call.method == "GET" and not call.edge:
            return self._profile(self.visitors[call.node], call)
        if call.node not in ("me", self.id, *self._others()):
            raise missing(call.node, call.method.lower())
        match (call.method, call.edge):
            case ("GET", ""):
                return self.picked(self.node, call, ("name",))
            case ("POST", "messages"):
                return await self._messages(call)
            case ("POST", "message_attachments"):
                return self._upload(call)
            case ("GET", "subscribed_apps"):
                names = sorted(self.fields) if self.fields is not None else ["messages", "feed"]
                app: Json = {"id": self.graph.app_id, "name": "Mainstem", "link": "https://www.example.com/"}
                return {"data": [app | {"subscribed_fields": names}] if names else []}
            case ("POST", "subscribed_apps"):
                asked = call.given.get("subscribed_fields", [])
                self.fields = set(asked if isinstance(asked, list) else str(asked).split(",")) - {""}
                return {"success": True}
            case ("DELETE", "subscribed_apps"):
                self.fields = set()
                return {"success": True}
            case ("GET", "conversations"):
                return self._conversations(call)
            case ("POST", "mentions") if self.platform == "instagram":
                return await public.mentioned(self, call)
        raise missing(call.node, call.method.lower())

    def _profile(self, visitor: Visitor, call: Call) -> Json:
        """.../messenger-platform/identity/user-profile and .../instagram-login/messaging-api/user-profile: "A person
        sets user consent only when they send a message"; its code is not documented, and is 230 in practice. Meta shows
        nothing of who has blocked us."""
        if not self.profiles:
            raise GraphError(10, message="Application does not have permission for this action")
        if visitor.unseen or visitor.blocks:
            raise GraphError(100, subcode=2018218, message="No profile available for this user.")
        if self.platform == "instagram" and visitor.last_in is None:
            raise GraphError(230, status=400, message="User consent is required to access user profile")
        return self.picked(visitor.node, call, ("name",))

    def _others(self) -> tuple[str, ...]:
        """Nodes besides its own id at which it is reached."""
        return ()

    @property
    def node(self) -> Json:
        return {"id": self.id, "name": self.name}

    def _upload(self, call: Call) -> Json:
        message = call.given.get("message")
        attachment = message.get("attachment") if isinstance(message, dict) else None
        given = {
            "recipient": {"id": "0"},
            "messaging_type": "UPDATE",
            "message": {"attachment": attachment or {}},
        }
        checked = social_send.check(self.platform, given, call.files)
        if checked.kind not in social_send.FILES:
            raise GraphError(100, subcode=2018047)
        return {"attachment_id": self._attachment(checked.kind)}

    def _attachment(self, kind: str) -> str:
        made = self.graph.ids.number("18")
        self.attachments[made] = kind
        return made

    async def _messages(self, call: Call) -> Json:
        message = social_send.check(self.platform, call.given, call.files)
        if message.by == "comment_id":
            return await self._private_reply(call, message)
        visitor = self.visitors.get(message.to) or next(
            (
                one
                for one in self.visitors.values()
                if message.by == "user_ref" and one.user_ref == message.to
            ),
            None,
        )
        if visitor is None:
            raise GraphError(100, subcode=2018001 if self.platform == "messenger" else 2534014)
        if message.kind in social_send.ACTIONS:
            of = message.media or visitor.id
            self.graph.marks.append(Mark(account=self.id, kind=message.kind, of=of))
            return {"recipient_id": visitor.id}
        self._rates(message)
        if visitor.blocks:
            raise GraphError(551, subcode=1545041)
        if message.reply_to and self.mids.get(message.reply_to) != visitor.id:
            raise GraphError(100, message="Invalid reply_to message id")
        if (
            message.media.isdigit()
            and message.kind in social_send.FILES
            and message.media not in self.attachments
        ):
            raise GraphError(100, message="Invalid attachment_id")
        self._window(visitor, message)
        return await self._sent(call, message, visitor)

    def _window(self, visitor: Visitor, message: Message) -> None:
        last, now = visitor.last_in, self.graph.clock.now()
        if message.tag and not self.human_agent:
            raise GraphError(10, message="Application does not have permission for this action")
        most = AGENT_WINDOW_S if message.tag else WINDOW_S
        if message.by != "user_ref" and (last is None or now > last + most):
            raise GraphError(10, subcode=2534022 if self.platform == "instagram" else 2018278)

    def _rates(self, message: Message) -> None:
        heavy = message.kind in ("audio", "video")
        per_s = SOCIAL_MEDIA_PER_S if heavy else SOCIAL_PER_S
        if not self.graph.rates.take(("send", self.id, str(heavy)), per_s, per_s):
            raise GraphError(613)

    async def _sent(self, call: Call, message: Message, visitor: Visitor) -> Json:
        mid = self.new_mid(visitor)
        self.accept(
            Sent(
                id=mid,
                account=self.id,
                platform=self.platform,
                to=message.to,
                user=visitor.id,
                kind=message.kind,
                text=message.text,
                body=call.given,
                at=self.graph.clock.now(),
                reply_to=message.reply_to,
                opaque=message.metadata,
                media=message.media or (message.file.filename if message.file else ""),
            )
        )
        if self.echoes:
            self.graph.door.later(self._echo(visitor, mid, message))
        await self.graph.reports.follow(self, mid)
        said: Json = {"message_id": mid}
        if message.by != "user_ref":
            said = {"recipient_id": visitor.id, **said}
        if message.reusable:
            said["attachment_id"] = self._attachment(message.kind)
        return said

    async def _echo(self, visitor: Visitor, mid: str, message: Message) -> Told:
        echo: Json = {"mid": mid}
        if message.kind == "text":
            echo["text"] = message.text
        else:
            echo["attachments"] = [{"type": message.kind, "payload": {"url": message.media}}]
        if message.reply_to:
            echo["reply_to"] = {"mid": message.reply_to}
        if message.metadata and self.platform == "messenger":
            echo["metadata"] = message.metadata
        return await self.echo(visitor, echo, self.graph.app_id)

    async def _private_reply(self, call: Call, message: Message) -> Json:
        comment = self.comments.get(message.to)
        if comment is None or comment.removed or comment.ours:
            raise missing(message.to, "post")
        if comment.private_reply:
            raise GraphError(10900)
        if self.graph.clock.now() > comment.at + AGENT_WINDOW_S:
            raise GraphError(10903)
        if not self.graph.rates.take(("private", self.id), PRIVATE_PER_S, PRIVATE_BURST):
            raise GraphError(613)
        said = await self._sent(call, message, self.visitors[comment.author])
        comment.private_reply = said["message_id"]
        return said

    def _conversations(self, call: Call) -> Json:
        """docs/messenger-platform/conversations: what was said, newest first; filled from what was sent and told
        here."""
        wanted = str(call.given.get("user_id") or call.query.get("user_id", ""))
        found = []
        for one in self.visitors.values():
            messages = list(reversed(one.said))
            if messages and wanted in ("", one.id):
                participants = {
                    "data": [{"id": one.id, "name": one.name}, {"id": self.id, "name": self.name}]
                }
                found.append(
                    {"id": f"t_{one.id}", "participants": participants, "messages": {"data": messages}}
                )
        return {"data": found}

    # ------------------------------------------------------------------------------------------------- for visitors

    def new_mid(self, visitor: Visitor) -> str:
        mid = self.graph.ids.igmid() if self.platform == "instagram" else self.graph.ids.mid()
        self.mids[mid] = visitor.id
        return mid

    def new_comment(
        self, author: str, name: str, post: str, text: str, *, parent: str = "", ours: bool = False
    ) -> Comment:
        number = self.graph.ids.number("17")
        made = Comment(
            id=number if self.platform == "instagram" else f"{post.rpartition('_')[2]}_{number}",
            account=self.id,
            author=author,
            name=name,
            post=post,
            text=text,
            at=self.graph.clock.now(),
            parent=parent,
            ours=ours,
        )
        self.comments[made.id] = made
        self.graph.objects[made.id] = self
        return made

    async def tell_comment(self, comment: Comment, verb: str) -> Told:
        raise NotImplementedError

    async def tell_change(self, told_id: str, fieldname: str, value: Json) -> Told:
        now = int(self.graph.clock.now())
        return await self.tell(
            told_id,
            fieldname,
            {"id": self.id, "time": now, "changes": [{"field": fieldname, "value": value}]},
        )

    async def tell_messaging(
        self, told_id: str, fieldname: str, event: Json, *, standby: bool = False
    ) -> Told:
        if self.platform == "instagram":
            fieldname = _SINGULAR.get(fieldname, fieldname)
        entry: Json = {"time": int(self.graph.clock.now() * 1_000), "id": self.id}
        entry["standby" if standby else "messaging"] = [event]
        return await self.tell(told_id, fieldname, entry)

    async def echo(self, visitor: Visitor, message: Json, app_id: str = "") -> Told:
        """A message that stands on our side of the conversation, by whichever app, or by a person in Meta's inbox."""
        message = {**message, "is_echo": True}
        if self.platform == "messenger" and app_id:
            message["app_id"] = int(app_id)
        event = {
            "sender": {"id": self.id},
            "recipient": {"id": visitor.id},
            "timestamp": int(self.graph.clock.now() * 1_000),
            "message": message,
        }
        fieldname = "message_echoes" if self.platform == "messenger" else "messages"
        return await self.tell_messaging(str(message["mid"]), fieldname, event)

    async def writes(self, visitor: Visitor, text: str, *, app_id: str = PAGE_INBOX) -> Told:
        """A person answers in Meta's inbox, or another app (`app_id`) does: an echo that is not of ours."""
        mid = self.new_mid(visitor)
        visitor.heard(mid, text, self.id)
        return await self.echo(visitor, {"mid": mid, "text": text}, app_id)

    async def report(self, sent_id: str, status: str, code: int = 0, details: str = "") -> Told | None:
        visitor = self.visitors[self.mids[sent_id]]
        if status == "delivered" and self.platform == "messenger":
            return await visitor.receives(sent_id)
        return await visitor.reads(sent_id) if status == "read" else None


class Page(Social):
    """A Facebook Page."""

    platform: ClassVar[str] = "messenger"
    object: ClassVar[str] = "page"

    def __init__(self, graph: Graph, name: str, page_id: str = "", token: str = "") -> None:
        super().__init__(graph, name, page_id or graph.ids.number(), token)

    @property
    def node(self) -> Json:
        linked = next(
            (one for one in self.graph.accounts.values() if getattr(one, "page", None) is self), None
        )
        account = {"id": linked.id} if linked else None
        return {"id": self.id, "name": self.name, "instagram_business_account": account, "category": "Shop"}

    async def call(self, call: Call) -> Json:
        """A message to an IGSID goes out by the linked Instagram account, as with Facebook Login."""
        if (
            call.edge == "messages"
            and call.to
            and call.to not in self.visitors
            and call.to not in self.comments
        ):
            for one in self.graph.accounts.values():
                if (
                    isinstance(one, Instagram)
                    and one.page is self
                    and (call.to in one.visitors or call.to in one.comments)
                ):
                    return await one.call(call)
        return await super().call(call)

    async def tell_comment(self, comment: Comment, verb: str) -> Told:
        value: Json = {
            "from": {"id": comment.author, "name": comment.name},
            "item": "comment",
            "verb": verb,
            "comment_id": comment.id,
            "post_id": comment.post,
            "parent_id": comment.parent or comment.post,
            "created_time": int(comment.at),
            "message": comment.text,
            "post": {"status_type": "added_photos", "is_published": True, "id": comment.post},
        }
        if verb == "remove":
            del value["message"]
        return await self.tell_change(comment.id, "feed", value)


class Instagram(Social):
    """An Instagram professional account. page: the Page that it is linked to, whose token acts for it too."""

    platform: ClassVar[str] = "instagram"
    object: ClassVar[str] = "instagram"
    scopes: ClassVar[list[str]] = ["instagram_business_basic", "instagram_business_manage_messages"]

    def __init__(
        self, graph: Graph, username: str, page: Page | None = None, account_id: str = "", token: str = ""
    ) -> None:
        super().__init__(graph, username, account_id or graph.ids.number("1784"), token)
        self.page = page
        self.tokens = Tokens(self)

    def holds(self, token: str) -> bool:
        own = super().holds(token) or self.tokens.has(token)
        return own or (self.page is not None and self.page.holds(token))

    def over(self, token: str) -> int | None:
        return self.expired or self.tokens.over(token)

    async def call(self, call: Call) -> Json:
        return self.tokens.refresh(call) if call.node == REFRESH else await super().call(call)

    def _others(self) -> tuple[str, ...]:
        return (self.page.id,) if self.page else ()

    @property
    def node(self) -> Json:
        return {
            "id": self.id,
            "user_id": self.id,
            "username": self.name,
            "name": self.name,
            "account_type": "BUSINESS",
            "profile_picture_url": "https://scontent.cdninstagram.com/v/t51.jpg",
        }

    async def tell_comment(self, comment: Comment, verb: str) -> Told:
        """Instagram tells of new comments only: no edit, no removal."""
        value: Json = {
            "from": {"id": comment.author, "username": comment.name},
            "media": {"id": comment.post, "media_product_type": "FEED"},
            "id": comment.id,
            "text": comment.text,
        }
        if comment.parent:
            value["parent_id"] = comment.parent
        return await self.tell_change(comment.id, "comments", value)
