"""S12 and S14 over every route and parameter there is, taken from the application and its code, not from a list."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from crm_store.db import Store
from desk.web import app as webapp
from desk.web.context import Need
from hub.model import Entry, MessageReceived
from tests.desk import test_web_security as desk
from tests.desk.room import Room, make

ROOT = Path(__file__).parents[2]
FILL = {
    "number:[0-9]{1,12}": "1001", "{number}": "1001", "{delivery}": "1", "{customer}": "1", "{merge}": "1",
    "{proposal}": "1", "{entry}": "1", "{token}": "x", "{note}": "1",
}  # fmt: skip


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Any:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs")
    store.close()


def changing(room: Room) -> list[tuple[str, Need]]:
    """Every path that takes something other than GET, filled in, and whom it is for."""
    built = webapp.build_app(room.desk)
    out = []
    for route in built.router.routes():
        if route.method in ("GET", "HEAD") or route.resource is None:
            continue
        path = route.resource.canonical
        need = built[webapp.auth.NEEDS][route.method, path]
        assert route.method == "POST", "forms send nothing else"
        for mark, value in FILL.items():
            path = path.replace(mark, value)
        assert "{" not in path, path
        out.append((path, need))
    return out


async def test_no_state_changes_without_the_forms_token_or_from_elsewhere(room: Room) -> None:
    room.writes("webchat:ann", "broken")
    paths = changing(room)
    assert len(paths) > 20
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get("/")
        before = room.row(1001)
        for path, _ in paths:
            for data, headers in (
                ({}, {}),
                ({"csrf": "x" * len(ada.token)}, {}),
                ({"csrf": ada.token}, {"Origin": "https://evil.example"}),
                ({"csrf": ada.token}, {"Origin": "null"}),
                ({"csrf": ada.token}, {"Sec-Fetch-Site": "cross-site"}),
            ):
                answer = await ada.client.post(path, data=data, headers=headers, allow_redirects=False)
                assert answer.status == 403, (path, data, headers)
            # The token belongs into the form: neither the address nor a header counts.
            answer = await ada.client.post(
                f"{path}?csrf={ada.token}", data={"x": "y"}, headers={"X-CSRF-Token": ada.token}
            )
            assert answer.status == 403, path
        assert room.row(1001) == before
        assert (await ada.get("/", allow_redirects=False)).status == 200, "nobody was logged out either"


async def test_a_stranger_makes_the_desk_read_little(room: Room) -> None:
    async with room.browsers() as browse:
        nobody = await browse()
        await nobody.get("/login")
        form = FormData({"csrf": nobody.token, "name": "bo"})
        form.add_field("password", b"x" * 100_000, filename="x")
        assert (await nobody.client.post("/login", data=form)).status == 413


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_only_a_page_of_the_desk_may_listen(room: Room, headers: dict[str, str]) -> None:
    async with room.browsers() as browse:
        bo = await browse("bo")
        answer = await bo.client.get("/live", headers=headers)
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_live_pages_are_not_kept_by_anybody(room: Room) -> None:
    async with room.browsers() as browse:
        bo = await browse("bo")
        answer = await bo.client.get("/live", headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 200
        assert "no-store" in answer.headers["Cache-Control"] or "no-cache" in answer.headers["Cache-Control"]
        answer.close()


async def test_a_session_is_worth_nothing_at_another_browsers_form(room: Room) -> None:
    """Fixation: the form's cookie that a stranger planted is not the one that counts after log-in."""
    async with room.browsers() as browse:
        bo = await browse("bo")
        bo.client.session.cookie_jar.update_cookies({"desk-form": "planted"})
        answer = await bo.client.post("/presence", data={"csrf": "planted", "status": "away"})
        assert answer.status == 403


def test_every_search_parameter_is_among_those_that_are_tried() -> None:
    """A parameter that a page reads has its odd values in tests/desk/test_web_security.py."""
    tried = " ".join(desk.PARAMETERS)
    named = set()
    for path in sorted((ROOT / "desk" / "web").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "request.query.get", "forms.query_number", "query_number",
            ):  # fmt: skip
                words = [
                    a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
                ]
                named.update(words[:1])
    assert named >= {"q", "before", "state", "to"}
    missing = {name for name in named - {"show"} if f"?{name}=" not in tried}
    assert not missing, "put them into PARAMETERS"


async def test_an_agent_sees_that_a_sender_is_not_proved(room: Room) -> None:
    number = room.writes("mailto:ann@example.com", "really me")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        assert "sender not proved" not in bo.text
        event = MessageReceived(
            account="webhook/main",
            event_key="forged",
            received_at=room.now,
            sender="mailto:ann@example.com",
            text="send the goods elsewhere",
        )
        room.handler.batch([Entry(producer="other", seq=1, accepted_at=room.now, event=event)])
        await bo.get(f"/conversations/{number}")
        assert "sender not proved" in bo.text
