"""Conversations that we begin: one, or none at all, with whoever may be written to."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_store import consents, reports, views
from crm_store.carried import Carried, unpack
from crm_store.schema import assignments, customers, deliveries
from crm_store.schema import conversations as conversations_table
from desk.replying import WindowClosed
from desk.revising import Revisable
from hub.config import ApprovedText, CannedReply, ConversationPolicy, Quiet
from hub.errors import Conflict, Refused
from hub.model import Attachment, ConsentChanged, HeaderKind, Template, TemplateHeader
from tests.databases import on_postgresql, on_sqlite
from tests.desk import messaging
from tests.desk.messaging import TEL, Messaging
from tests.desk.room import PNG, Room, make
from tests.store.people import CONFIG, Office, at_once


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


@pytest.fixture
def act(office: Office) -> Any:
    return office.actions()


def begin(act: Any, to: str = "ann@example.com", **more: Any) -> Any:
    order = {
        "agent": "bo",
        "queue": "sales",
        "account": "mail/main",
        "text": "Your order is ready",
        "idem_key": "k",
    }
    return act.begin(**{**order, **more}, to_urn=to)


def counts(office: Office) -> tuple[int, int, int]:
    """Customers, conversations, deliveries."""
    with office.store.read() as tx:
        tables = (customers, conversations_table, deliveries)
        one, two, three = (tx.execute(select(func.count()).select_from(t)).scalar_one() for t in tables)
        return one, two, three


@on_sqlite
def test_a_stranger_becomes_a_lead_with_a_conversation_and_a_held_reply(office: Office, act: Any) -> None:
    begun = begin(act, " Ann@Example.com ", name=" Ann  Weber ", subject="Order 12")
    assert counts(office) == (1, 1, 1)
    with office.store.read() as tx:
        page = views.conversation(tx, begun.conversation_id)
        taken = tx.execute(select(assignments)).one()
    card, [entry] = page.card, page.history.entries
    assert (card.number, card.state, card.assignee, card.queue) == (begun.number, "open", "bo", "sales")
    assert (card.urn, card.customer_name, card.subject, card.account) == (
        "mailto:ann@example.com", "Ann Weber", "Order 12", "mail/main",
    )  # fmt: skip
    assert (card.waiting_since, card.rank_at, card.last_inbound_id) == (None, None, None)
    assert (entry.direction, entry.text, entry.sender_name) == ("out", "Your order is ready", "Bo")
    assert entry.delivery is not None
    assert (entry.delivery.state, entry.delivery.to_urn) == ("held", "mailto:ann@example.com")
    assert begun.reply.undo_until is not None
    assert (taken.agent, taken.kind, taken.ended_at) == ("bo", "claim", None)
    assert [happened.what for happened in page.events] == ["begun", "answered"]
    assert not page.identities[0].verified, "an agent's word is no proof"
    assert office.woken == ["workers.deliver.job"]
    assert ("conversation", {"conversation": begun.conversation_id}) in office.told


@on_postgresql
def test_the_same_key_is_one_conversation(office: Office, act: Any) -> None:
    results = at_once(6, lambda _: begin(act))
    assert {type(result).__name__ for result in results} == {"Begun"}, results
    assert len({result.reply.delivery_id for result in results}) == 1
    assert sum(result.reply.new for result in results) == 1
    assert counts(office) == (1, 1, 1)
    act.undo(results[0].reply.delivery_id, "bo")
    act.close(results[0].conversation_id, "bo")
    assert begin(act).conversation_id == results[0].conversation_id, (
        "closed meanwhile, and still the same press"
    )


def test_of_two_agents_at_once_the_other_is_told(office: Office, act: Any) -> None:
    results = at_once(2, lambda n: begin(act, agent=("bo", "cy")[n], idem_key=f"k{n}"))
    lost = [result for result in results if isinstance(result, Conflict)]
    assert len(lost) == 1, results
    assert counts(office) == (1, 1, 1)


@on_sqlite
def test_an_open_conversation_is_where_a_reply_belongs(office: Office, act: Any) -> None:
    office.numbers = 5000
    office.customer("Ann", "mailto:ann@example.com", "webchat:ann")
    conversation, _ = office.writes("webchat:ann", "hello")
    with pytest.raises(Conflict, match="open conversation already, #5001"):
        begin(act)
    act.claim(conversation, "bo")
    act.close(conversation, "bo")
    begun = begin(act)
    assert begun.conversation_id != conversation
    assert counts(office) == (1, 2, 1), "a known customer is not made anew"
    with office.store.read() as tx:
        assert views.card(tx, begun.conversation_id).customer_name == "Ann"


@on_postgresql
def test_their_answer_finds_it(office: Office, act: Any) -> None:
    begun = begin(act)
    row, who = office.row(begun.conversation_id), office.who("mailto:ann@example.com")
    assert row.slot == row.home == f"c:{who.customer_id}"
    by_account = replace(CONFIG, accounts={
        **CONFIG.accounts, "mail/main": replace(CONFIG.accounts["mail/main"], policy=ConversationPolicy.ACCOUNT),
    })  # fmt: skip
    other = begin(office.actions(config=by_account), "bea@example.com", idem_key="k2")
    assert office.row(other.conversation_id).slot == f"a:mail/main:{office.who('mailto:bea@example.com').id}"


def test_what_may_not_be_sent_leaves_no_trace(office: Office, act: Any) -> None:
    gone = ConsentChanged(
        account="mail/main", event_key="c1", received_at=office.now, urn="mailto:stop@example.com", granted=False,
    )  # fmt: skip
    office.store.run(
        lambda tx: consents.apply(tx, office.ids, [gone], lambda _: "acme", "customer", office.now)
    )
    for more, why in (
        ({"to": "stop@example.com"}, "opted out"),
        ({"to": "not an address"}, "no address"),
        ({"to": ""}, "no address"),
        ({"to": "+15551230001"}, "has never written to Mail"),
        ({"account": "webchat/main", "to": "webchat:ann"}, "has never written to Chat"),
        ({"account": "window/main", "to": "+15551230001"}, "only within 24 hours"),
        ({"account": "fax/main"}, "no account"),
        ({"queue": "nowhere", "agent": "lea"}, "no queue"),
        ({"queue": "billing"}, "You are not in the queue billing"),
        ({"agent": "zed"}, "no agent"),
        ({"text": "  "}, "empty"),
        ({"text": "x" * 10_001}, "takes 10,000 at most"),
        ({"idem_key": ""}, "key"),
    ):
        with pytest.raises(Refused, match=why):
            begin(act, **more)
    assert counts(office) == (0, 0, 0)
    assert (office.woken, office.told) == ([], [])


@on_sqlite
def test_which_accounts_can_write_first(act: Any) -> None:
    assert [one.account.key for one in act.senders("bo")] == ["mail/main", "mail/other"]


@on_postgresql
def test_nobody_waits_for_our_first_answer(office: Office, act: Any) -> None:
    begun = begin(act)
    act.undo(begun.reply.delivery_id, "bo")
    office.later(hours=1)
    assert office.row(begun.conversation_id).state == "open"
    with office.store.read() as tx:
        [sales] = reports.queues(tx, CONFIG, office.now.replace(hour=0), office.now, office.now)
    assert (sales.opened, sales.late) == (1, 0)


# ------------------------------------------------------------------------- where a window lets nothing else through

MORNING = Quiet(start=time(9), to=time(12), timezone="UTC")
SHIPPED = messaging.shipped("7", "Monday")
READS = "Your order 7 is on its way and should reach you on Monday."


@pytest.fixture
def talks(store: Any, tmp_path: Path) -> Messaging:
    return messaging.make(store, tmp_path / "blobs")


def sends(room: Messaging, to: str = TEL, **more: Any) -> Any:
    order: dict[str, Any] = {"idem_key": "k", "carries": Carried(template=SHIPPED), **more}
    return room.actions.begin("bo", "general", "whatsapp/main", to, READS, **order)


@on_sqlite
def test_a_template_begins_a_conversation_over_a_channel_with_a_window(talks: Messaging) -> None:
    with pytest.raises(WindowClosed, match=r"only within 24 hours.*approved template"):
        sends(talks, carries=Carried())
    begun = sends(talks, name="Ann")
    made = talks.delivery_of(begun.number)
    assert (made.account, made.to_urn, made.state) == ("whatsapp/main", TEL, "held")
    assert unpack(made.carries) == Carried(template=SHIPPED)
    assert sends(talks).reply.delivery_id == begun.reply.delivery_id, "the same press"
    with talks.store.read() as tx:
        [entry] = views.conversation(tx, begun.conversation_id).history.entries
    assert entry.text == READS
    assert entry.delivery is not None
    assert talks.actions.revisable(entry.delivery) == Revisable(edit=False, delete=True)
    with pytest.raises(Refused, match="goes out as it was filled"):
        talks.actions.revise(made.id, "bo", "Your order 8 is on its way.", "r")
    assert talks.actions.revise(made.id, "bo", READS, "r").how == "nothing"
    talks.later(minutes=5)
    assert talks.writes(TEL, "thanks!", account="whatsapp/main") == begun.number
    talks.actions.reply(begun.conversation_id, "bo", "You are welcome", idem_key="2")


@on_postgresql
def test_with_a_template_the_same_holds_as_for_every_first_message(talks: Messaging) -> None:
    gone = ConsentChanged(
        account="whatsapp/main", event_key="c1", received_at=talks.now, urn="tel:+447700900999", granted=False,
    )  # fmt: skip
    talks.store.run(
        lambda tx: consents.apply(tx, talks.store.ids, [gone], lambda _: "main", "customer", talks.now)
    )
    file = Attachment(sha256="a" * 64, content_type="image/png", size_bytes=10, name="a.png")
    for more, why in (
        ({"to": "+44 7700 900999"}, "opted out"),
        ({"to": "ann@example.com"}, "has never written to WhatsApp"),
        ({"attachments": (file,)}, "No file goes with an approved text"),
        ({"carries": Carried(template=SHIPPED, public=True)}, "no public place"),
    ):
        with pytest.raises(Refused, match=why):
            sends(talks, **more)
    with pytest.raises(Refused, match="Text messages has no templates"):
        talks.actions.begin(
            "bo", "general", "sms_twilio/uk", TEL, READS, idem_key="k", carries=Carried(template=SHIPPED)
        )
    account = replace(talks.config.accounts["whatsapp/main"], quiet=MORNING)
    talks.config = replace(talks.config, accounts={**talks.config.accounts, "whatsapp/main": account})
    with pytest.raises(Refused, match="quiet hours until 12:00 UTC"):
        sends(talks)
    with talks.store.read() as tx:
        assert tx.execute(select(func.count()).select_from(conversations_table)).scalar_one() == 0


@on_sqlite
def test_accounts_with_a_window_are_offered_where_a_text_is_approved(talks: Messaging) -> None:
    offered = {one.account.key: one.template for one in talks.actions.senders("bo")}
    assert offered == {
        "webhook/main": False, "mail/support": False, "whatsapp/main": True, "sms_twilio/uk": False,
    }  # fmt: skip
    plain = {key: replace(one, approved={}) for key, one in talks.config.replies.items()}
    with_none = replace(talks.config, replies=plain)
    talks.config, full = with_none, talks.config
    assert "whatsapp/main" not in {one.account.key for one in talks.actions.senders("bo")}
    talks.config = full


@on_postgresql
def test_free_text_is_a_way_again_while_their_window_is_open(talks: Messaging) -> None:
    def ways() -> list[tuple[str | None, bool]]:
        return [(one.account, one.template) for one in talks.actions.ways("bo", "main", [TEL])]

    assert ways() == [("sms_twilio/uk", False), ("whatsapp/main", True)], "what takes free text first"
    number = talks.claimed(TEL, "hello", "whatsapp/main")
    talks.actions.close(talks.id_of(number), "bo")
    assert ways() == [("whatsapp/main", False), ("sms_twilio/uk", False)]
    assert sends(talks, carries=Carried()).number != number
    talks.later(days=1, minutes=1)
    assert ways() == [("sms_twilio/uk", False), ("whatsapp/main", True)]
    assert talks.actions.ways("bo", "main", ["instagram:178414"]) == ()


async def test_the_customers_page_sends_the_approved_text(talks: Messaging) -> None:
    number = talks.claimed(TEL, "hello", "whatsapp/main")
    talks.actions.close(talks.id_of(number), "bo")
    talks.later(days=2)
    replies = talks.config.replies
    only = replace(replies["shipped"], key="only", title="Only there", queues=("billing", "support"))
    head = TemplateHeader(kind=HeaderKind.IMAGE, value="")
    pic = CannedReply(
        key="pic",
        title="A picture",
        text="See it",
        approved={"whatsapp": ApprovedText(name="pic", header=head)},
    )
    talks.config = replace(talks.config, replies={**replies, "only": only, "pic": pic})
    page = f"/customers/{talks.customer_of(number)}"
    form = {
        "way": f"whatsapp/main {TEL}",
        "queue": "general",
        "ready": "shipped",
        "place": ["7", "Monday"],
        "key": "a" * 32,
    }
    async with talks.browsers() as browse:
        bo = await browse("bo")
        await bo.get(page)
        assert "by WhatsApp (approved texts only)" in bo.text
        assert "As an approved text it has an image at its head: attach it below." in bo.text
        for wrong, why in (
            ({"place": ["7"]}, "has 2 places to fill"),
            ({"text": "and more"}, "Only the approved text can go by WhatsApp"),
            ({"ready": "only"}, "is not offered in the queue General"),
            ({"ready": "rate", "place": []}, "has no approved text"),
            ({"ready": "pic", "place": []}, "has an image at its head: attach it"),
            ({"way": f"instagram/shop {TEL}"}, "not open any more"),
        ):
            answer = await bo.post(f"{page}/begin", {**form, **wrong})
            assert answer.status == 403, wrong
            assert why in bo.text
        answer = await bo.post(f"{page}/begin", form)
        assert "goes out in a moment" in bo.text
        made = talks.delivery_of(int(answer.url.name))
        assert (made.account, unpack(made.carries).template) == ("whatsapp/main", SHIPPED)
        talks.actions.close(made.conversation_id, "bo")
        del form["place"]
        pictured = {**form, "ready": "pic", "files": BytesIO(PNG), "key": "b" * 32}
        answer = await bo.post(f"{page}/begin", pictured)
        assert "goes out in a moment" in bo.text
    with talks.store.read() as tx:
        talk = talks.id_of(int(answer.url.name))
        [entry] = views.conversation(tx, talk).history.entries[-1:]
    assert entry.delivery is not None
    assert entry.delivery.carries.template == Template(name="pic", header=head)
    assert [one.content_type for one in entry.attachments] == ["image/png"]


@pytest.fixture
def room(store: Any, tmp_path: Path) -> Room:
    return make(store, tmp_path)


@on_sqlite
def test_what_its_owner_answers_continues_it(room: Room) -> None:
    """By the real router: the address counts as seen, so that its owner is not taken for a stranger."""
    begun = room.actions.begin(
        "bo", "general", "webhook/main", "ann@example.com", "Your lamp is here", idem_key="k"
    )
    room.later(minutes=5)
    number = room.writes("mailto:ann@example.com", "thanks!", name="Ann", account="webhook/main")
    assert number == begun.number
    row = room.row(number)
    assert (row.state, row.assignee, row.waiting_since) == ("open", "bo", room.now)
    with room.store.read() as tx:
        page = views.conversation(tx, number)
    assert [entry.text for entry in page.history.entries] == ["Your lamp is here", "thanks!"]
    assert page.card.customer_name == "Ann", "who had no name yet has one now"


@on_postgresql
async def test_the_web_desk_shows_what_was_begun(room: Room) -> None:
    begun = room.actions.begin(
        "bo", "general", "webhook/main", "ann@example.com", "Your lamp is here", idem_key="k"
    )
    async with room.browsers() as browse:
        bo = await browse("bo")
        answer = await bo.get(f"/conversations/{begun.number}")
        assert answer.status == 200
        assert "began it, in General" in bo.text
        assert "Your lamp is here" in bo.text
