"""The desk's pages as agents and leads meet them, each on one of the databases or on both."""

import asyncio
import html
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from crm_store import outbox, pauses, sources, views
from crm_store.db import Store
from crm_store.schema import deliveries, quarantine
from hub.model import Attachment
from tests.databases import on_postgresql, on_sqlite
from tests.desk.room import Room, make


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return make(store, tmp_path / "blobs")


@on_sqlite
async def test_claim_reply_and_undo(room: Room) -> None:
    number = room.writes("webchat:ann", "Hello, my kettle is broken", name="Ann")
    async with room.browsers() as browse:
        bo = await browse("bo")
        assert "Ann" not in bo.text
        await bo.get("/queues/support")
        assert "my kettle is broken" in bo.text
        await bo.get(f"/conversations/{number}")
        assert "Claim" in bo.text
        await bo.post(f"/conversations/{number}/claim")
        assert "It is yours." in bo.text
        assert room.row(number).assignee == "bo"
        await bo.post(f"/conversations/{number}/claim")  # on a page that is older than that
        assert "It is yours." in bo.text
        assert "was faster" not in bo.text
        await bo.post(f"/conversations/{number}/reply", {"reply": "Oh dear.", "key": "k" * 32})
        assert "goes out in a moment" in bo.text
        assert "Oh dear." in bo.text
        assert "Undo" in bo.text
        delivery = room.delivery_of(number)
        assert (delivery.state, delivery.to_urn) == ("held", "webchat:ann")
        await bo.post(f"/conversations/{number}/deliveries/{delivery.id}/undo")
        assert room.delivery_of(number).state == "cancelled"
        assert ">Oh dear.</textarea>" in bo.text, "the text comes back to be written anew"


@on_sqlite
async def test_only_who_may_act_on_a_reply_has_its_buttons(room: Room) -> None:
    number = room.writes("webchat:ann", "Hello, my kettle is broken", name="Ann")
    room.actions.claim(room.id_of(number), "cleo")
    sent = room.actions.reply(room.id_of(number), "cleo", "Oh dear.", idem_key="k")
    async with room.browsers() as browse:
        pages = [await browse(agent) for agent in ("bo", "ada")]  # bo serves its queue, ada leads
        for button in ("undo", "retry"):
            for page in pages:
                await page.get(f"/conversations/{number}")
                assert "Oh dear." in page.text
            assert [f'action="/conversations/{number}/tags"' in page.text for page in pages] == [False, True]
            assert [f'id="{button}-{sent.delivery_id}"' in page.text for page in pages] == [False, True]
            room.becomes(sent.delivery_id, "failed", "rejected")


@on_postgresql
async def test_home_shows_queues_waits_and_what_is_mine(room: Room) -> None:
    room.writes("webchat:ann", "it is broken", name="Ann")
    room.later(minutes=12)
    room.writes("webchat:tom", "where are you?", name="Tom")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get("/")
        support = re.search(r'href="/queues/support".*?</a>', bo.text, re.DOTALL)
        assert support is not None
        assert re.search(r"<b>1</b><span>waiting", support[0])
        assert '<b class="late">12 min</b>' in support[0], "later than the five minutes of its service level"
        assert 'href="/queues/billing"' not in bo.text, "not one of Bo's queues"
        await bo.post("/next")
        assert "It is yours." in bo.text
        await bo.get("/")
        assert "Ann" in bo.text
        for _ in range(2):
            await bo.get("/")
            await bo.post("/next")
        assert "Nobody is waiting in your queues." in bo.text


@on_sqlite
async def test_ids_that_say_nothing_to_people_are_not_shown_whole(room: Room) -> None:
    number = room.writes("webchat:ggbqsg77ikxiqinasa3khkpxdm", "Hello, it is broken")
    room.actions.claim(room.id_of(number), "bo")
    async with room.browsers() as browse:
        bo = await browse("bo")
        for path in (
            f"/conversations/{number}",
            f"/customers/{room.customer_of(number)}",
            "/search?q=broken",
        ):
            await bo.get(path)
            assert "web chat ggbqsg77<" in bo.text
            assert "ggbqsg77ikxi" not in re.sub(r"<[^>]*>", "", bo.text), path
        await bo.post(f"/customers/{room.customer_of(number)}", {"name": "Ann Lee"})
        await bo.get(f"/conversations/{number}")
        assert "<bdi>Ann Lee</bdi>" in bo.text, "her words are hers, though she told her name later"


async def test_a_double_submit_is_one_reply(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        form = {"reply": "Just once.", "key": "0123456789abcdef" * 2, "csrf": bo.token}
        answers = await asyncio.gather(
            *(bo.client.post(f"/conversations/{number}/reply", data=form) for _ in range(5))
        )
        assert {answer.status for answer in answers} == {200}
    with room.store.read() as tx:
        assert tx.scalar(select(func.count()).select_from(deliveries)) == 1


@on_sqlite
async def test_what_cannot_be_done_is_a_sentence_and_keeps_what_was_typed(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    async with room.browsers() as browse:
        bo, cleo = await browse("bo"), await browse("cleo")
        await bo.get(f"/conversations/{number}")
        await cleo.get(f"/conversations/{number}")
        await cleo.post(f"/conversations/{number}/claim")
        late = await bo.post(f"/conversations/{number}/claim")
        assert late.status == 409
        assert "Cleo Adeyemi" in bo.text, "says who was faster"
        refused = await bo.post(f"/conversations/{number}/note", {"note": "   "})
        assert refused.status == 403
        assert "The note is empty." in bo.text
        await cleo.get(f"/conversations/{number}")
        far = await cleo.post(f"/conversations/{number}/reply", {"reply": "x" * 4001})
        assert far.status == 403
        assert "x" * 4001 + "</textarea>" in cleo.text


@on_postgresql
async def test_transfer_snooze_close_reopen(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        on = f"/conversations/{number}"
        assert f"{on}/snooze" not in bo.text, "nobody puts to sleep what they do not have"
        await bo.post(f"{on}/claim")
        assert f"{on}/snooze" in bo.text
        await bo.post(f"{on}/snooze", {"for": "60"})
        assert room.row(number).snoozed_until == room.now + timedelta(hours=1)
        await bo.post(f"{on}/close", {"disposition": "solved", "tags": "kettle, refund"})
        row = room.row(number)
        assert (row.state, row.disposition, row.tags) == ("closed", "solved", '["kettle", "refund"]')
        await bo.get(on)
        await bo.post(f"{on}/reopen")
        assert room.row(number).state == "open"
        await bo.post(f"{on}/tags", {"tags": "refund, vip"})
        assert room.row(number).tags == '["refund", "vip"]'
        refused = await bo.post(f"{on}/transfer", {"queue": "billing", "reason": ""})
        assert refused.status == 403
        await bo.post(f"{on}/transfer", {"queue": "billing", "reason": "About money", "to_agent": "eva"})
        row = room.row(number)
        assert (row.queue, row.state, row.offered_to) == ("billing", "offered", "eva")
        eva = await browse("eva")
        await eva.get(on)
        assert "transferred it from General to Billing, for Eva Marsh: “About money”" in eva.text
        await eva.post(f"{on}/claim")
        assert room.row(number).assignee == "eva"


@on_sqlite
async def test_failures_in_words_and_what_to_do_about_them(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    async with room.browsers() as browse:
        bo, eva = await browse("bo"), await browse("eva")
        on = f"/conversations/{number}/deliveries"
        sent = room.actions.reply(room.id_of(number), "bo", "First try", idem_key="1").delivery_id
        room.becomes(sent, "failed", "connection_failed", "refused on port 443")
        await bo.get("/failed")
        assert "The provider could not be reached." in bo.text
        assert "refused on port 443" in bo.text
        await eva.get("/failed")
        assert "Everything went out." in eva.text, "what is Bo's is not Eva's"
        await bo.post(f"{on}/{sent}/retry")
        assert room.delivery_of(number).state == "queued"
        room.becomes(sent, "unknown", "unknown")
        await bo.get(f"/conversations/{number}")
        assert "Perhaps sent" in bo.text
        await bo.post(f"{on}/{sent}/resolve", {"how": "sent"})
        assert room.delivery_of(number).state == "sent"
        again = await bo.post(f"{on}/{sent}/resolve", {"how": "again"})
        assert again.status == 409
        assert (await bo.post(f"{on}/{sent}/resolve", {"how": "pray"})).status == 403


@on_postgresql
async def test_why_it_landed_there(room: Room) -> None:
    number = room.writes("webchat:ann", "my password does not work", name="Ann")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        assert "Rule “problems” put it into Support" in bo.text
        await bo.get(f"/conversations/{number}/why")
        assert "config/routing.yaml:13" in bo.text
        assert "Nearly: one condition was missing" in bo.text
        assert "urgent words" in bo.text


@on_sqlite
async def test_the_channel_chooser_says_why(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        chosen = re.search(r"<option [^>]*selected>Chat on our site[^<]*", bo.text)
        assert chosen is not None
        assert "they wrote from here in this conversation" in chosen[0]
        await bo.post(
            f"/conversations/{number}/reply", {"reply": "Hi", "channel": "webchat/main webchat:ann"}
        )
        assert room.delivery_of(number).to_urn == "webchat:ann"
        odd = await bo.post(
            f"/conversations/{number}/reply", {"reply": "Hi", "channel": "webchat/main webchat:bob"}
        )
        assert odd.status in (403, 404), "only to addresses of this customer"


@on_postgresql
async def test_a_lead_merges_and_takes_it_back(room: Room) -> None:
    one = room.writes("webchat:ann", "hello from the chat", name="Ann")
    room.later(seconds=5)
    other = room.writes("mailto:ann@example.com", "hello by letter", name="Ann E", account="webhook/main")
    async with room.browsers() as browse:
        cleo, bo = await browse("cleo"), await browse("bo")
        customer = room.customer_of(one)
        await cleo.get(f"/customers/{customer}")
        assert "hello by letter" not in cleo.text
        form = {"other": f"#{other}", "why": "She said so on the phone"}
        await bo.get(f"/customers/{customer}")
        assert (await bo.post(f"/customers/{customer}/merge", form)).status == 403
        await cleo.post(f"/customers/{customer}/merge", form)
        assert "Merged." in cleo.text
        assert "hello by letter" in cleo.text
        await cleo.get(f"/conversations/{one}")
        assert "hello by letter" in cleo.text, "one history over all channels"
        with room.store.read() as tx:
            merge = views.customer(tx, customer).merges[0].id
        await cleo.post(f"/customers/{customer}/merges/{merge}/undo")
        assert "The merge was undone" in cleo.text
        assert "hello by letter" not in cleo.text


@on_sqlite
async def test_a_colleague_changes_a_record(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    async with room.browsers() as browse:
        bo = await browse("bo")
        customer = room.customer_of(number)
        await bo.get(f"/customers/{customer}")
        form = {
            "name": "Ann Example",
            "tier": "gold",
            "language": "de",
            "tags": "boats",
            "notes": "Line 1\r\nLine 2",
        }
        await bo.post(f"/customers/{customer}", form)
        assert "Saved." in bo.text
        with room.store.read() as tx:
            now = views.customer(tx, customer).customer
        assert (now.name, now.tier, now.language, now.tags) == ("Ann Example", "gold", "de", ("boats",))
        assert now.notes == "Line 1\nLine 2"


@on_postgresql
async def test_presence(room: Room) -> None:
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get("/presence")
        assert '<option value="offline" selected>' in bo.text, "as it is, before they say anything"
        await bo.post("/presence", {"status": "away", "for": "60", "stay": "1"})
        assert "Away" in bo.text
        assert "until" in bo.text
        assert (await bo.post("/presence", {"status": "asleep"})).status == 403


@on_sqlite
async def test_quarantine_is_shown_and_replayed(room: Room) -> None:
    ids = [room.store.ids() for _ in range(2)]
    raw = room.blobs.put(b'{"text": "<b>hi</b>"}')
    rows = [
        {"id": ids[0], "kind": "unreadable", "entry": b"\x00\x01\xff", "blob": raw},
        {"id": ids[1], "kind": "poison", "entry": b"plain words", "blob": "0" * 64},
    ]  # fmt: skip
    common = {"account": "webhook/main", "reason": "no <i>JSON</i>", "state": "waiting", "at": room.now}
    with room.store.begin() as tx:
        tx.execute(insert(quarantine), [{**common, **row} for row in rows])
    async with room.browsers() as browse:
        cleo, bo = await browse("cleo"), await browse("bo")
        assert (await bo.get("/quarantine")).status == 403
        await cleo.get("/quarantine")
        assert "no &lt;i&gt;JSON&lt;/i&gt;" in cleo.text
        await cleo.get(f"/quarantine/{ids[0]}")
        assert "000000  00 01 ff" in cleo.text
        assert "&lt;b&gt;hi&lt;/b&gt;" in cleo.text
        await cleo.post(f"/quarantine/{ids[0]}/replay")
        assert room.replayed == [(ids[0], "agent:cleo")]
        await cleo.get(f"/quarantine/{ids[1]}")
        assert "plain words" in cleo.text
        await cleo.post(f"/quarantine/{ids[1]}/drop")
        await cleo.get("/quarantine?state=dropped")
        assert f"/quarantine/{ids[1]}" in cleo.text


@on_postgresql
async def test_search_finds_people_words_and_numbers(room: Room) -> None:
    number = room.writes("webchat:ann", "the kettle is broken", name="Ann Example")
    async with room.browsers() as browse:
        bo = await browse("bo")
        for text in ("kettle", "Ann Ex", str(number), f"%23{number}"):
            await bo.get(f"/search?q={text}")
            assert f'href="/conversations/{number}"' in bo.text, text
        await bo.get("/search?q=%25%25%25")
        assert f'href="/conversations/{number}"' not in bo.text, "a wildcard stands for itself"


@on_sqlite
async def test_a_reply_with_a_file(room: Room) -> None:
    number = room.writes("webchat:ann", "hello", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    data = b"%PDF-1.4 a manual"
    file = Attachment(
        sha256=room.blobs.put(data), content_type="application/pdf", size_bytes=len(data), name="manual.pdf"
    )
    room.actions.reply(room.id_of(number), "bo", "See page 3", idem_key="f", attachments=(file,))
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        link = re.search(r'class="file" href="([^"]+)"', bo.text)
        assert link is not None
        answer = await bo.client.get(link[1])
        assert await answer.read() == data


@on_postgresql
async def test_the_database_away_is_a_sentence(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.errors import Unavailable

    async with room.browsers() as browse:
        bo = await browse("bo")

        def away(*_args: object, **_kwargs: object) -> None:
            raise Unavailable("the database does not answer")

        monkeypatch.setattr(views, "mine", away)
        answer = await bo.get("/")
        assert answer.status == 503
        assert "the database does not answer" in bo.text
        monkeypatch.setattr(views, "mine", lambda *_: 1 / 0)
        answer = await bo.get("/")
        assert answer.status == 500
        assert "Something broke here" in bo.text
        assert "ZeroDivision" not in bo.text
        assert answer.headers["X-Request-Id"] in bo.text


async def test_a_mailbox_that_is_not_read_stands_on_the_leads_pages(room: Room) -> None:
    why = "the mail server's certificate is not trusted: certificate has expired"

    def goes(why: str) -> None:
        room.store.run(lambda tx: sources.note(tx, "mail/support", room.now, why, room.now))

    goes("")
    async with room.browsers() as browse:
        cleo, bo = await browse("cleo"), await browse("bo")
        await cleo.get("/health")
        assert "Support mailbox" in cleo.text
        assert "Not read" not in cleo.text
        room.later(minutes=1)
        goes(why)
        since = room.now
        room.later(minutes=7)
        goes("the server does not answer: timed out")
        await cleo.get("/")
        assert "1 account does not work" in cleo.text
        await cleo.get("/health")
        assert "Not read" in cleo.text
        assert f'datetime="{since:%Y-%m-%dT%H:%M}' in cleo.text, "since it began, whatever is wrong by now"
        assert "timed out" in cleo.text
        await bo.get("/")
        assert "does not work" not in bo.text
        assert (await bo.get("/health")).status == 403
        goes("")
        room.later(minutes=14)
        await cleo.get("/health")
        assert "Not read" not in cleo.text
        room.later(minutes=2)
        await cleo.get("/health")
        assert "Nobody reads it: is `mainstem pull` running?" in html.unescape(cleo.text)
        until = room.now + timedelta(minutes=9)
        room.store.run(lambda tx: pauses.pause(tx, "slack/C0BILLING", until, "is_archived", room.now))
        await cleo.get("/health")
        assert "The channel is archived." in cleo.text


LETTER = b"""From: Ann <ann@example.net>
To: support@example.com
Cc: Ben <ben@example.net>, eve@example.org
Subject: My kettle
Message-ID: <k1@example.net>
Authentication-Results: mx.example.com; dmarc=pass header.from=example.net

It is broken.
"""


@on_sqlite
async def test_copies_of_a_mail_are_shown_and_can_be_dropped(room: Room) -> None:
    [(number, _)] = room.mails(LETTER)
    ben, eve = "mailto:ben@example.net", "mailto:eve@example.org"

    def cc() -> tuple[str, ...]:
        with room.store.read() as tx:
            [claimed] = outbox.load(tx, [tx.execute(select(func.max(deliveries.c.id))).scalar_one()])
        return claimed.cc

    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.post(f"/conversations/{number}/claim")
        assert re.findall(r'name="cc" value="([^"]+)" checked', bo.text) == [ben, eve]
        form = {"reply": "Which one?", "copies": "1"}
        await bo.post(f"/conversations/{number}/reply", {**form, "key": "a" * 32, "cc": [ben, eve]})
        assert cc() == (ben, eve)
        await bo.post(f"/conversations/{number}/reply", {**form, "key": "b" * 32, "cc": [ben]})
        assert cc() == (ben,)
        await bo.post(f"/conversations/{number}/reply", {**form, "key": "c" * 32})
        assert cc() == ()
        await bo.post(f"/conversations/{number}/reply", {"reply": "By a page of before.", "key": "d" * 32})
        assert cc() == (ben, eve)

        answer = await bo.post(
            f"/conversations/{number}/reply", {**form, "reply": " ", "key": "e" * 32, "cc": [eve]}
        )
        assert answer.status == 403
        assert re.findall(r'name="cc" value="([^"]+)" checked', bo.text) == [eve], "what was chosen is kept"
        stranger = {**form, "key": "f" * 32, "cc": ["mailto:mallory@example.com"]}
        assert (await bo.post(f"/conversations/{number}/reply", stranger)).status == 403
        assert "takes no part in this conversation" in bo.text


async def test_a_customer_is_written_to_first(room: Room) -> None:
    [(number, _)] = room.mails(LETTER)
    customer = room.customer_of(number)
    page = f"/customers/{customer}"
    form = {
        "way": "mail/support mailto:ann@example.net",
        "subject": "Your kettle",
        "text": "A new one is here.",
        "queue": "support",
    }
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(page)
        assert "New message" in bo.text
        assert 'value="mail/support mailto:ann@example.net"' in bo.text
        assert 'value="webchat/main' not in bo.text, "nobody can write first into a chat"

        answer = await bo.post(f"{page}/begin", {**form, "key": "a" * 32})
        assert answer.status == 409, "their conversation is still open"
        assert "go on there" in bo.text
        assert ">A new one is here.</textarea>" in bo.text
        assert 'value="Your kettle"' in bo.text

        await bo.post(f"/conversations/{number}/claim")
        await bo.post(f"/conversations/{number}/close", {"disposition": "solved"})
        for _ in range(2):  # a double click is one message
            await bo.post(f"{page}/begin", {**form, "key": "b" * 32})
            assert "goes out in a moment" in bo.text
            assert "A new one is here." in bo.text
        with room.store.read() as tx:
            [made] = tx.execute(select(deliveries)).all()
            [claimed] = outbox.load(tx, [made.id])
        assert (made.to_urn, made.state, claimed.subject) == ("mailto:ann@example.net", "held", "Your kettle")

        await bo.get(page)
        for wrong in ({"way": "mail/support mailto:eve@example.org"}, {"queue": "billing"}, {"text": " "}):
            answer = await bo.post(f"{page}/begin", {**form, **wrong, "key": "c" * 32})
            assert answer.status in (403, 409), wrong
        with room.store.read() as tx:
            assert tx.execute(select(func.count()).select_from(deliveries)).scalar_one() == 1
