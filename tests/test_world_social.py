"""A Page and an Instagram account, as customers and agents see them: reads by watermark, proof by echo, comments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_store.carried import Carried
from crm_store.db import Store
from tests.databases import on_postgresql, on_sqlite
from tests.messagingworld import MessagingWorld, messaging_world
from tests.metalines import SocialLine

MESSENGER, INSTAGRAM = "messenger", "instagram"


@pytest.fixture
async def w(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[MessagingWorld]:
    async with messaging_world(tmp_path, store, valkey, MESSENGER, INSTAGRAM) as opened:
        yield opened


def line(w: MessagingWorld, name: str) -> SocialLine:
    found = w.lines[name]
    assert isinstance(found, SocialLine)
    return found


async def test_what_messenger_tells_of_our_answers_is_seen(w: MessagingWorld) -> None:
    """Until when all had arrived, and was read; that one went out to which no answer came; what others write for us."""
    page = line(w, MESSENGER)
    await w.says("Ann", MESSENGER, "Where is my parcel?")
    talk = w.hub.bo.takes_next()
    await w.answers(talk, "It left on Monday.")
    await w.answers(talk, "It should be with you today.")
    assert w.states() == ["sent", "sent"]
    await page.person("Ann").receives()
    await w.settle()
    assert w.states() == ["delivered", "delivered"]
    await page.person("Ann").reads()
    w.graph.fail(how="cut", accepted=True)
    await w.answers(talk, "Is it there?")
    assert w.states() == ["read", "read", "sent"]
    assert len(w.graph.sent) == 3
    await page.own.writes(page.person("Ann"), "Written in Meta's inbox")
    await w.settle()
    note = w.entries(talk)[-1]
    assert (note.direction, note.text) == ("note", "(Sent in Meta's inbox.)\nWritten in Meta's inbox")
    assert len(w.texts(talk)) == 5
    assert w.states() == ["read", "read", "sent"]
    assert (await w.hub.ledger()).quarantined == 0


@on_postgresql
@pytest.mark.parametrize("name", [MESSENGER, INSTAGRAM])
async def test_who_writes_is_called_what_meta_says_unless_we_know_better(
    w: MessagingWorld, name: str
) -> None:
    await w.says("Ann", name, "Hello")
    talk = w.hub.bo.takes_next()
    assert w.hub.bo.sees(talk).card.customer_name == "Ann"
    asked = [one.path for one in w.graph.requests if one.method == "GET"]
    await w.says("Ann", name, "Are you there?")
    assert [one.path for one in w.graph.requests if one.method == "GET"] == asked
    assert len(asked) == 1


@pytest.mark.parametrize("name", [MESSENGER, INSTAGRAM])
async def test_a_comment_is_answered_in_public_and_in_private(w: MessagingWorld, name: str) -> None:
    place = line(w, name)
    await place.person("Ann").comments("Does it come in blue?")
    await w.settle()
    talk = w.hub.bo.takes_next()
    assert [one.form for one in w.entries(talk)] == ["comment"]
    await w.answers(talk, "It does!", carries=Carried(public=True))
    (answer,) = [one for one in place.own.comments.values() if one.ours]
    assert answer.text == "It does!"
    await w.answers(talk, "Shall I put one aside for you?")
    (private,) = w.graph.sent
    assert (private.text, private.user) == ("Shall I put one aside for you?", place.person("Ann").id)
    await w.says("Ann", name, "Yes, please")
    assert [one.text for one in w.entries(talk)][-1] == "Yes, please"
    await w.answers(talk, "Done.")
    assert w.graph.sent[-1].body["recipient"] == {"id": place.person("Ann").id}
    await place.person("Ann").comments("And in red?")
    await w.settle()
    await w.answers(talk, "In red, too.")
    assert w.graph.sent[-1].body["recipient"].keys() == {"comment_id"}
    await w.answers(talk, "Shall I put that one aside as well?")
    assert w.graph.sent[-1].body["recipient"] == {"id": place.person("Ann").id}
    assert set(w.states()) == {"sent"}


@on_sqlite
async def test_an_old_comment_is_still_answered_in_public(w: MessagingWorld) -> None:
    """The sender's own look at windows leaves it alone; what waited out the window in private fails in words."""
    await line(w, MESSENGER).person("Ann").comments("Does it come in blue?")
    await w.settle()
    talk = w.hub.bo.takes_next()
    w.hub.bo.replies(talk, "It does!", carries=Carried(public=True))
    w.hub.bo.replies(talk, "Shall I put one aside?")
    await w.passes(days=8)
    assert w.states() == ["sent", "failed"]
    assert [one.text for one in line(w, MESSENGER).own.comments.values() if one.ours] == ["It does!"]
