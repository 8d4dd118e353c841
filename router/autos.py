"""Whether a machine of ours answers: on first contact, or while nobody is there. Pure; the store holds the caps.

Asked only of a person's message to an account that has such a reply. What was written long before we read it (an
import, an outage) is not answered: it would tell people about a night that is over.
"""

from __future__ import annotations

from datetime import timedelta

from crm_store.batch_plan import AutoReply, Conversation, Identity, Plan
from hub.clock import to_us
from hub.config import Account, AutoWhen, CannedReply
from hub.model import MessageReceived
from router.calendars import open_now
from router.setting import Setting

_FRESH = timedelta(hours=12)


class Autos:
    """The automatic answers of one batch."""

    def __init__(self, setting: Setting, plan: Plan) -> None:
        self.setting, self.plan = setting, plan
        self.replies = setting.config.auto_replies
        self.any = bool(self.replies)
        self.hours: dict[str, bool] = {}

    def consider(
        self,
        event: MessageReceived,
        account: Account,
        identity: Identity,
        conversation: Conversation,
        *,
        opened: bool,
    ) -> None:
        """The first reply of the file that fits is the one."""
        if event.sent_at is not None and self.setting.now - event.sent_at > _FRESH:
            return
        if "dmarc=fail" in event.proof:  # whoever wrote it, it was not who would get the answer
            return
        for reply in self.replies:
            if self.fits(reply, account, identity, conversation, opened=opened):
                self.plan.autos.append(
                    AutoReply(
                        key=reply.key,
                        text=reply.text,
                        account=account.key,
                        urn=event.sender,
                        conversation_id=conversation.id,
                        identity_id=identity.id,
                        in_reply_to=event.external_id,
                    )
                )
                return

    def fits(
        self,
        reply: CannedReply,
        account: Account,
        identity: Identity,
        conversation: Conversation,
        *,
        opened: bool,
    ) -> bool:
        auto = reply.auto
        if auto is None or account.key not in auto.accounts:
            return False
        if reply.queues and conversation.queue not in reply.queues:
            return False
        if auto.when is AutoWhen.OUT_OF_HOURS:
            return not self.is_open(auto.calendar)
        return opened and to_us(self.setting.now) <= identity.customer_created

    def is_open(self, calendar: str) -> bool:
        known = self.hours.get(calendar)
        if known is None:
            known = self.hours[calendar] = open_now(self.setting.config.calendars[calendar], self.setting.now)
        return known
