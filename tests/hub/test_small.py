"""Secrets, blobs, notices, wake-ups and text."""

import asyncio
import hashlib
import stat
import threading
from pathlib import Path

import pytest
import redis as redis_py
import redis.asyncio
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from hub import jobs, notices, secrets, text
from hub.blobs import Blobs, Damaged, Reader
from hub.errors import NotFound, Unavailable
from hub.redis import connect
from hub.settings import Secret, Settings
from tests.each import each
from tests.servers.valkey import Valkey

# ------------------------------------------------------------------------------------------------------ secrets


def test_the_key_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "var")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(secrets.load_key(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert stat.S_IMODE((tmp_path / "var" / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret.key"]


def test_a_key_that_is_no_secret_is_refused(tmp_path: Path) -> None:
    secrets.load_key(Settings(data=tmp_path))
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(secrets.KeyUnusable, match="chmod 600"):
        secrets.load_key(Settings(data=tmp_path))
    with pytest.raises(secrets.KeyUnusable, match="needs 32"):
        secrets.load_key(Settings(data=tmp_path, secret_key=Secret("short")))


def test_derived_secrets_differ_by_every_label() -> None:
    key = b"k" * 64
    assert secrets.derive(key, "chat", "a") == secrets.derive(key, "chat", "a")
    every = {
        secrets.derive(key, *labels)
        for labels in [("a", "b"), ("ab",), ("a", "b", ""), ("", "a", "b"), ("b", "a")]
    }
    assert len(every) == 5
    assert all(len(value) == 64 for value in every)


# ------------------------------------------------------------------------------------------------------ blobs


async def test_blobs_are_kept_by_what_they_are(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    name = blobs.put(b"hello")
    assert name == hashlib.sha256(b"hello").hexdigest()
    assert await blobs.aput(b"hello") == name
    assert blobs.read(name) == await Reader(blobs).read(name) == b"hello"
    assert blobs.usage() == (1, 5)
    with pytest.raises(NotFound):
        blobs.read("0" * 64)


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 63 + "/"])
def test_no_name_leads_elsewhere(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        Blobs(tmp_path).path(bad)


def test_a_damaged_blob_is_not_given_out(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put(b"hello")
    blobs.path(name).write_bytes(b"hellO")
    with pytest.raises(Damaged):
        blobs.read(name)
    blobs.path(name).write_bytes(b"hel")  # a copy that was cut short is written anew
    assert blobs.put(b"hello") == name
    assert blobs.read(name) == b"hello"


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(Unavailable):
        Blobs(tmp_path / "blobs").put(b"hello")


# ------------------------------------------------------------------------------------------------------ wake-ups


class Worker(SimpleWorker):
    death_penalty_class = TimerDeathPenalty


def _waiting(client: redis_py.Redis) -> int:
    return len(Queue(jobs.QUEUE_DEFAULT, connection=client, serializer=JSONSerializer))


def test_one_wake_up_of_a_name_waits(redis: redis_py.Redis) -> None:
    for _ in range(3):
        assert jobs.enqueue(redis, jobs.DELIVER)
    assert jobs.enqueue(redis, jobs.FETCH)
    assert _waiting(redis) == 2
    with pytest.raises(ValueError, match="no job"):
        jobs.enqueue(redis, "os.system")


def test_a_wake_up_during_a_run_is_another_run(redis: redis_py.Redis) -> None:
    """Whatever became of the run before: going on, done, failed; its id must not stand in the way."""
    queue = Queue(jobs.QUEUE_DEFAULT, connection=redis, serializer=JSONSerializer)
    jobs.enqueue(redis, jobs.DELIVER)
    taken = Queue.dequeue_any([queue], timeout=None, connection=redis, serializer=JSONSerializer)
    assert taken is not None  # a worker has it, and may have looked at the rows already
    assert jobs.enqueue(redis, jobs.DELIVER)
    assert _waiting(redis) == 1


def test_after_a_failed_run_the_next_is_not_refused(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "FETCH", "tests.hub.test_small.fails")
    monkeypatch.setattr(jobs, "ALL", (jobs.FETCH,))
    queue = Queue(jobs.QUEUE_DEFAULT, connection=redis, serializer=JSONSerializer)
    for _ in range(2):
        assert jobs.enqueue(redis, jobs.FETCH)
        assert _waiting(redis) == 1
        Worker([queue], connection=redis, serializer=JSONSerializer).work(
            burst=True, logging_level="CRITICAL"
        )
    first, newest = queue.failed_job_registry.get_job_ids()
    assert [jobs.forget_failures(redis, keep=1) for _ in range(2)] == [1, 0]
    assert queue.failed_job_registry.get_job_ids() == [newest]
    assert (redis.exists(f"rq:job:{first}"), redis.exists(f"rq:job:{newest}")) == (0, 1)
    assert jobs.forget_failures(redis) == 0
    assert jobs.FAILURE_TTL_S - 60 < redis.ttl(f"rq:job:{newest}") <= jobs.FAILURE_TTL_S == 7 * 24 * 3600


def fails() -> None:
    raise RuntimeError("a run that fails")


def test_without_redis_a_wake_up_is_false_and_no_error() -> None:
    assert not jobs.enqueue(connect("unix:///nonexistent"), jobs.DELIVER)


# ------------------------------------------------------------------------------------------------------ notices


async def test_notices_arrive(redis: redis_py.Redis, async_redis: "redis.asyncio.Redis") -> None:
    heard = notices.subscribe(async_redis)
    first = asyncio.ensure_future(anext(heard))
    while not redis.pubsub_numsub(notices.CHANNEL)[0][1]:
        await asyncio.sleep(0.01)
    redis.publish(notices.CHANNEL, "rubbish")
    redis.publish(notices.CHANNEL, '{"kind": "unheard of"}')
    notices.publish(redis, notices.CONVERSATION, conversation=42)
    assert await first == notices.Notice(notices.CONVERSATION, {"conversation": 42})
    await heard.aclose()


async def test_after_redis_was_away_listeners_look_at_everything() -> None:
    with Valkey() as server:
        client = redis.asyncio.Redis(unix_socket_path=str(server.socket), retry=None)
        heard = notices.subscribe(client)
        first = asyncio.ensure_future(anext(heard))
        with server.client() as look:
            while not look.pubsub_numsub(notices.CHANNEL)[0][1]:
                await asyncio.sleep(0.01)
        server.kill()
        await asyncio.sleep(0.05)
        server.start()
        assert (await asyncio.wait_for(first, 60)).kind == notices.RESYNC
        await heard.aclose()
        await client.aclose()


def test_a_notice_never_fails() -> None:
    notices.publish(None, notices.QUEUE, queue="sales")
    notices.publish(connect("unix:///nonexistent"), notices.QUEUE, queue="sales")


# ------------------------------------------------------------------------------------------------------ text


@each(
    "said, count, gsm",
    [
        ("", 1, True),
        ("a" * 160, 1, True),
        ("a" * 161, 2, True),
        ("a" * 306, 2, True),
        ("a" * 307, 3, True),
        ("€" * 80, 1, True),  # two septets each
        ("€" * 81, 2, True),
        ("a" * 152 + "€" + "a" * 152, 3, True),  # the sign is not split, so a place stays empty
        ("й" * 70, 1, False),
        ("й" * 71, 2, False),
        ("😀" * 35, 1, False),
        ("😀" * 67, 3, False),  # 33 pairs fit into 67 places
    ],
)
def test_segments(said: str, count: int, gsm: bool) -> None:
    found = text.segments(said)
    assert (found.count, found.gsm) == (count, gsm)


def test_clip_fold_storable() -> None:
    assert text.clip("hello", 5) == "hello"
    assert text.clip("hello there", 7) == "hello…"
    assert text.clip("cafe\u0301s", 5) == "caf…"
    assert text.fold("  ÉCOLE \n Straße ") == "ecole strasse"
    assert text.storable("a\x00b\r\nc\rd\te\ud800") == "ab\nc\nd\te"
