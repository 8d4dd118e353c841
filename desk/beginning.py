"""What agents do before a customer has written: begin a conversation with an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from crm_store import beginning, conversations
from crm_store.beginning import Place
from crm_store.carried import NOTHING, Carried
from crm_store.schema import identities
from crm_store.threads import MAIL
from desk import contents, replying, ways, windows
from desk.base import Base
from desk.replying import Order, ReplyResult, Terms, Then
from desk.rights import Rights
from desk.windows import Standing
from hub import urn as urns
from hub.config import Account, Config, ConversationPolicy
from hub.configrouting import NORMAL
from hub.errors import Conflict, Refused
from hub.limits import Limits
from hub.model import Attachment
from router.choose import Option

_NAME_CHARS = 200
_SUBJECT_CHARS = 300
_NO_CONVERSATION = 0  # there is none yet
_NEVER = Standing(limited=True)  # nobody has written from there
_NOT_LATELY = "free text goes only where they have written lately; an approved text can go"


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """The conversation, and its first reply, which can be undone as any other."""

    conversation_id: int
    number: int
    reply: ReplyResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """An account that can write first. template: only an approved text goes to who has not written there lately."""

    account: Account
    template: bool = False


class Beginning(Base):
    """The part of Actions that writes first."""

    def begin(
        self,
        agent: str,
        queue: str,
        account: str,
        to_urn: str,
        text: str,
        *,
        idem_key: str,
        name: str = "",
        subject: str = "",
        attachments: Sequence[Attachment] = (),
        then: Then = "leave",
        carries: Carried = NOTHING,
    ) -> Begun:
        """Write to somebody who did not ask: a new conversation, the agent's at once, in one of their queues.

        to_urn: a number or mail address as people type it, or an address that has written to this account. What holds
        for every reply holds here: consent, reach, trouble, window, size; Refused says which, and nothing is written,
        no customer either. carries: a template in place of the text, which goes where there is a window too; answers to
        tap. name: of a customer nobody knows yet. Raises Conflict, with its number, where they have an
        open conversation: a reply belongs there. The same `idem_key` again gives the first result.
        """
        rights = self._rights(agent)
        rights.of_queue(queue)
        if queue not in rights.config.queues:
            raise Refused(f"There is no queue {queue[:40]!r}.")
        from_account = _account(rights, account)
        urn = written_as(to_urn)
        order = Order(
            conversation_id=_NO_CONVERSATION,
            text=contents.checked_text(text, contents.TEXT_CHARS),
            idem_key=idem_key,
            account=from_account.key,
            to=urn,
            attachments=tuple(attachments),
            seen_inbound=None,
            then=then,
            disposition=None,
            carries=carries,
        )
        terms = Terms(limits=self._limits, schemes=self._schemes, undo_s=self._undo_s, now=self._clock())
        names = (_clean(name, _NAME_CHARS), _clean(subject, _SUBJECT_CHARS))
        begun = self._store.run(lambda tx: self._begin(tx, rights, terms, order, from_account, queue, *names))
        if begun.reply.new:
            self._sent(begun.conversation_id, queue, begun.reply.delivery_id)
        return begun

    def senders(self, agent: str) -> tuple[Sender, ...]:
        """The accounts from which a conversation can be begun with a number or a mail address; those that take only an
        approved text are there where there is such a text."""
        config = self._rights(agent).config
        return tuple(
            Sender(account=account, template=limits.window_s is not None)
            for account in config.accounts.values()
            if account.enabled
            and self._schemes.get(account.connector) in urns.PUBLIC
            and (limits := self._limits.get(account.connector)) is not None
            and not limits.lacks(account.settings)
            and (limits.window_s is None or (limits.templates and _has_approved(config, account)))
        )

    def ways(self, agent: str, brand: str, addresses: Sequence[str]) -> tuple[Option, ...]:
        """Every way to write first to one of these addresses (URNs) of one brand's customer; those where only an
        approved text goes (`template`) are the last."""
        able = [one for one in self.senders(agent) if one.account.brand == brand]
        able.sort(
            key=lambda one: one.account.connector != MAIL
        )  # a form's answers go to the company's server first
        pairs = [
            (one, urn)
            for urn in addresses
            for one in able
            if self._schemes.get(one.account.connector) == urns.scheme(urn)
        ]
        stands: dict[tuple[str, str], Standing] = {}
        if shut := [(one.account, urn) for one, urn in pairs if one.template]:
            with self._store.read() as tx:
                stands = _standings(tx, brand, shut, self._limits)
        now = self._clock()
        found = [_way(one, urn, stands.get((one.account.key, urn), _NEVER), now) for one, urn in pairs]
        return tuple(sorted(found, key=lambda way: way.template))

    def _begin(
        self,
        tx: Connection,
        rights: Rights,
        terms: Terms,
        order: Order,
        account: Account,
        queue: str,
        name: str,
        subject: str,
    ) -> Begun:
        assert order.to is not None
        ids, config = self._store.ids, rights.config
        row = beginning.address(tx, ids, account.brand, order.to, name=name, by=rights.by, now=terms.now)
        home = _home(account, row)
        if (before := _before(tx, home, rights, terms, order)) is not None:
            return before
        priority = config.default.priority or NORMAL  # as the rules give what they say nothing of
        place = Place(
            brand=account.brand,
            account=account.key,
            identity_id=int(row.id),
            customer_id=int(row.customer_id),
            home=home,
            queue=queue,
            priority=priority,
            head_start_s=config.priorities.get(priority, 0.0),
            subject=subject,
        )
        made = beginning.begin(tx, ids, place, rights.agent.key, now=terms.now)
        if made is None:  # at this very moment: by the same press twice, or by the customer
            if (before := _before(tx, home, rights, terms, order)) is not None:
                return before
            raise Conflict("The customer has another open conversation by now; go on there.")
        reply = replying.write(tx, ids, rights, terms, replace(order, conversation_id=made))
        return Begun(conversation_id=made, number=conversations.get(tx, made).number, reply=reply)


def _has_approved(config: Config, account: Account) -> bool:
    return any(ways.approved_for(reply, account.key) for reply in config.replies.values())


def _standings(
    tx: Connection, brand: str, shut: Sequence[tuple[Account, str]], limits: Mapping[str, Limits]
) -> dict[tuple[str, str], Standing]:
    """(account, address) -> its window; of addresses that are known."""
    i = identities.c
    wanted = {urn for _, urn in shut}
    ids = {
        row.urn: row.id
        for row in tx.execute(select(i.id, i.urn).where(i.brand_id == brand, i.urn.in_(wanted)))
    }
    known = [(account, urn) for account, urn in shut if urn in ids]
    found = windows.standings(tx, _NO_CONVERSATION, [(ids[urn], account) for account, urn in known], limits)
    return {(account.key, urn): found.get((ids[urn], account.key), windows.ALWAYS) for account, urn in known}


def _way(sender: Sender, urn: str, stands: Standing, now: datetime) -> Option:
    only = sender.template and not stands.open(now)
    return Option(
        account=sender.account.key,
        urn=urn,
        title=sender.account.title,
        speaks_for=(),
        blocked_by=(_NOT_LATELY,) if only else (),
        window_until=stands.until,
        template=only,
    )


def written_as(address: str) -> str:
    """The one spelling of what somebody typed. Raises Refused."""
    typed = address.strip()
    guess = typed if ":" in typed else f"mailto:{typed}" if "@" in typed else f"tel:{typed}"
    try:
        return urns.normalise(guess)
    except ValueError:
        raise Refused(f"{typed[:80]!r} is no address: write +15551234567 or ann@example.com.") from None


def _account(rights: Rights, key: str) -> Account:
    account = rights.config.accounts.get(key)
    if account is None or not account.enabled:
        raise Refused(f"There is no account {key[:80]!r} to send from.")
    return account


def _home(account: Account, identity: Row[Any]) -> str:
    """Where the owner's answer looks for its conversation (router/places.py); a thread's name is not known yet."""
    if account.policy is ConversationPolicy.CUSTOMER:
        return f"c:{identity.customer_id}"
    return f"a:{account.key}:{identity.id}"


def _before(tx: Connection, home: str, rights: Rights, terms: Terms, order: Order) -> Begun | None:
    """What the same key began before. Raises Conflict where another open conversation stands there."""
    rows = beginning.lately(tx, home)
    for row in rows:
        known = replying.made_before(tx, replying.idem_key(row.id, rights.agent.key, order.idem_key))
        if known is not None:
            return Begun(conversation_id=row.id, number=row.number, reply=known)
    if (open_one := next((row for row in rows if row.slot is not None), None)) is not None:
        raise Conflict(f"They have an open conversation already, #{open_one.number}; go on there.")
    return None


def _clean(text: str, at_most: int) -> str:
    return " ".join(contents.checked_text(text[: 4 * at_most], 4 * at_most).split())[:at_most]
