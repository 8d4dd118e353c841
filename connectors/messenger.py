"""Messenger: a Facebook Page's messages and comments. docs/channels/messenger.md is the page for who sets it up.

https://developers.facebook.com/documentation/business-messaging/messenger-platform
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from connectors import checking, clean
from connectors.base import Finding
from connectors.graph import api
from connectors.social import model, parts
from connectors.social.connector import Social
from hub.config import Account
from hub.limits import Limits

if TYPE_CHECKING:
    from connectors.social.sending import Desk
    from connectors.social.standing import Place

_FIELDS = (
    "messages", "messaging_postbacks", "messaging_optins", "messaging_referrals", "message_deliveries",
    "message_reads", "message_reactions", "message_edits", "message_echoes", "feed", "mention",
)  # fmt: skip


class Messenger(Social):
    name = "messenger"
    title = "Messenger"
    urn_scheme = "messenger"
    way = model.MESSENGER
    limits = Limits(
        text_chars=4 * parts.MESSENGER.text,
        attachments=parts.FILES,
        attachment_bytes=parts.FILE_BYTES,
        links=True,
        reads=True,
        window_s=parts.DAY_S,
        human_window_s=parts.AGENT_S,
        choices=parts.QUICK_REPLIES,
        choice_chars=parts.TITLE_CHARS,
        public=True,
        private_s=parts.AGENT_S,
        source="https://developers.facebook.com/documentation/business-messaging/messenger-platform/reference/send-api",
    )
    known: ClassVar[checking.Known] = {
        "page_id": api.digits("the Page's id"),
        "human_agent": checking.flag,
        **api.KNOWN,
    }

    def check(self, account: Account) -> list[str]:
        found = super().check(account)
        if "page_id" not in account.settings:
            found.append("page_id is missing: the Page's id, from its About page or the app's dashboard")
        return found

    def own_id(self, account: Account) -> str:
        return str(account.settings.get("page_id") or "")

    def desk(self, account: Account) -> Desk:
        from connectors.social.sending import Desk

        page = self.own_id(account)
        return Desk(
            node=page,
            own=page,
            host=api.API,
            answers="comments",
            measure=parts.MESSENGER,
            limits=self.limits,
            marked=True,
            typed=True,
        )

    def place(self, account: Account) -> Place:
        from connectors.social.standing import Place

        return Place(
            node=self.own_id(account),
            host=api.API,
            looks="name",
            person=("name", "first_name"),
            fields=_FIELDS,
            perhaps=("message_edits", "mention"),
            scopes=("pages_messaging", "pages_manage_metadata"),
            further=("pages_read_user_content", "pages_manage_engagement"),
            debugs=True,
        )

    def is_it(self, said: api.Json, account: Account) -> Finding:
        return Finding(what=f"the Page is {clean.line(str(said.get('name') or ''), 100) or 'nameless'}")


CONNECTOR = Messenger()
