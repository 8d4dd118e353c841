"""Who acts, and what they may: roles and queues as the configuration says, one sentence where they may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from crm_store.views import Card, Sees
from hub.config import Agent, Config, Role
from hub.errors import Refused

_OFFER_S = 60.0  # where the queue is not configured any more


@dataclass(frozen=True, slots=True)
class Rights:
    """The acting agent under one configuration. An agent acts in their queues and on their own conversations; leads and
    admins everywhere."""

    config: Config
    agent: Agent

    @property
    def by(self) -> str:
        return f"agent:{self.agent.key}"

    @property
    def leads(self) -> bool:
        return leads(self.agent)

    def name(self, key: str) -> str:
        """What people call an agent; their key where they left the configuration."""
        agent = self.config.agents.get(key)
        return agent.name if agent else key

    def known(self, key: str) -> Agent:
        agent = self.config.agents.get(key)
        if agent is None:
            raise Refused(f"There is no agent {key[:40]!r}.")
        return agent

    def lead(self) -> None:
        if not self.leads:
            raise Refused("Only a lead or an admin may do that.")

    def of_queue(self, queue: str) -> None:
        if not self.leads and queue not in self.agent.queues:
            raise Refused(f"You are not in the queue {queue}.")

    def own(self, row: Row[Any], *, waiting_too: bool = False) -> None:
        """May they act on this conversation? waiting_too: nobody has it, and it waits in one of their queues."""
        if self.leads or row.assignee == self.agent.key:
            return
        if row.state == "closed":
            raise Refused(f"#{row.number} is closed; reopen it first.")
        if row.assignee is not None:
            raise Refused(
                f"#{row.number} is with {self.name(row.assignee)}; only they or a lead may do that."
            )
        if not waiting_too:
            raise Refused(f"Claim #{row.number} first.")
        self.of_queue(row.queue)

    def offer_s(self, queue: str) -> float:
        found = self.config.queues.get(queue)
        return found.offer_s if found else _OFFER_S


def leads(agent: Agent) -> bool:
    """Leads and admins see and mend everything; agents what their queues and their own hands hold."""
    return agent.role in (Role.LEAD, Role.ADMIN)


def queues_of(config: Config, agent: Agent) -> tuple[str, ...]:
    """The queues that an agent may look into and begin conversations in, their own first."""
    others = [key for key in config.queues if leads(agent) and key not in agent.queues]
    return (*(key for key in agent.queues if key in config.queues), *others)


def sees(agent: Agent) -> Sees | None:
    """What of all conversations an agent may see; None: everything."""
    return None if leads(agent) else Sees(queues=agent.queues, agent=agent.key)


def may_see(agent: Agent, card: Card) -> bool:
    """The same of one conversation."""
    return leads(agent) or card.queue in agent.queues or agent.key in (card.assignee, card.offered_to)


def rights(config: Config, agent: str) -> Rights:
    """Raises Refused for somebody whom the configuration does not know (any more)."""
    who = config.agents.get(agent)
    if who is None:
        raise Refused(f"There is no agent {agent[:40]!r} in the configuration.")
    return Rights(config, who)
