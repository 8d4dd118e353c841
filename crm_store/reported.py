"""What reports make of one delivery: played in any order, in memory, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_store import delivery_states as states
from hub.model import DeliveryReported, DeliveryStatus

_ARRIVED = {states.DELIVERED, states.READ}


@dataclass(slots=True)
class Delivery:
    """A locked delivery and its parts, on which reports are played before anything is written."""

    id: int
    conversation_id: int
    account: str
    to_urn: str
    state: str
    attempts: int
    parts: dict[int, tuple[str, str]]  # number -> (external id, state)
    had_parts: bool
    given_up: dict[str, int]  # external ids of tries that were repeated, and their parts' numbers
    tries_from: datetime
    others: frozenset[str] = frozenset()  # who may have had a copy
    told: DeliveryReported | None = None
    proven: bool = False  # our own id came back in a report: it went out
    arrived: bool = False  # some of it did, by whatever report
    mistaken: int | None = None  # the number of a part that was given up, and has arrived after all
    delays: list[DeliveryReported] = field(default_factory=list)  # it is still on its way
    copies: list[DeliveryReported] = field(default_factory=list)  # about somebody who was to have a copy

    def hears(self, report: DeliveryReported) -> bool:
        """Play one report. False: it must wait until the send that it speaks of has been committed."""
        if report.recipient != self.to_urn and report.recipient in self.others:
            if self.state != states.SENDING:
                self.copies.append(report)
            return self.state != states.SENDING
        numbers = [
            n for n, (external_id, _) in self.parts.items() if external_id == (report.external_id or None)
        ]
        if not numbers:
            if report.external_id in self.given_up and self.state != states.SENDING:
                self._recall(report)
                return True
            if not self._may_have_gone():
                return False
            self.proven = True
            numbers = list(self.parts) if report.external_id is None else []
            if not numbers:
                number = max(self.parts, default=-1) + 1
                self.parts[number] = (report.external_id or "", states.SENT)
                numbers = [number]
        for number in numbers:
            external_id, state = self.parts[number]
            self.arrived = self.arrived or {state, report.status.value} & _ARRIVED != set()
            self.parts[number] = (external_id, states.forward(state, report.status.value))
        if report.status is DeliveryStatus.SENT and report.detail:
            self.delays.append(report)
        if self.told is None or states.RANK[report.status.value] >= states.RANK[self.told.status.value]:
            self.told = report
        return True

    def _recall(self, report: DeliveryReported) -> None:
        """It waits to be sent anew, and what was given up has arrived after all: then it is that one that counts."""
        if report.status.value in _ARRIVED and self.state == states.QUEUED and not self.parts:
            name = report.external_id or ""
            self.mistaken = self.given_up.pop(name)
            self.parts = {0: (name, report.status.value)}
            self.told, self.arrived, self.proven = report, True, True

    def again_at(self, now: datetime, done: int) -> datetime | None:
        """When it goes out anew, after `done` times already; None: not at all, so it has failed."""
        told = self.told
        if told is None or told.status is not DeliveryStatus.FAILED or done >= told.again:
            return None
        if self.state != states.SENT or self.arrived or len(self.parts) != 1:
            return None
        at = now + timedelta(seconds=told.again_s * 4**done)
        return at if at - self.tries_from <= states.MAX_AGE else None

    def _may_have_gone(self) -> bool:
        if self.state in (states.SENDING, states.CANCELLED):
            return False
        return self.state not in (states.HELD, states.QUEUED) or self.attempts > 0

    def becomes(self) -> str:
        """The state after all reports."""
        if not self.parts or self.told is None:
            return self.state
        now = states.whole([state for _, state in self.parts.values()])
        if self.state in states.WENT_OUT:
            return states.forward(self.state, now)
        if self.proven and not (self.state in (states.FAILED, states.OPTED_OUT) and self.had_parts):
            return now
        return self.state
