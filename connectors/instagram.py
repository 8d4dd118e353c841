"""Instagram: a professional account's messages and comments, by Instagram Login or by the token of a linked Page.
docs/channels/instagram.md is the page for who sets it up.

https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login (graph.instagram.com) and
https://developers.facebook.com/documentation/business-messaging/instagram-messaging (graph.facebook.com, by the Page).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from connectors import checking, clean
from connectors.base import Finding, Wire
from connectors.graph import api
from connectors.social import model, parts
from connectors.social.connector import Social
from hub.config import Account
from hub.limits import Limits

if TYPE_CHECKING:
    from connectors.social.sending import Desk
    from connectors.social.standing import Place

API = "https://graph.instagram.com"
LOGINS = ("instagram", "page")
_USERNAME = re.compile(r"@?[A-Za-z0-9._]{1,30}")
_FIELDS = (
    "messages", "messaging_postbacks", "messaging_seen", "messaging_referral", "message_reactions", "message_edit",
    "comments", "live_comments", "mentions",
)  # fmt: skip
# Of a Page: that it is subscribed at all lets Instagram's own fields, which the dashboard has, through.
_PAGE_FIELDS = ("messages", "messaging_postbacks", "messaging_referrals", "message_reactions")


def _login(value: Any) -> str:
    return (
        "" if value in LOGINS else "must be instagram (Instagram Login) or page (the token of a linked Page)"
    )


def _username(value: Any) -> str:
    fine = isinstance(value, str) and _USERNAME.fullmatch(value)
    return "" if fine else "must be the account's name on Instagram"


def by_page(account: Account) -> bool:
    return account.settings.get("login") == "page"


class Instagram(Social):
    name = "instagram"
    title = "Instagram"
    urn_scheme = "instagram"
    way = model.INSTAGRAM
    limits = Limits(
        text_chars=4_000,  # 1,000 bytes a message: four messages of plain letters, more of others
        attachments=parts.FILES,
        attachment_bytes=parts.FILE_BYTES,
        media=tuple(parts.INSTAGRAM.types),
        links=True,
        reads=True,
        window_s=parts.DAY_S,
        human_window_s=parts.AGENT_S,
        choices=parts.QUICK_REPLIES,
        choice_chars=parts.TITLE_CHARS,
        public=True,
        private_s=parts.AGENT_S,
        source="https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/messaging-api",
    )
    known: ClassVar[checking.Known] = {
        "account_id": api.digits("the professional account's id"),
        "username": _username,
        "login": _login,
        "page_id": api.digits("the linked Page's id"),
        "human_agent": checking.flag,
        **api.KNOWN,
    }

    def check(self, account: Account) -> list[str]:
        found = super().check(account)
        if "account_id" not in account.settings:
            found.append("account_id is missing: the professional account's id, from the app's dashboard")
        if by_page(account) and "page_id" not in account.settings:
            found.append("page_id is missing: with login: page, messages go out by the linked Page")
        return found

    def own_id(self, account: Account) -> str:
        return str(account.settings.get("account_id") or "")

    def desk(self, account: Account) -> Desk:
        from connectors.social.sending import Desk

        own = self.own_id(account)
        return Desk(
            node=str(account.settings.get("page_id") or "") if by_page(account) else own,
            own=own,
            host=api.API if by_page(account) else API,
            answers="replies",
            measure=parts.INSTAGRAM,
            limits=self.limits,
            marked=False,  # Instagram's echoes have no metadata
            typed=False,
        )

    def place(self, account: Account) -> Place:
        from connectors.social.standing import Place

        if by_page(account):
            return Place(
                node=str(account.settings.get("page_id") or ""),
                host=api.API,
                looks="name,instagram_business_account",
                person=("name", "username"),
                fields=_PAGE_FIELDS,
                perhaps=("message_reactions", "messaging_referrals"),
                scopes=("instagram_manage_messages", "pages_manage_metadata"),
                further=("instagram_manage_comments",),
                debugs=True,
            )
        return Place(
            node="me",
            host=API,
            looks="user_id,username",
            person=("name", "username"),
            fields=_FIELDS,
            perhaps=("message_edit", "live_comments", "mentions"),
            scopes=(),
            further=(),
            debugs=False,
        )

    async def renewed(self, account: Account, wire: Wire, *, ask: bool = True) -> Account:
        from connectors.social import renewing

        return account if by_page(account) else await renewing.with_newest(account, wire, API, ask=ask)

    def is_it(self, said: api.Json, account: Account) -> Finding:
        if by_page(account):
            linked = said.get("instagram_business_account")
            found = str(linked.get("id") or "") if isinstance(linked, dict) else ""
            what = f"the Page is {clean.line(str(said.get('name') or ''), 100)}"
            cure = "Link the professional account to this Page, or correct account_id."
            wrong = (
                "" if found == self.own_id(account) else f"It is linked to {found or 'no account'}. {cure}"
            )
            return Finding(what=what, wrong=wrong)
        found = str(said.get("user_id") or said.get("id") or "")
        what = f"the account is @{clean.line(str(said.get('username') or ''), 60)}"
        wrong = "" if found == self.own_id(account) else f"Its id is {found}: account_id says another."
        return Finding(what=what, wrong=wrong)


CONNECTOR = Instagram()
