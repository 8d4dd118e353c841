"""WhatsApp's files, how a number stands there, and where its notifications go."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from connectors.base import FetchError, Finding
from connectors.whatsapp import CONNECTOR
from hub.errors import SendCode, SendError
from hub.model import Media
from tests.connectors.graph_world import PUBLIC
from tests.connectors.whatsapp_world import Shop, opened

JPEG = b"\xff\xd8\xff\xe0" + b"x" * 500


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as shop:
        yield shop


# ------------------------------------------------------------------------------------------------------------ files


async def picture(shop: Shop) -> Media:
    await shop.number.customer().sends(JPEG, "image/jpeg")
    return shop.messages()[0].media[0]


async def test_a_file_is_asked_for_by_its_id_and_fetched_with_the_token(shop: Shop) -> None:
    found = await CONNECTOR.fetch(await picture(shop), shop.account, shop.way)
    assert (found.data, found.content_type) == (JPEG, "image/jpeg")
    await shop.graph.passes(600)  # the address in the webhook has ended; the id has not
    again = await CONNECTOR.fetch(Media(ref=list(shop.graph.media)[-1]), shop.account, shop.way)
    assert again.data == JPEG


async def test_an_address_that_has_ended_is_asked_for_anew(shop: Shop) -> None:
    media = await picture(shop)
    shop.graph.fail(at="cdn", status=404)
    with pytest.raises(FetchError) as caught:
        await CONNECTOR.fetch(media, shop.account, shop.way)
    assert caught.value.retry
    assert (await CONNECTOR.fetch(media, shop.account, shop.way)).data == JPEG


async def test_a_file_that_is_gone_is_gone(shop: Shop) -> None:
    media = await picture(shop)
    await shop.graph.passes(8 * 86_400)
    with pytest.raises(FetchError) as caught:
        await CONNECTOR.fetch(media, shop.account, shop.way)
    assert not caught.value.retry
    shop.number.expire()
    with pytest.raises(FetchError) as caught:
        await CONNECTOR.fetch(media, shop.account, shop.way)
    assert caught.value.retry  # the token may be mended
    assert shop.number.token not in str(caught.value)


async def test_the_token_goes_to_metas_hosts_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    media = await picture(shop)
    ask = shop.number._media

    def elsewhere(*given: Any) -> dict[str, Any]:
        return {**ask(*given), "url": "https://evil.example/a.jpg"}

    monkeypatch.setattr(shop.number, "_media", elsewhere)
    with pytest.raises(FetchError, match="has no files"):
        await CONNECTOR.fetch(media, shop.account, shop.way)


# ------------------------------------------------------------------------------------------------------- how it stands


def wrongs(found: tuple[Finding, ...]) -> str:
    return " | ".join(f"{one.what}: {one.wrong}" for one in found if one.wrong)


async def test_doctor_sees_a_number_that_stands_well(shop: Shop) -> None:
    shop.graph.listen(f"{PUBLIC}/in/whatsapp/second", "whatsapp_business_account")  # a sibling's address does
    found = await CONNECTOR.examine(shop.account, shop.way)
    assert wrongs(found) == ""
    said = " | ".join(one.what for one in found)
    for words in (
        "Acme",
        "connected",
        "GREEN",
        "notifications go to",
        "has what it needs",
        "subscribed to the",
    ):
        assert words in said


async def test_doctor_sees_what_is_wrong(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    good = shop.number.node
    bad = {
        **good,
        "status": "FLAGGED",
        "quality_rating": "RED",
        "name_status": "DECLINED",
        "platform_type": "ON",
    }
    monkeypatch.setattr(type(shop.number), "node", property(lambda _: bad))
    shop.number.waba.apps = False
    monkeypatch.setattr(type(shop.number), "scopes", ["whatsapp_business_messaging"], raising=False)
    monkeypatch.setattr(type(shop.number.waba), "scopes", ["whatsapp_business_messaging"])
    said = wrongs(await CONNECTOR.examine(shop.account, shop.way))
    for words in (
        "FLAGGED",
        "RED",
        "DECLINED",
        "lives on ON",
        "should come here",
        "lacks",
        "is not subscribed",
    ):
        assert words in said


async def test_hook_subscribes_the_business_account_to_our_address(shop: Shop) -> None:
    shop.number.waba.apps = False
    assert f"{PUBLIC}/in/whatsapp/main" in await CONNECTOR.hook(shop.account, shop.way)
    assert shop.number.waba.apps
    assert shop.graph.requests[-1].body == {
        "override_callback_uri": f"{PUBLIC}/in/whatsapp/main",
        "verify_token": shop.graph.verify_token,
    }
    settings = {name: value for name, value in shop.account.settings.items() if name != "waba_id"}
    with pytest.raises(SendError) as caught:
        await CONNECTOR.hook(replace(shop.account, settings=settings), shop.way)
    assert caught.value.code is SendCode.CHANNEL_CONFIG
