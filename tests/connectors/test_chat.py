"""The web chat over a real WebSocket: a visitor's story, and what goes wrong on the way."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio
from structlog.testing import capture_logs

from connectors import files, visitor, webchat
from connectors.base import PastMessage, Wire
from connectors.edge import Limit, Limits
from hub.errors import Unavailable
from hub.model import Change, DeliveryReported, MessageReceived, Revision
from tests.connectors.gate import ACCOUNTS, Gate, gate, reply
from tests.each import each

OURS = {"Origin": "http://127.0.0.1"}
ID = 7093152233713665  # an interaction's id, as big as they are


class Page:
    """A browser's tab: what it remembers, and what it shows."""

    def __init__(self, g: Gate, token: str = "") -> None:
        self.gate = g
        self.token = token
        self.place: dict[str, str] = {}
        self.shown: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    @property
    def visitor(self) -> str:
        return self.token.partition(".")[0]

    @property
    def texts(self) -> list[str]:
        return [item["text"] for item in self.shown]

    @asynccontextmanager
    async def open(self, **headers: str) -> AsyncIterator["Page"]:
        """Connect, say hello, and have the first messages."""
        address = f"{self.gate.url}/chat/main/ws"
        async with self.gate.http.ws_connect(address, headers={**OURS, **headers}) as socket:
            self._socket = socket
            await self.say(type="hello", token=self.token, **self.place)
            await self.until("messages")
            yield self

    def reloaded(self) -> "Page":
        """The same visitor after F5: only what storage keeps is left."""
        return Page(self.gate, self.token)

    async def say(self, **frame: Any) -> None:
        assert self._socket is not None
        await self._socket.send_str(json.dumps(frame))

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next frame of that kind; what comes before is taken in."""
        assert self._socket is not None
        while True:
            frame: dict[str, Any] = await self._socket.receive_json(timeout=60)
            self.frames.append(frame)
            if frame["type"] == "welcome":
                if frame["new"]:
                    self.place = {}
                self.token = frame["token"]
            if frame["type"] == "messages":
                for item in frame["items"]:
                    self.take(item)
                self.place = {name: frame[name] for name in ("epoch", "pos", "after")}
            if frame["type"] == kind and all(frame[name] == value for name, value in fields.items()):
                return frame

    def take(self, item: dict[str, Any]) -> None:
        """As the widget does: a message once, and of its changes the highest."""
        for at, known in enumerate(self.shown):
            if known["id"] == item["id"]:
                if item.get("change", 0) > known.get("change", 0):
                    self.shown[at] = item
                return
        self.shown.append(item)

    async def has(self, *texts: str) -> None:
        """Wait until these messages are on the screen, in this order."""
        while self.texts != list(texts):
            assert len(self.shown) <= len(texts), self.texts
            await self.until("messages")

    async def writes(self, text: str, client_id: str) -> dict[str, Any]:
        await self.say(type="message", id=client_id, text=text)
        return await self.until("ok", id=client_id)

    async def quiet(self) -> None:
        """Nothing more is on its way: the answer to a ping has overtaken nothing."""
        await self.say(type="ping")
        assert self._socket is not None
        assert json.loads(await self._socket.receive_str(timeout=60)) == {"type": "pong"}


async def answer(g: Gate, page: Page, number: int, text: str) -> None:
    """A worker sends."""
    written_at = datetime(2026, 11, 21, 10, 0, number, tzinfo=UTC)
    message = reply(page.visitor, ID + number, text, written_at=written_at)
    await visitor.append(g.redis, message, page.visitor)


async def change(g: Gate, page: Page, number: int, change: int, text: str | None) -> None:
    """A worker carries out an edit; without a text, a deletion."""
    message = reply(
        page.visitor,
        ID + number,
        text or "what it read",
        written_at=datetime(2026, 11, 21, 10, 0, number, tzinfo=UTC),
    )
    what = Change.DELETE if text is None else Change.EDIT
    revision = Revision(change=what, message=message, external_ids=(str(ID + number),), number=change)
    account = g.edge.accounts()["webchat/main"]
    wire = Wire(http=g.http, redis=g.redis, blobs=g.edge.blobs, public_url="", now=datetime.now(UTC))
    sent = await webchat.CONNECTOR.change(revision, account, wire)
    assert sent.external_ids == revision.external_ids


def remembered(
    number: int, direction: str, text: str, client_id: str | None = None, **more: Any
) -> PastMessage:
    return PastMessage(
        seq=ID + number,
        direction=direction,
        text=text,
        at=datetime.now(UTC),
        author_name="Bo" if direction == "out" else "",
        client_id=client_id,
        **more,
    )


@pytest.fixture
async def g(tmp_path: Path, valkey: str) -> AsyncIterator[Gate]:
    async with gate(tmp_path, valkey) as opened:
        yield opened


@pytest.fixture
async def sweeping(tmp_path: Path, valkey: str) -> AsyncIterator[Gate]:
    async with gate(tmp_path, valkey, sweep_s=0.05) as opened:
        yield opened


async def test_a_visitor_writes_and_is_answered(g: Gate) -> None:
    async with Page(g).open() as page:
        assert page.frames[0]["type"] == "welcome"
        assert page.frames[0]["new"]
        await page.writes("hello", "client-id-1")
        (event,) = g.kept()
        assert isinstance(event, MessageReceived)
        assert (event.text, event.sender) == ("hello", f"webchat:{page.visitor}")
        await answer(g, page, 1, "hello to you")
        await page.has("hello to you")
        assert page.shown[0]["by"] == "Bo"
        assert str(ID) not in json.dumps(page.frames), "ids of ours are not shown to customers"
        assert f"{ID:x}" not in json.dumps(page.frames)


async def test_a_browser_s_receipt_is_the_delivery_report(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await page.has("one")
        ids = [page.shown[0]["id"], "00" * 14, "x" * 28, "é" * 28]
        for status in ("delivered", "read"):
            await page.say(type="receipt", ids=ids, status=status)
            noted = await page.until("noted", status=status)
            assert noted["ids"] == ids
        reports = [(e.external_id, str(e.status)) for e in g.kept() if isinstance(e, DeliveryReported)]
        assert reports == [(str(ID + 1), "delivered"), (str(ID + 1), "read")]
        assert g.edge.accounts()["webchat/main"].secrets["visitors"][0] not in json.dumps(page.frames)


async def test_after_a_reload_the_store_gives_it_all_once(g: Gate) -> None:
    async with Page(g).open() as page:
        await page.writes("hello", "client-id-1")
        await answer(g, page, 2, "an answer")
        await page.has("an answer")
    g.past.rows = [
        remembered(1, "in", "hello", f"{page.visitor}:client-id-1"),
        remembered(2, "out", "an answer"),
    ]
    async with page.reloaded().open() as again:
        await again.has("hello", "an answer")
        assert again.shown[0]["cid"] == "client-id-1"
        assert not again.frames[0]["new"]
        await again.quiet()


async def test_what_was_said_while_the_page_was_away_comes_once_when_it_is_back(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await page.has("one")
    await answer(g, page, 3, "three")
    await answer(g, page, 2, "two, tried again later")
    asked = len(g.past.asked)
    async with page.open() as back:  # the same tab: it remembers its place
        await back.has("one", "two, tried again later", "three")  # in the order of writing
        await back.quiet()
    assert set(g.past.asked[asked:]) <= {0}, "nothing of the store's was on the screen yet"


async def test_a_reply_that_only_the_stream_has_is_there_after_a_reload(g: Gate) -> None:
    """The worker's `sent` is not committed yet, so the store does not tell it."""
    async with Page(g).open() as page:
        await answer(g, page, 1, "quick")
        await page.has("quick")
    async with page.reloaded().open() as again:
        await again.has("quick")


async def test_what_is_changed_and_taken_back_changes_where_it_stands(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "It ships on Friday")
        await answer(g, page, 2, "Anything else?")
        await page.has("It ships on Friday", "Anything else?")
        await change(g, page, 1, 1, "It ships on Monday")
        await page.has("It ships on Monday", "Anything else?")
        await change(g, page, 1, 1, "It ships on Monday")  # the worker died, and another made it again
        await change(g, page, 2, 1, None)
        await page.has("It ships on Monday", "")
        assert page.shown[1]["gone"]
        await page.quiet()
        items = [item for frame in page.frames if frame["type"] == "messages" for item in frame["items"]]
        assert [item.get("change", 0) for item in items] == [0, 0, 1, 1], "each once"


async def test_changes_while_the_page_was_away_come_once_when_it_is_back(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await answer(g, page, 2, "two")
        await page.has("one", "two")
    await change(g, page, 1, 1, "one, changed")
    await change(g, page, 1, 2, "one, changed again")
    await change(g, page, 2, 1, None)
    await answer(g, page, 3, "three")
    async with page.open() as back:  # the same tab: it remembers its place
        await back.has("one, changed again", "", "three")
        await back.quiet()
    async with page.reloaded().open() as again:
        await again.has("one, changed again", "", "three")
        await again.quiet()


async def test_a_lost_stream_gives_neither_first_words_nor_what_was_taken_back(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await answer(g, page, 2, "two")
        await change(g, page, 1, 1, "one, changed")
        await page.has("one, changed", "two")
    g.past.rows = [
        remembered(1, "out", "one, changed again", change=2),
        remembered(2, "out", "", change=1, gone=True),
    ]
    await g.redis.flushall()
    async with page.open() as back:
        await back.has("one, changed again", "")
        await back.quiet()
    async with page.reloaded().open() as again:
        await again.has("one, changed again", "")
        assert "two" not in json.dumps(again.frames), "what was taken back is not told to anybody again"


async def test_an_older_word_of_the_store_does_not_undo_a_change_of_the_stream(g: Gate) -> None:
    """The change is in the stream, and its worker died before it told the store."""
    async with Page(g).open() as page:
        await page.writes("hello", "client-id-1")
        await answer(g, page, 2, "two")
        await change(g, page, 2, 1, "two, changed")
        await page.has("two, changed")
    g.past.rows = [
        remembered(1, "in", "hello", f"{page.visitor}:client-id-1"),
        remembered(2, "out", "two"),
    ]
    async with page.reloaded().open() as again:
        await again.quiet()
        assert sorted(again.texts) == ["hello", "two, changed"]


async def test_a_message_sent_twice_is_shown_once(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "once")
        await answer(g, page, 1, "once")
        await page.has("once")
        await answer(g, page, 2, "next")
        await page.has("once", "next")


async def test_a_resent_message_has_the_same_key(g: Gate) -> None:
    async with Page(g).open() as page:
        first = await page.writes("hello", "client-id-1")
        await page.writes("hello", "client-id-1")
        assert first["at"]
    keys = {e.event_key for e in g.kept()}
    assert keys == {f"{page.visitor}:client-id-1"}


async def test_a_lost_stream_is_filled_again_from_the_store(sweeping: Gate) -> None:
    g = sweeping
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await page.has("one")
        g.past.rows = [remembered(1, "out", "one"), remembered(2, "out", "two")]
        await g.redis.flushall()  # and "two" had not been forwarded yet
        await page.has("one", "two")
        # What was sent just before the loss reaches the store a moment after it.
        g.past.rows.append(remembered(0, "out", "zero, sent last"))
        await page.has("one", "two", "zero, sent last")
        await answer(g, page, 4, "four")
        await page.has("one", "two", "zero, sent last", "four")


async def test_after_a_flush_a_page_that_comes_back_gets_everything_once(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await page.has("one")
    g.past.rows = [remembered(1, "out", "one"), remembered(2, "out", "two")]
    await g.redis.flushall()
    async with page.open() as back:
        await back.has("one", "two")
        await back.quiet()


async def test_with_redis_away_a_visitor_writes_and_the_store_answers(tmp_path: Path) -> None:
    async with gate(tmp_path, f"unix://{tmp_path}/no.sock") as g:
        g.past.rows = [remembered(1, "out", "from before")]
        async with Page(g).open() as page:
            await page.has("from before")
            await page.writes("hello", "client-id-1")
        assert g.texts() == ["hello"]


async def test_with_the_store_away_the_stream_answers(g: Gate) -> None:
    g.past.away = True
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await page.has("one")


async def test_two_tabs_of_one_visitor_both_show_it(g: Gate) -> None:
    async with Page(g).open() as one, one.reloaded().open() as two:
        await answer(g, one, 1, "to both")
        await asyncio.gather(one.has("to both"), two.has("to both"))


async def test_a_lost_nudge_is_made_good_by_the_sweep(sweeping: Gate) -> None:
    g = sweeping
    async with Page(g).open() as page:
        line = visitor.Line(seq=ID, text="silent", at_ms=1)
        await g.redis.xadd(visitor.key("webchat/main", page.visitor), {"m": json_of(line)})
        await page.has("silent")


async def test_a_page_that_is_closed_in_the_middle_is_no_failure_of_ours(g: Gate) -> None:
    with capture_logs() as logs:
        async with g.http.ws_connect(f"{g.url}/chat/main/ws", headers=OURS) as socket:
            for frame in ({"type": "hello"}, *({"type": "ping"} for _ in range(50))):
                await socket.send_str(json.dumps(frame))
            transport = socket._response.connection.transport  # type: ignore[union-attr]
            transport.abort()  # type: ignore[union-attr]
        async with Page(g).open() as page:
            await page.quiet()
    assert [line for line in logs if line["log_level"] == "error"] == []


class Reset:
    """A client whose first connection for nudges was reset unnoticed: uvloop tells so by a RuntimeError."""

    def __init__(self, client: Any) -> None:
        self._client, self.resets = client, 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pubsub(self, **how: Any) -> Any:
        line = self._client.pubsub(**how)
        if self.resets:
            self.resets -= 1

            async def broken(**_: Any) -> None:
                raise RuntimeError("unable to perform operation; the handler is closed")

            line.get_message = broken
        return line


async def test_nudges_come_again_after_a_connection_was_reset(tmp_path: Path, valkey: str) -> None:
    client = redis.asyncio.Redis.from_url(valkey)
    async with gate(tmp_path, valkey, redis=Reset(client), sweep_s=3600.0) as g, Page(g).open() as page:
        async with asyncio.timeout(60):
            while not (await client.pubsub_numsub(visitor.NUDGES))[0][1]:
                await asyncio.sleep(0.01)
        await answer(g, page, 1, "one")
        await page.has("one")
    await client.aclose()


def json_of(line: visitor.Line) -> bytes:
    import msgspec

    return msgspec.json.encode(line)


async def test_where_nothing_can_be_kept_the_browser_keeps_it(g: Gate) -> None:
    async def full(events: Any, cursor: Any = None) -> None:
        raise Unavailable("the disk is full")

    accept = g.edge.accept
    async with Page(g).open() as page:
        object.__setattr__(g.edge, "accept", full)
        await page.say(type="message", id="client-id-1", text="hello")
        later = await page.until("later")
        assert (later["id"], later["after_s"]) == ("client-id-1", 2)
        object.__setattr__(g.edge, "accept", accept)
        await page.writes("hello", "client-id-1")
    assert g.texts() == ["hello"]


@each(
    "frame",
    [
        '{"type":"message","id":"client-id-1","text":""}',
        '{"type":"message","id":"client-id-1","text":"' + "x" * 5001 + '"}',
        '{"type":"message","id":"client-id-1","text":"x","files":["made-up.ref"]}',
        '{"type":"form","id":"client-id-1","text":"x","email":"nobody"}',
        '{"type":"dance","id":"client-id-1"}',
        '{"id":"client-id-1"}',
        "[" * 10_000,
        "no json at all",
    ],
)
async def test_what_cannot_be_read_is_told_and_not_kept(frame: str, g: Gate) -> None:
    async with Page(g).open() as page:
        assert page._socket is not None
        await page._socket.send_str(frame)
        told = await page.until("error")
        assert told["text"]
        assert told["id"] in ("client-id-1", "")
    assert g.kept() == []
    assert g.blobs.usage() == (0, 0)


async def test_the_offline_form_names_an_address(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey, is_open=lambda account: False) as g:
        async with Page(g).open() as page:
            assert page.frames[0]["open"] is False
            await page.say(type="form", id="client-id-1", name="Ann", email="Ann@Example.com", text="call me")
            await page.until("ok")
        (event,) = g.kept()
        assert isinstance(event, MessageReceived)
        assert (event.form, event.claims, event.sender_name) == ("form", ("mailto:ann@example.com",), "Ann")


async def test_who_waits_is_told_how_long(tmp_path: Path, valkey: str) -> None:
    class Two:
        async def wait(self, account: str, urn: str) -> tuple[int, float] | None:
            return (2, 180.0)

    async with gate(tmp_path, valkey, live=Two(), sweep_s=0.05) as g, Page(g).open() as page:
        await page.writes("hello", "client-id-1")
        told = await page.until("wait")
        assert (told["ahead"], told["seconds"]) == (2, 180)


# ------------------------------------------------------------------------------------------------- who may


@pytest.mark.parametrize(
    "origin, status",
    [
        ("https://evil.example", 403),
        ("", 403),
        ("null", 403),
        ("https://shop.example", 101),
        ("http://localhost", 101),
    ],
)
async def test_only_known_pages_hold_the_chat(origin: str, status: int, g: Gate) -> None:
    headers = {"Origin": origin} if origin else {}
    try:
        async with g.http.ws_connect(f"{g.url}/chat/main/ws", headers=headers):
            got = 101
    except aiohttp.WSServerHandshakeError as error:
        got = error.status
    assert got == status


async def test_an_unknown_chat_is_not_there(g: Gate) -> None:
    for path in ("/chat/nobody", "/chat/nobody/ws", "/chat/nobody/widget.js", "/chat/..%2fmain"):
        async with g.http.get(g.url + path, headers=OURS) as got:
            assert got.status == 404


async def test_a_made_up_or_a_changed_token_is_a_new_visitor(g: Gate) -> None:
    async with Page(g).open() as page:
        pass
    who, _, mac = page.token.partition(".")
    other = ("a" if who[0] != "a" else "b") + who[1:]
    for token in (f"{other}.{mac}", f"{who}.{mac[:-1]}", f"{who}.", who, "x", "é.é", "a" * 5000):
        async with Page(g, token).open() as stranger:
            assert stranger.frames[0]["new"]
            assert stranger.visitor not in (who, other)


async def test_two_visitors_share_nothing(g: Gate) -> None:
    async with Page(g).open() as ann, Page(g).open() as eve:
        await answer(g, ann, 1, "for Ann")
        await ann.has("for Ann")
        await eve.say(type="receipt", ids=[ann.shown[0]["id"]], status="read")
        await eve.until("noted")
        await eve.quiet()
        assert eve.shown == []
    assert g.kept() == [], "a stranger's receipt proves nothing"


async def test_a_rotated_secret_keeps_visitors_until_the_old_one_goes(g: Gate) -> None:
    async with Page(g).open() as page:
        await answer(g, page, 1, "one")
        await page.has("one")
    old = ACCOUNTS["webchat/main"]
    g.accounts[old.key] = replace(old, secrets={"visitors": ("brand-new", *old.secrets["visitors"])})
    async with page.open() as back:
        assert not back.frames[-2]["new"]
        await answer(g, page, 2, "two")
        await back.has("one", "two")
    g.accounts[old.key] = replace(old, secrets={"visitors": ("brand-new",)})
    async with page.reloaded().open() as stranger:
        assert stranger.frames[0]["new"]


async def test_floods_are_slowed_and_new_visitors_counted(tmp_path: Path, valkey: str) -> None:
    limits = Limits(
        visitor_new=Limit(per_s=0.001, burst=2),
        visitor_message=Limit(per_s=0.001, burst=3),
        sockets_per_address=2,
    )
    async with gate(tmp_path, valkey, limits=limits) as g:
        async with Page(g).open() as page:
            for number in range(3):
                await page.writes("x", f"client-id-{number}")
            await page.say(type="message", id="client-id-9", text="x")
            assert (await page.until("later"))["after_s"] > 1
            async with Page(g).open():
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await g.http.ws_connect(f"{g.url}/chat/main/ws", headers=OURS)
                assert caught.value.status == 429
        async with g.http.ws_connect(f"{g.url}/chat/main/ws", headers=OURS) as third:
            await third.send_json({"type": "hello"})
            closed = await third.receive(timeout=60)
            assert (closed.type, third.close_code) == (aiohttp.WSMsgType.CLOSE, 4401)
        assert len(g.texts()) == 3


async def test_a_frame_beyond_the_cap_ends_the_connection(g: Gate) -> None:
    async with Page(g).open() as page:
        assert page._socket is not None
        await page._socket.send_str("x" * (webchat.FRAME_BYTES + 1))
        while (await page._socket.receive(timeout=60)).type != aiohttp.WSMsgType.CLOSE:
            pass
        assert page._socket.close_code == 1009


# --------------------------------------------------------------------------------------------------- files


async def upload(g: Gate, page: Page, name: str, data: bytes, **headers: str) -> tuple[int, Any]:
    bearer = {"Authorization": f"Bearer {page.token}", **OURS, **headers}
    url = f"{g.url}/chat/main/files"
    async with g.http.post(url, params={"name": name}, data=data, headers=bearer) as got:
        return got.status, await got.json(content_type=None)


async def test_files_go_up_and_down_for_their_visitor_alone(g: Gate) -> None:
    async with Page(g).open() as page, Page(g).open() as eve:
        status, said = await upload(g, page, "../my scän.pdf", b"%PDF-1.7 hello")
        assert (status, said["name"]) == (200, "my scän.pdf")
        await page.say(type="message", id="client-id-1", text="", files=[said["file"]])
        await page.until("ok")
        (event,) = g.kept()
        assert isinstance(event, MessageReceived)
        (attachment,) = event.attachments
        assert (attachment.name, attachment.content_type) == ("my scän.pdf", "application/pdf")
        assert g.blobs.read(attachment.sha256) == b"%PDF-1.7 hello"
        # Eve cannot name Ann's file, nor fetch it, nor can anybody without a token.
        await eve.say(type="message", id="client-id-2", text="x", files=[said["file"]])
        await eve.until("error")
        url = f"{g.url}/chat/main/files/{said['file']}"
        for token, expected in ((page.token, 200), (eve.token, 404), ("x", 401)):
            async with g.http.get(url, headers={"Authorization": f"Bearer {token}", **OURS}) as got:
                assert got.status == expected
                if expected == 200:
                    assert got.headers["Content-Disposition"].startswith(
                        "attachment; filename*=UTF-8''my%20sc"
                    )
                    assert got.headers["X-Content-Type-Options"] == "nosniff"
                    assert got.headers["Cache-Control"] == "private, no-store"
                    assert await got.read() == b"%PDF-1.7 hello"


async def test_files_from_the_agent_can_be_fetched(g: Gate) -> None:
    from hub.model import Attachment

    sha = await g.blobs.aput(b"hello")
    file = Attachment(sha256=sha, content_type="text/plain", size_bytes=5, name="a.txt")
    async with Page(g).open() as page:
        await visitor.append(g.redis, reply(page.visitor, ID, "see this", attachments=(file,)), page.visitor)
        await page.has("see this")
        (shown,) = page.shown[0]["files"]
        assert (shown["name"], shown["size"]) == ("a.txt", 5)
        headers = {"Authorization": f"Bearer {page.token}"}
        url = f"{g.url}/chat/main/files/{shown['file']}"
        async with g.http.get(url, headers=headers) as got:
            assert await got.read() == b"hello"
        g.blobs.path(sha).unlink()
        async with g.http.get(url, headers=headers) as got:
            assert got.status == 404
        g.blobs.path(sha).mkdir()  # the disk's trouble, and no word that there is no such file
        async with g.http.get(url, headers=headers) as got:
            assert got.status == 503


async def test_who_comes_every_day_fills_no_memory(g: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "KEPT", 100)
    who = "v" * 26
    for n in range(400):
        await visitor.append(g.redis, reply(who, ID + n, str(n)), who)
    kept = await visitor.read(g.redis, "webchat/main", who)
    assert 100 <= len(kept) <= 300  # Redis lets go of what lies together
    assert [line.text for _, line in kept][-100:] == [str(n) for n in range(300, 400)]


async def test_who_fetches_and_does_not_read_fills_no_memory(
    g: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST", 2)
    film = b"\x00\x00\x00\x18ftypisom" + bytes(9 * 1024 * 1024)
    async with Page(g).open() as page:
        kept = visitor.File(g.blobs.put(film), "film.mp4", len(film), "video/mp4")
    (secret,) = ACCOUNTS["webchat/main"].secrets["visitors"]
    url = f"/chat/main/files/{webchat.file_ref(secret, page.visitor, kept)}"
    headers = {"Authorization": f"Bearer {page.token}", **OURS}
    lines = [
        f"GET {url} HTTP/1.1",
        "Host: hub",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    idle = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", g.port, limit=1024)
        writer.write("\r\n".join(lines).encode())
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        idle.append(writer)
    async with g.http.get(g.url + url, headers=headers) as got:
        assert got.status == 503
    for writer in idle:
        writer.transport.abort()
    async with asyncio.timeout(60):
        while True:
            async with g.http.get(g.url + url, headers=headers) as got:
                if got.status == 200:
                    break


async def test_files_that_are_not_taken(g: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Page(g).open() as page:
        assert (await upload(g, page, "a.exe", b"hello"))[0] == 415
        assert (await upload(g, page, "a.png", b"MZ\x90"))[0] == 415
        assert (await upload(g, page, "a.txt", b""))[0] == 415
        monkeypatch.setattr(webchat, "FILE_BYTES", 1000)
        assert (await upload(g, page, "a.txt", b"x" * 1001))[0] == 413
        async with g.http.post(
            f"{g.url}/chat/main/files", data=b"x", headers={"Authorization": f"Bearer {page.token}"}
        ) as got:
            assert got.status == 403, "without an origin"
    assert g.blobs.usage() == (0, 0)


async def test_another_site_s_page_may_upload_only_if_it_is_listed(g: Gate) -> None:
    for origin, status in (("https://shop.example", 204), ("https://evil.example", 403)):
        async with g.http.options(f"{g.url}/chat/main/files", headers={"Origin": origin}) as got:
            assert got.status == status
            assert got.headers.get("Access-Control-Allow-Origin") == (origin if status == 204 else None)


async def test_the_page_lets_nothing_foreign_in(g: Gate) -> None:
    g.accounts["webchat/main"] = replace(ACCOUNTS["webchat/main"], title='<script>alert("x")</script>')
    async with g.http.get(f"{g.url}/chat/main") as got:
        page = await got.text()
        assert got.headers["X-Frame-Options"] == "DENY"
        policy = got.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert "<script>alert" not in page
    async with g.http.get(f"{g.url}/chat/main/widget.js") as got:
        assert got.content_type == "text/javascript"
        script = await got.text()
        tag = got.headers["ETag"]
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert dangerous not in script
    async with g.http.get(f"{g.url}/chat/main/widget.js", headers={"If-None-Match": tag}) as got:
        assert got.status == 304
