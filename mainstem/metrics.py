"""/metrics, and what /healthz and /readyz say: what a process knows of itself, and of the hub as a whole.

The hub's figures are read at the scrape from the store and from Redis, in threads with a deadline: a dead database
makes a scrape say so (`mainstem_source_up`), never wait. docs/operations.md lists every metric; a test holds it to
that.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select, text

from crm_store import desk_inbox, desk_posts, media, sources
from crm_store.schema import (
    DELIVERY_UNFINISHED,
    account_states,
    conversations,
    deliveries,
    producers,
    quarantine,
)
from hub import clock
from hub.errors import MainstemError
from mainstem.pool import Pool

if TYPE_CHECKING:
    from crm_store.db import Store

disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SCRAPE_S = 5.0  # Prometheus gives up after ten
CHECK_S = 1.5

# name -> (help, labels). One table: the collector fills it, the documentation is held to it.
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mainstem_source_up": ("1 where the store or Redis answered this scrape.", ("source",)),
    "mainstem_stream_lag": ("Entries of a part that no router has read yet.", ("part",)),
    "mainstem_stream_pending": ("Entries of a part that a router has read and not yet stored.", ("part",)),
    "mainstem_stream_oldest_seconds": ("Age of the oldest entry that is not stored.", ()),
    "mainstem_stream_parts_unheld": ("Parts that no router holds.", ()),
    "mainstem_journal_pending": (
        "Journalled entries that the store does not have yet, as last reported.",
        ("producer",),
    ),
    "mainstem_journal_report_age_seconds": ("How long ago a producer reported.", ("producer",)),
    "mainstem_journal_bytes": ("Size of this process's journal on disk.", ()),
    "mainstem_queue_conversations": ("Conversations of a queue that are not closed.", ("queue", "state")),
    "mainstem_queue_longest_wait_seconds": ("How long the longest waiting has waited.", ("queue",)),
    "mainstem_deliveries": ("Deliveries that are not finished.", ("account", "state")),
    "mainstem_delivery_overdue_seconds": ("How long the oldest due delivery is due.", ()),
    "mainstem_quarantine_waiting": ("What could not be read and waits for a person.", ("kind",)),
    "mainstem_account_paused": ("1 while sends of an account are paused.", ("account",)),
    "mainstem_mailbox_failing": ("1 while a mailbox cannot be read.", ("account",)),
    "mainstem_mailbox_read_age_seconds": (
        "How long ago reading a mailbox last went well or failed.",
        ("account",),
    ),
    "mainstem_slack_inbox_waiting": ("What Slack told us and is not worked off yet.", ()),
    "mainstem_slack_inbox_oldest_seconds": ("How long the oldest of it waits.", ()),
    "mainstem_slack_posts_waiting": ("Posts that are written down and not yet on Slack.", ()),
    "mainstem_media_waiting": ("Customers' files that are still to be fetched from their providers.", ()),
    "mainstem_media_oldest_seconds": ("How long ago the message of the oldest of them came.", ()),
    "mainstem_workers": ("rq workers that are alive.", ()),
    "mainstem_jobs_waiting": ("Wake-ups that no worker has taken yet.", ()),
}
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mainstem_accepted_total": ("Requests answered with yes, after they were on disk.", ("account",)),
    "mainstem_refused_total": ("Requests answered with no, by reason.", ("reason",)),
    "mainstem_scrapes_total": ("How often this process was scraped.", ()),
}

_Samples = Iterable[tuple[tuple[str, ...], float]]


class Counters:
    """What this process counts by itself. Cheap enough for every request (about 1 µs each)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        made = {
            name: Counter(name.removesuffix("_total"), words, labels, registry=registry)
            for name, (words, labels) in COUNTERS.items()
        }
        self._accepted = made["mainstem_accepted_total"]
        self._refused = made["mainstem_refused_total"]
        self._scrapes = made["mainstem_scrapes_total"]
        self._of_account: dict[str, Counter] = {}

    def edge(self, what: str, account: str) -> None:
        """An outcome at the edge (connectors.edge.Edge.count)."""
        if what in ("accepted", "unreadable"):
            counter = self._of_account.get(account)
            if counter is None:
                counter = self._of_account[account] = self._accepted.labels(account)
            counter.inc()
        else:
            self._refused.labels(what).inc()

    def scraped(self) -> None:
        self._scrapes.inc()


class Hub(Collector):
    """The hub's figures. `extra` adds what only this process knows, by metric name."""

    def __init__(
        self, store: Store, redis: Any, extra: Mapping[str, Callable[[], float]] | None = None
    ) -> None:
        self._store = store
        self._redis = redis
        self._extra = extra or {}

    def describe(self) -> Iterator[Metric]:
        """Told without looking: registering must not ask a database."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        found: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for source, look in (
            ("store", self._of_store),
            ("redis", self._of_redis),
            ("process", self._of_process),
        ):
            up = 1.0
            try:
                for name, samples in look():
                    found.setdefault(name, []).extend(samples)
            except Exception as error:
                if not _is_away(error):
                    raise
                up = 0.0
            found.setdefault("mainstem_source_up", []).append(((source,), up))
        for name, (words, labels) in GAUGES.items():
            family = GaugeMetricFamily(name, words, labels=labels)
            for values, figure in found.get(name, ()):
                family.add_metric(values, figure)
            yield family

    def _of_process(self) -> Iterator[tuple[str, _Samples]]:
        for name, look in self._extra.items():
            yield name, [((), look())]

    def _of_store(self) -> Iterator[tuple[str, _Samples]]:
        now = clock.system()
        c, d, q = conversations.c, deliveries.c, quarantine.c
        with self._store.read() as tx:
            rows = tx.execute(
                select(c.queue, c.state, func.count(), func.min(c.waiting_since))
                .where(c.id.in_(select(c.id).where(c.slot > "")))  # off its index: what is closed has none
                .group_by(c.queue, c.state)
            ).all()
            yield "mainstem_queue_conversations", [((row[0], row[1]), row[2]) for row in rows]
            yield (
                "mainstem_queue_longest_wait_seconds",
                [
                    ((row[0],), (now - row[3]).total_seconds())
                    for row in rows
                    if row[1] == "waiting" and row[3]
                ],
            )
            rows = tx.execute(
                select(d.account, d.state, func.count(), func.min(d.due_at))
                .where(text(f"deliveries.{DELIVERY_UNFINISHED}"))
                .group_by(d.account, d.state)
            ).all()
            yield "mainstem_deliveries", [((row[0], row[1]), row[2]) for row in rows]
            due = [row[3] for row in rows if row[1] == "queued"]
            overdue = max(((now - at).total_seconds() for at in due), default=0.0)
            yield "mainstem_delivery_overdue_seconds", [((), max(overdue, 0.0))]
            kinds = tx.execute(
                select(q.kind, func.count()).where(q.state == "waiting").group_by(q.kind)
            ).all()
            yield "mainstem_quarantine_waiting", [((row[0],), row[1]) for row in kinds]
            paused = tx.execute(select(account_states.c.account, account_states.c.paused_until)).all()
            yield (
                "mainstem_account_paused",
                [
                    ((row[0],), float(row[1] is not None and row[1] > now))
                    for row in paused
                    if not row[0].endswith(sources.READING)
                ],
            )
            readings = sources.readings(tx)
            yield "mainstem_mailbox_failing", [((one.account,), float(bool(one.why))) for one in readings]
            yield (
                "mainstem_mailbox_read_age_seconds",
                [((one.account,), (now - one.at).total_seconds()) for one in readings],
            )
            reports = tx.execute(select(producers)).all()
            yield (
                "mainstem_journal_report_age_seconds",
                [((row.producer,), (now - row.reported_at).total_seconds()) for row in reports],
            )
            yield "mainstem_journal_pending", [((row.producer,), _spans(row.pending)) for row in reports]
            files, since = media.standing(tx)
            yield "mainstem_media_waiting", [((), files)]
            yield "mainstem_media_oldest_seconds", [((), (now - since).total_seconds() if since else 0.0)]
            inbox = desk_inbox.backlog(tx, "slack")
            waits = (now - inbox.oldest).total_seconds() if inbox.oldest else 0.0
            yield "mainstem_slack_inbox_waiting", [((), inbox.waiting)]
            yield "mainstem_slack_inbox_oldest_seconds", [((), waits)]
            yield "mainstem_slack_posts_waiting", [((), sum(desk_posts.places(tx, "slack").values()))]

    def _of_redis(self) -> Iterator[tuple[str, _Samples]]:
        from hub import jobs, watch

        parts = sorted(watch.lag(self._redis).items())
        yield "mainstem_stream_lag", [((str(part),), lag.lag) for part, lag in parts]
        yield "mainstem_stream_pending", [((str(part),), lag.pending) for part, lag in parts]
        yield "mainstem_stream_oldest_seconds", [((), max(lag.oldest_s for _, lag in parts))]
        yield "mainstem_stream_parts_unheld", [((), sum(lag.holder is None for _, lag in parts))]
        yield "mainstem_jobs_waiting", [((), self._redis.llen(f"rq:queue:{jobs.QUEUE_DEFAULT}"))]
        yield "mainstem_workers", [((), self._redis.scard("rq:workers"))]


def _spans(pending: str) -> float:
    """How many entries [[first, last], ...] are."""
    import json

    return float(sum(last - first + 1 for first, last in json.loads(pending)))


def _is_away(error: Exception) -> bool:
    import redis
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, MainstemError | redis.RedisError | SQLAlchemyError | OSError)


# ------------------------------------------------------------------------------------------------------- the pages


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing readiness depends on (`needed`), or that only makes work wait. `look` raises when it is not well."""

    name: str
    look: Callable[[], object]
    needed: bool


class Pages:
    """The three pages of one process. Checks and scrapes run in two threads of their own."""

    def __init__(self, registry: CollectorRegistry, counters: Counters, checks: Iterable[Check]) -> None:
        ProcessCollector(registry=registry)
        self._registry = registry
        self._counters = counters
        self._checks = tuple(checks)
        self._scrapes = Pool("metrics", threads=1, waiting=2, deadline_s=SCRAPE_S)
        self._looks = {
            check.name: Pool(f"check-{check.name}", threads=1, waiting=4) for check in self._checks
        }
        self._last: dict[str, tuple[float, str]] = {}

    async def alive(self) -> Mapping[str, str]:
        """Nothing beyond the fact that the loop turns and this was answered."""
        return {}

    async def needed(self) -> Mapping[str, str]:
        """Part -> "" or what is wrong, of what this process cannot do without; the rest is in /metrics."""
        return {check.name: await self._look(check) for check in self._checks if check.needed}

    async def all(self) -> Mapping[str, str]:
        """The same of every check."""
        return {check.name: await self._look(check) for check in self._checks}

    async def metrics(self, request: web.Request) -> web.Response:
        """For this machine and private networks alone: the figures name queues and accounts."""
        if not _is_near(request):
            raise web.HTTPNotFound
        self._counters.scraped()
        try:
            body = await self._scrapes(lambda: generate_latest(self._registry))
        except MainstemError as error:
            return web.Response(status=503, text=f"{error}\n", headers=_NO_STORE)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE, **_NO_STORE})

    async def _look(self, check: Check) -> str:
        """Empty, or what is wrong; looked at once a second at most, however often it is asked."""
        at, said = self._last.get(check.name, (float("-inf"), ""))
        now = time.monotonic()
        if now - at < 1.0:
            return said
        try:
            await self._looks[check.name](check.look, CHECK_S)
            said = ""
        except Exception as error:
            if not _is_away(error):
                raise
            said = str(error) or type(error).__name__
        self._last[check.name] = (time.monotonic(), said)
        return said

    def close(self) -> None:
        for pool in (self._scrapes, *self._looks.values()):
            pool.close()


def _is_near(request: web.Request) -> bool:
    """Did it come straight from a private address? What a proxy passed on came from elsewhere."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_private
    except ValueError:
        return False


_NO_STORE = {"Cache-Control": "no-store"}
