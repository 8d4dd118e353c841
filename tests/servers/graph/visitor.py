"""A person on Messenger or Instagram, who does what people do; each method returns what Meta told the app of it.

Messenger: developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events/*.
Instagram: docs/messenger-platform/instagram/features/webhook, docs/instagram-platform/webhooks/examples;
docs/graph-api/webhooks/ reference/page (feed). Where only one of the two has it, the method says so and asserts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.servers.graph import cdn
from tests.servers.graph.door import Told
from tests.servers.graph.errors import Json
from tests.servers.graph.model import Comment

if TYPE_CHECKING:
    from tests.servers.graph.social import Social

_REACTIONS = {
    "❤": "love",
    "😆": "smile",
    "😮": "wow",
    "😢": "sad",
    "😠": "angry",
    "👍": "like",
    "👎": "dislike",
}
AD: Json = {
    "ref": "promo_summer",
    "ad_id": "23843694560100001",
    "source": "ADS",
    "type": "OPEN_THREAD",
    "ads_context_data": {
        "ad_title": "Summer sale",
        "photo_url": "https://scontent.xx.fbcdn.net/v/t45.jpg",
        "post_id": "1",
    },
}
LINK: Json = {"ref": "newsletter", "source": "SHORTLINK", "type": "OPEN_THREAD"}


class Visitor:
    """id: their PSID or IGSID. last_in: when they last wrote, which opens the window. blocks: sends to them fail
    (551). unseen: Messenger shows no profile of theirs (an account made with a phone number)."""

    def __init__(self, account: Social, visitor_id: str, name: str, username: str) -> None:
        self.account, self.id, self.name, self.username = account, visitor_id, name, username
        self.user_ref = f"ref-{visitor_id}"
        self.last_in: float | None = None
        self.blocks = False
        self.unseen = False
        self.said: list[Json] = []
        self._edits: dict[str, int] = {}

    @property
    def node(self) -> Json:
        """As GET /{id} shows them."""
        first, _, last = self.name.partition(" ")
        picture = "https://platform-lookaside.fbsbx.com/platform/profilepic/?psid=1"
        base: Json = {"id": self.id, "name": self.name, "profile_pic": picture}
        if self.account.platform == "instagram":
            return base | {
                "username": self.username,
                "follower_count": 12,
                "is_verified_user": False,
                "is_user_follow_business": True,
                "is_business_follow_user": False,
            }
        return base | {"first_name": first, "last_name": last, "locale": "en_GB", "timezone": 0}

    # --------------------------------------------------------------------------------------------------- writing

    async def says(
        self,
        text: str,
        *,
        quoting: str = "",
        quick_reply: str = "",
        story: str = "",
        referral: Json | None = None,
        standby: bool = False,
        oneself: bool = False,
    ) -> Told:
        """quoting: a mid. quick_reply: the payload of the one that was tapped. story: the id of a story of ours that is
        replied to (Instagram). referral: of an ad (`AD`). standby: another app has the thread. oneself: the account
        writes to itself (Instagram: is_self; who is sender and who recipient then is our reading)."""
        message: Json = {"text": text}
        if quoting:
            message["reply_to"] = {"mid": quoting}
            if self._messenger:
                message["reply_to"]["is_self_reply"] = False
        if story:
            assert not self._messenger
            url = self._url(b"story", "image/jpeg", "story.jpg")
            message["reply_to"] = {"story": {"url": url, "id": story}}
        if quick_reply:
            message["quick_reply"] = {"payload": quick_reply}
        if referral is not None:
            message["referral"] = referral
        if oneself:
            assert not self._messenger
            message |= {"is_self": True, "is_echo": True}
        return await self.message(message, standby=standby)

    async def sends(
        self,
        content: bytes,
        mime: str,
        *,
        kind: str = "",
        filename: str = "",
        quoting: str = "",
        text: str = "",
    ) -> Told:
        """A file; kind: "image", "audio", "video" or "file", by its type where not said."""
        kind = kind or mime.partition("/")[0]
        kind = kind if kind in ("image", "audio", "video") else "file"
        extra: Json = {"reply_to": {"mid": quoting}} if quoting else {}
        return await self.attaches(kind, {"url": self._url(content, mime, filename)}, text=text, **extra)

    async def stickers(self, sticker_id: int = 369239263222822, *, older: bool = False) -> Told:
        """A sticker (Messenger; of type "image" until August 2026); the thumb is 369239263222822."""
        assert self._messenger
        url = self._url(b"\x89PNG\r\n\x1a\nsticker", "image/png", "sticker.png")
        payload = {"url": url, "sticker_id": sticker_id}
        return await self.attaches("image" if older else "sticker", payload)

    async def is_at(self, latitude: float, longitude: float, title: str = "Bo's location") -> Told:
        """A place (Messenger); on older pages only, today a fallback."""
        assert self._messenger
        place = {"coordinates": {"lat": latitude, "long": longitude}}
        url = f"https://www.facebook.com/l.php?u=https://www.bing.com/maps?where1={latitude},{longitude}"
        return await self.message(
            {"attachments": [{"type": "location", "title": title, "url": url, "payload": place}]}
        )

    async def shares(
        self, kind: str = "fallback", title: str = "A page", url: str = "https://example.com/a"
    ) -> Told:
        """kind: "fallback" (a link), "share", "reel", "ig_reel", "post", "ig_post", "template"."""
        payload: Json = {"url": url, "title": title}
        if kind in ("reel", "ig_reel"):
            payload["reel_video_id"] = self.account.graph.ids.number("17")
        if kind == "template":
            payload = {
                "product": {"elements": [{"id": "1", "retailer_id": "r-1", "title": title, "image_url": url}]}
            }
        return await self.attaches(kind, payload)

    async def mentions_in_story(self) -> Told:
        """Names the account in a story of theirs (Instagram)."""
        assert not self._messenger
        return await self.attaches("story_mention", {"url": self._url(b"story", "image/jpeg", "story.jpg")})

    async def vanishes(self) -> Told:
        """A view-once picture (Instagram): no URL."""
        assert not self._messenger
        return await self.message({"attachments": [{"type": "ephemeral"}]})

    async def unsupported(self) -> Told:
        """Something that the API cannot show (Instagram: is_unsupported; Messenger: a fallback without a payload)."""
        if self._messenger:
            return await self.message({"attachments": [{"type": "fallback", "payload": None}]})
        return await self.message({"is_unsupported": True})

    async def attaches(self, kind: str, payload: Json, *, text: str = "", **extra: Any) -> Told:
        """Any attachment, also of a type that is documented nowhere."""
        message = {"text": text} if text else {}
        return await self.message({**message, "attachments": [{"type": kind, "payload": payload}], **extra})

    async def message(self, message: Json, *, standby: bool = False) -> Told:
        """Any message."""
        mid = self.account.new_mid(self)
        self.last_in = self.account.graph.clock.now()
        self.heard(mid, str(message.get("text", "")), self.id)
        return await self._event("messages", {"message": {"mid": mid, **message}}, mid, standby=standby)

    async def edits(self, mid: str, text: str) -> Told:
        """Five times at most. Instagram has message_edit too, by its newer pages."""
        self._edits[mid] = self._edits.get(mid, 0) + 1
        edit = {"mid": mid, "text": text, "num_edit": self._edits[mid]}
        return await self._event("message_edits", {"message_edit": edit}, mid)

    async def unsends(self, mid: str) -> Told:
        """Instagram documents is_deleted; of Messenger it is our reading."""
        return await self._event("messages", {"message": {"mid": mid, "is_deleted": True}}, mid)

    async def reacts(self, emoji: str, mid: str) -> Told:
        """emoji "" takes the reaction back."""
        reaction: Json = {"mid": mid, "action": "react" if emoji else "unreact"}
        if emoji:
            reaction |= {"reaction": _REACTIONS.get(emoji.rstrip("\ufe0f"), "other"), "emoji": emoji}
        return await self._event("message_reactions", {"reaction": reaction}, mid)

    async def presses(
        self, title: str, payload: str, *, referral: Json | None = None, standby: bool = False
    ) -> Told:
        """A postback: a template's button, the persistent menu, Get Started, an ice breaker. In standby, no payload."""
        mid = self.account.new_mid(self)
        self.last_in = self.account.graph.clock.now()
        postback: Json = {"mid": mid, "title": title} | ({} if standby else {"payload": payload})
        if referral is not None:
            postback["referral"] = referral
        return await self._event("messaging_postbacks", {"postback": postback}, mid, standby=standby)

    async def arrives(self, referral: Json | None = None) -> Told:
        """Comes into a thread that exists, by an m.me or ig.me link (`LINK`) or an ad (`AD`)."""
        return await self._event("messaging_referrals", {"referral": referral or LINK})

    async def opts_in(self, payload: str = "weekly", *, stops: bool = False) -> Told:
        """Marketing messages: allowed, or stopped."""
        optin: Json = {
            "type": "notification_messages",
            "payload": payload,
            "notification_messages_token": f"token-{self.id}",
            "notification_messages_timezone": "UTC",
            "token_expiry_timestamp": int(self.account.graph.clock.now() + 270 * 86_400),
            "user_token_status": "NOT_REFRESHED",
            "title": "News",
        }
        if stops:
            optin["notification_messages_status"] = "STOP NOTIFICATIONS"
        return await self._event("messaging_optins", {"optin": optin})

    async def receives(self, *mids: str) -> Told:
        """Our messages arrive (Messenger); none named: the watermark alone."""
        assert self._messenger
        delivery: Json = {"mids": list(mids)} if mids else {}
        delivery["watermark"] = int(self.account.graph.clock.now() * 1_000)
        return await self._event(
            "message_deliveries", {"delivery": delivery}, mids[0] if mids else "", stamped=False
        )

    async def reads(self, mid: str = "") -> Told:
        """Everything up to now (Messenger: a watermark), or up to `mid` (Instagram)."""
        read: Json = (
            {"watermark": int(self.account.graph.clock.now() * 1_000)} if self._messenger else {"mid": mid}
        )
        return await self._event(
            "message_reads" if self._messenger else "messaging_seen", {"read": read}, mid
        )

    async def thread(self, kind: str = "pass_thread_control", metadata: str = "") -> Told:
        """Handover: "pass_thread_control", "take_thread_control", "request_thread_control"."""
        app_id, other = self.account.graph.app_id, "263902037430900"
        value: Json = {"metadata": metadata}
        value |= (
            {"requested_owner_app_id": other}
            if kind == "request_thread_control"
            else {"new_owner_app_id": app_id if kind.startswith("pass") else other}
            | {"previous_owner_app_id": other if kind.startswith("pass") else app_id}
        )
        return await self._event("messaging_handovers", {kind: value})

    # --------------------------------------------------------------------------------------------------- in public

    async def comments(self, text: str, *, post: str = "", below: str = "") -> Told:
        """Below a post of the account, or (below) below a comment; `Told.id` is the comment's id."""
        number = self.account.graph.ids.number("18")
        post = post or (f"{self.account.id}_{number}" if self._messenger else number)
        return await self.account.tell_comment(self._made(text, post, below), "add")

    async def edits_comment(self, comment_id: str, text: str) -> Told:
        """Facebook only."""
        assert self._messenger
        comment = self.account.comments[comment_id]
        comment.text = text
        return await self.account.tell_comment(comment, "edited")

    async def removes_comment(self, comment_id: str) -> Told | None:
        """Instagram says nothing of it."""
        comment = self.account.comments[comment_id]
        comment.removed = True
        return await self.account.tell_comment(comment, "remove") if self._messenger else None

    async def posts(self, text: str, *, verb: str = "add") -> Told:
        """On the Page's wall (Facebook)."""
        assert self._messenger
        post = f"{self.account.id}_{self.account.graph.ids.number('12')}"
        value = {
            "from": {"id": self.id, "name": self.name},
            "item": "post",
            "verb": verb,
            "post_id": post,
            "message": text,
            "created_time": int(self.account.graph.clock.now()),
            "published": 1,
        }
        return await self.account.tell_change(post, "feed", value)

    async def mentions(self, text: str) -> Told:
        """Names the account in public. Instagram tells of the ids alone; Facebook (field mention) of the text too."""
        graph = self.account.graph
        post = graph.ids.number("18")
        comment = self._made(text, post if not self._messenger else f"{graph.ids.number()}_{post}", "")
        if not self._messenger:
            value: Json = {"media_id": post, "comment_id": comment.id}
            return await self.account.tell_change(comment.id, "mentions", value)
        value = {
            "item": "comment",
            "verb": "add",
            "post_id": comment.post,
            "comment_id": comment.id,
            "sender_id": self.id,
            "sender_name": self.name,
            "message": text,
            "created_time": int(graph.clock.now()),
        }
        return await self.account.tell_change(comment.id, "mention", value)

    # ------------------------------------------------------------------------------------------------------ inside

    def heard(self, mid: str, text: str, author: str) -> None:
        """It stands in the conversation, as the Conversations API shows it."""
        stamp = int(self.account.graph.clock.now())
        self.said.append({"id": mid, "created_time": stamp, "from": {"id": author}, "message": text})

    @property
    def _messenger(self) -> bool:
        return self.account.platform == "messenger"

    def _url(self, content: bytes, mime: str, filename: str) -> str:
        media = self.account.keep(content, mime, filename)
        return cdn.social_url(self.account.graph, media, self.account.platform)

    def _made(self, text: str, post: str, below: str) -> Comment:
        shown = self.name if self._messenger else self.username
        return self.account.new_comment(self.id, shown, post, text, parent=below)

    async def _event(
        self, fieldname: str, event: Json, told_id: str = "", *, standby: bool = False, stamped: bool = True
    ) -> Told:
        ids = {"id": self.id}, {"id": self.account.id}
        own = event.get("message", {}).get("is_self", False)
        head: Json = dict(zip(("recipient", "sender") if own else ("sender", "recipient"), ids, strict=True))
        if stamped:
            head["timestamp"] = int(self.account.graph.clock.now() * 1_000)
        return await self.account.tell_messaging(told_id, fieldname, {**head, **event}, standby=standby)
