"""WhatsApp at the real edge: the handshake, deliveries, a forger, an address that nobody has; accounts of one app."""

from dataclasses import replace
from pathlib import Path

from msgspec import structs

from connectors.whatsapp import CONNECTOR
from hub.config import Account
from hub.model import DeliveryReported, IdentityLearned, MessageReceived
from tests.connectors.gate import gate
from tests.connectors.graph_world import at, message, wire
from tests.connectors.samples import account
from tests.connectors.test_accounts import resolve
from tests.servers.graph import Graph


async def test_from_the_dashboard_to_the_first_answer(tmp_path: Path, valkey: str) -> None:
    async with Graph() as graph:
        number = graph.number()
        ours = at(graph, number)
        async with gate(tmp_path, valkey, accounts={ours.key: ours}) as g:
            url = f"{g.url}/in/whatsapp/main"
            assert await graph.subscribe(url)  # "Verify and save"
            assert not await graph.door.verifies(url, "another word")
            ann = number.customer("Ann")
            told = await ann.says("Where is my parcel?")
            assert told.ok
            assert await graph.door.redeliver(told.delivery, times=2) == [200, 200]
            said = [event for event in g.kept() if isinstance(event, MessageReceived)]
            assert {one.event_key for one in said} == {told.id}
            async with wire() as way:
                answer = structs.replace(message(), heard_id=said[0].external_id)
                sent = await CONNECTOR.send(answer, ours, way)
            await graph.settled()
            assert (await ann.receives(sent.external_ids[0])).ok
            reports = [event for event in g.kept() if isinstance(event, DeliveryReported)]
            assert {one.delivery_id for one in reports} == {answer.delivery_id}
            assert [event for event in g.kept() if isinstance(event, IdentityLearned)]
            forged = await graph.door.post("whatsapp_business_account", url, [told.entry], secret="wrong")
            assert forged.answers == [403, 403]
            nobody = await graph.door.post(
                "whatsapp_business_account", f"{g.url}/in/whatsapp/gone", [told.entry]
            )
            assert nobody.answers == [200]


def test_numbers_of_one_app_know_each_other() -> None:
    def named(name: str, number: str, secret: str) -> Account:
        names: dict[str, tuple[str, ...]] = {
            "app_secret": (secret,),
            "token": (f"{secret}_TOKEN",),
            "verify_token": ("WORD",),
        }
        return replace(account(f"whatsapp/{name}", {}, phone_number_id=number), secret_names=names)

    good, troubles = resolve(
        named("a", "1", "ONE"), named("b", "2", "ONE"), named("c", "3", "TWO"),
        ONE="s1", TWO="s2", ONE_TOKEN="t1", TWO_TOKEN="t2", WORD="w",
    )  # fmt: skip
    assert troubles == {}
    assert (
        good["whatsapp/a"].siblings == good["whatsapp/b"].siblings == {"1": "whatsapp/a", "2": "whatsapp/b"}
    )
    assert good["whatsapp/c"].siblings == {"3": "whatsapp/c"}  # a word in common is no app in common
