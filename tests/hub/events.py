"""Events for these tests, and the store's side of the journal as a plain set."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hub.errors import Unavailable
from hub.inlet import ProducerReport
from hub.model import MessageReceived

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def message(
    number: int, sender: str = "tel:+15550000001", text: str = "hello", account: str = "webhook/main"
):
    return MessageReceived(
        account=account, event_key=f"k{number}", received_at=NOON, sender=sender, text=f"{text} {number}"
    )


class Receipts:
    """What the store would answer; `away` makes it not answer."""

    def __init__(self) -> None:
        self.have: dict[str, set[int]] = {}
        self.reports: list[ProducerReport] = []
        self.away = False
        self.asked = 0

    def took(self, producer: str, seqs: Sequence[int]) -> None:
        self.have.setdefault(producer, set()).update(seqs)

    async def known(self, producer: str, seqs: Sequence[int]) -> set[int]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return self.have.get(producer, set()) & set(seqs)

    async def report(self, report: ProducerReport) -> None:
        if self.away:
            raise Unavailable("away")
        self.reports.append(report)
