"""The desk against those who may not: every route with every role, forged forms, other teams' work, odd input."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher

from crm_store import logins, views
from crm_store.db import Store
from desk.web import app as webapp
from hub.settings import Settings
from tests.desk.room import Browser, Room, make

PASSWORD = "correct horse battery"

# Who may use what. A route that is missing here fails the test, so nobody adds one without saying for whom it is.
ANYONE, AGENTS, LEADS = "anyone", "agents", "leads"
EXPECTED = {
    "GET /login": ANYONE,
    "POST /login": ANYONE,
    "GET /login/{token}": ANYONE,
    "POST /login/{token}": ANYONE,
    "GET /static/{hash}/{name}": ANYONE,
    "GET /healthz": ANYONE,
    "GET /readyz": ANYONE,
    "POST /logout": AGENTS,
    "GET /account": AGENTS,
    "POST /account/password": AGENTS,
    "GET /": AGENTS,
    "GET /queues/{key}": AGENTS,
    "POST /next": AGENTS,
    "GET /search": AGENTS,
    "GET /presence": AGENTS,
    "POST /presence": AGENTS,
    "GET /live": AGENTS,
    "GET /failed": AGENTS,
    "GET /conversations/{number}": AGENTS,
    "GET /conversations/{number}/why": AGENTS,
    "GET /conversations/{number}/files/{interaction}/{position}": AGENTS,
    "GET /conversations/{number}/mail/{interaction}/html": AGENTS,
    "GET /conversations/{number}/mail/{interaction}/source": AGENTS,
    "GET /conversations/{number}/raw/{interaction}": LEADS,
    **{
        f"POST /conversations/{{number}}/{action}": AGENTS
        for action in (
            "claim", "decline", "release", "reply", "note", "transfer", "snooze", "close", "reopen", "tags",
            "asked",
        )
    },
    **{
        f"POST /conversations/{{number}}/deliveries/{{delivery}}/{action}": AGENTS
        for action in ("undo", "confirm", "retry", "resolve", "revise", "withdraw")
    },
    "POST /conversations/{number}/notes/{note}/edit": AGENTS,
    "POST /conversations/{number}/notes/{note}/remove": AGENTS,
    "GET /customers/{customer}": AGENTS,
    "POST /customers/{customer}": AGENTS,
    "POST /customers/{customer}/begin": AGENTS,
    "POST /customers/{customer}/merge": LEADS,
    "POST /customers/{customer}/merges/{merge}/undo": LEADS,
    "POST /customers/{customer}/proposals/{proposal}/refuse": LEADS,
    "GET /health": LEADS,
    "GET /quarantine": LEADS,
    "GET /quarantine/{entry}": LEADS,
    "POST /quarantine/{entry}/replay": LEADS,
    "POST /quarantine/{entry}/drop": LEADS,
}  # fmt: skip
MAY = {
    None: {ANYONE},
    "bo": {ANYONE, AGENTS},
    "cleo": {ANYONE, AGENTS, LEADS},
    "ada": {ANYONE, AGENTS, LEADS},
}


@pytest.fixture(autouse=True)
def _quick_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(logins, "_hasher", quick)
    monkeypatch.setattr(logins, "_NOBODY", quick.hash("nobody's"))


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Any:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs")
    store.close()


def routes() -> list[tuple[str, str]]:
    """(method, path) of the application as it is built, not of a list of ours."""
    return [(route.method, re.sub(r":\[.*?\]\{.*?\}", "", route.path)) for route in webapp.ROUTES]


def test_every_route_says_who_may_use_it(room: Room) -> None:
    built = webapp.build_app(room.desk)
    there = {
        f"{route.method} {route.resource.canonical}"
        for route in built.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert there == set(EXPECTED), "name who may use each route in EXPECTED"


@pytest.mark.parametrize("who", [None, "bo", "cleo", "ada"])
async def test_every_route_with_every_role(room: Room, who: str | None) -> None:
    fill = {
        "{number}": "999999", "{delivery}": "1", "{customer}": "1", "{merge}": "1", "{proposal}": "1",
        "{entry}": "1", "{interaction}": "1", "{position}": "0", "{token}": "no-such", "{key}": "nowhere",
        "{hash}": "0", "{name}": "no.css", "{note}": "1",
    }  # fmt: skip
    async with room.browsers() as browse:
        browser = await browse(who)
        for route, expected in EXPECTED.items():
            if route in ("POST /logout", "GET /live"):
                continue  # one ends the session, the other never ends; each has a test of its own
            method, _, path = route.partition(" ")
            for name, value in fill.items():
                path = path.replace(name, value)
            if who is None:
                await browser.get("/login")
            data = {"csrf": browser.token} if method == "POST" else None
            answer = await browser.client.request(method, path, data=data, allow_redirects=False)
            body = await answer.text()
            let_in = answer.status not in (401, 403) and not answer.headers.get("Location", "").startswith(
                "/login?"
            )
            if expected in MAY[who]:
                # A handler may still refuse what it was asked; it must be the handler who does.
                assert let_in or ("That is for" not in body and "not logged in" not in body), (
                    route,
                    who,
                    body,
                )
                assert answer.status < 500, (route, who)
            else:
                assert not let_in, (route, who, answer.status)


async def test_live_is_for_agents(room: Room) -> None:
    async with room.browsers() as browse:
        nobody = await browse()
        assert (await nobody.client.get("/live")).status == 401


# ------------------------------------------------------------------------------------------------ forged forms


async def test_a_form_without_the_sessions_token_does_nothing(room: Room) -> None:
    number = room.writes("webchat:ann", "broken")
    async with room.browsers() as browse:
        bo, other = await browse("bo"), await browse("cleo")
        for forged in ({}, {"csrf": ""}, {"csrf": "x" * 43}, {"csrf": other.token}, {"csrf": "é"}):
            answer = await bo.client.post(f"/conversations/{number}/claim", data=forged)
            assert answer.status == 403
        assert room.row(number).state == "waiting"
        answer = await bo.client.post(f"/conversations/{number}/claim", json={"csrf": bo.token})
        assert answer.status == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_of_another_origin_does_nothing(room: Room, headers: dict[str, str]) -> None:
    number = room.writes("webchat:ann", "broken")
    async with room.browsers() as browse:
        bo = await browse("bo")
        answer = await bo.post(f"/conversations/{number}/claim", headers=headers)
        assert answer.status == 403
        assert room.row(number).state == "waiting"


async def test_nothing_is_changed_by_get(room: Room) -> None:
    number = room.writes("webchat:ann", "broken")
    async with room.browsers() as browse:
        bo = await browse("bo")
        for action in ("claim", "close", "reply"):
            assert (await bo.get(f"/conversations/{number}/{action}")).status in (404, 405)
        assert room.row(number).state == "waiting"


async def test_a_strangers_host_name_is_refused(room: Room) -> None:
    async with room.browsers() as browse:
        nobody = await browse()
        assert (await nobody.client.get("/login", headers={"Host": "evil.example"})).status == 421
        assert (await nobody.client.get("/healthz", headers={"Host": "10-0-0-7.pods"})).status == 200


# ------------------------------------------------------------------------------------------------- the session


async def test_log_in_gives_a_new_token_and_log_out_ends_it_on_the_server(room: Room) -> None:
    async with room.browsers() as browse:
        bo = await browse()
        bo.client.session.cookie_jar.update_cookies({"desk-session": "planted-by-an-attacker"})
        token = logins.make_link(room.store, "bo", room.now)
        await bo.get(f"/login/{token}")
        answer = await bo.post(f"/login/{token}", allow_redirects=False)
        cookie = answer.cookies["desk-session"]
        assert cookie.value != "planted-by-an-attacker"
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        await bo.get("/")
        assert (await bo.post("/logout")).status == 200
        again = await bo.client.get(
            "/", headers={"Cookie": f"desk-session={cookie.value}"}, allow_redirects=False
        )
        assert again.status == 303, "the old cookie opens nothing any more"


async def test_a_scanner_that_opens_the_link_does_not_burn_it(room: Room) -> None:
    token = logins.make_link(room.store, "bo", room.now)
    async with room.browsers() as browse:
        scanner, bo = await browse(), await browse()
        for _ in range(3):
            assert "Log in as Bo Lindqvist?" in await (await scanner.client.get(f"/login/{token}")).text()
        assert (await scanner.client.head(f"/login/{token}")).status == 200
        await bo.get(f"/login/{token}")
        assert (await bo.post(f"/login/{token}")).status == 200
        assert (await bo.get("/", allow_redirects=False)).status == 200
        assert (await scanner.client.get(f"/login/{token}")).status == 410


async def test_a_session_ends_when_idle_and_a_listening_page_does_not_keep_it(room: Room) -> None:
    async with room.browsers() as browse:
        bo = await browse("bo")
        room.now += logins.IDLE / 2
        assert (await bo.get("/", headers={"X-Desk-Live": "1"})).status == 200
        room.now += logins.IDLE / 2
        assert (await bo.get("/", headers={"X-Desk-Live": "1"})).status == 401
        assert "/login" in str((await bo.get("/")).url)


async def test_whoever_left_the_configuration_is_out(room: Room) -> None:
    async with room.browsers() as browse:
        bo = await browse("bo")
        room.config.agents.pop("bo")
        assert "/login" in str((await bo.get("/")).url)


async def test_https_gives_host_cookies(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    room = make(store, tmp_path, settings=Settings(desk_url="https://desk.example.com"))
    token = logins.make_link(store, "bo", room.now)
    async with room.browsers() as browse:
        bo = await browse()
        there = {"Host": "desk.example.com", "Origin": "https://desk.example.com"}
        page = await bo.client.get(f"/login/{token}", headers=there)
        form = page.cookies["__Host-desk-form"]
        assert form["secure"]
        assert "max-age" in page.headers["Strict-Transport-Security"]
        cookie = {**there, "Cookie": f"__Host-desk-form={form.value}"}
        answer = await bo.client.post(
            f"/login/{token}", headers=cookie, data={"csrf": form.value}, allow_redirects=False
        )
        session = answer.cookies["__Host-desk-session"]
        assert (session["secure"], session["httponly"], session["domain"]) == (True, True, "")
    store.close()


async def log_in(browser: Browser, name: str, password: str) -> Any:
    await browser.get("/login")
    return await browser.post("/login", {"name": name, "password": password}, allow_redirects=False)


async def test_password_log_in_and_its_lock(room: Room) -> None:
    logins.set_password(room.store, "bo", PASSWORD, room.now)
    async with room.browsers() as browse:
        bo = await browse()
        assert (await log_in(bo, "Bo@Example.com", PASSWORD)).status == 303
        thief = await browse()
        said = set()
        for name in ("bo", "nobody", "eva"):  # a wrong password, no such name, no password at all: one answer
            assert (await log_in(thief, name, "wrong wrong wrong")).status == 403
            said.add(re.search(r'role="alert">([^<]+)', thief.text)[1])  # type: ignore[index]
        assert len(said) == 1
        for _ in range(logins.TRIES - 1):
            await log_in(thief, "bo", "wrong wrong wrong")
        assert (await log_in(thief, "bo", PASSWORD)).status == 403
        assert "quarter of an hour" in thief.text
        for _ in range(20):
            last = await log_in(thief, "ada", "wrong wrong wrong")
        assert last.status == 429, "one address tries only so often, whatever the names"


async def test_the_way_back_after_log_in_stays_on_the_desk(room: Room) -> None:
    logins.set_password(room.store, "bo", PASSWORD, room.now)
    async with room.browsers() as browse:
        for to in (
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/a\nb",
        ):
            bo = await browse()
            await bo.get("/login")
            form = {"name": "bo", "password": PASSWORD, "to": to}
            answer = await bo.post("/login", form, allow_redirects=False)
            assert (answer.status, answer.headers["Location"]) == (303, "/"), to


async def test_a_new_password_logs_other_browsers_out(room: Room) -> None:
    async with room.browsers() as browse:
        here, there = await browse("bo"), await browse("bo")
        form = {"password": PASSWORD, "again": PASSWORD}
        assert (await here.post("/account/password", form)).status == 200
        assert "Your password is set" in here.text
        assert "/login" in str((await there.get("/")).url)
        assert (await here.post("/account/password", form)).status == 403, "asks for the present one"


async def test_every_answer_carries_the_headers(room: Room) -> None:
    number = room.writes("webchat:ann", "hello")
    async with room.browsers() as browse:
        cleo = await browse("cleo")
        for path in (
            "/",
            "/login",
            f"/conversations/{number}",
            "/nowhere",
            "/conversations/1/claim",
            "/healthz",
        ):
            answer = await cleo.get(path)
            headers = answer.headers
            assert "default-src 'none'" in headers["Content-Security-Policy"], path
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert "aiohttp" not in headers["Server"].lower()
        await cleo.get("/")
        style = re.search(r'href="(/static/[^"]+\.css)"', cleo.text)
        assert style is not None
        answer = await cleo.get(style[1])
        assert "immutable" in answer.headers["Cache-Control"]
        assert (await cleo.get("/static/0123456789abcdef/desk.css")).status == 404
        assert (await cleo.get("/static/x/..%2Fapp.py")).status == 404


# --------------------------------------------------------------------------------------------- other teams' work


async def test_an_agent_sees_their_queues_and_their_own(room: Room) -> None:
    theirs = room.writes(
        "webchat:olaf", "where is my invoice, 12345", name="Olaf", files=(("a.txt", "text/plain", b"x"),)
    )
    mine = room.writes("webchat:ann", "it is broken", name="Ann")
    assert (room.row(theirs).queue, room.row(mine).queue) == ("billing", "support")
    customer = room.customer_of(theirs)
    with room.store.read() as tx:
        message = views.conversation(tx, theirs).history.entries[0].id
    room.actions.claim(room.id_of(theirs), "eva")
    sent = room.actions.reply(room.id_of(theirs), "eva", "Here.", idem_key="k")
    async with room.browsers() as browse:
        bo = await browse("bo")
        for path in (
            f"/conversations/{theirs}",
            f"/conversations/{theirs}/why",
            f"/conversations/{theirs}/files/{message}/0",
            f"/conversations/{mine}/files/{message}/0",
            f"/customers/{customer}",
            "/queues/billing",
        ):
            answer = await bo.get(path)
            assert answer.status == 404, path
            assert "Olaf" not in bo.text
        missing = await bo.get("/conversations/999999")
        assert missing.status == 404
        told = [re.sub(r"#\d+|Request \w+|\d+", "", bo.text)]
        await bo.get(f"/conversations/{theirs}")
        told.append(re.sub(r"#\d+|Request \w+|\d+", "", bo.text))
        assert told[0] == told[1], "not there and not yours read the same"
        await bo.get("/")
        for action, form in (
            ("note", {"note": "x"}),
            ("close", {}),
            ("transfer", {"queue": "support", "reason": "x"}),
        ):
            assert (await bo.post(f"/conversations/{theirs}/{action}", form)).status == 404
        for way in (theirs, mine):
            undo = await bo.post(f"/conversations/{way}/deliveries/{sent.delivery_id}/undo")
            assert undo.status == 404
        assert room.delivery_of(theirs).state == "held"
        await bo.get("/search?q=Olaf")
        assert f"/conversations/{theirs}" not in bo.text
        assert f"/customers/{customer}" not in bo.text
        cleo = await browse("cleo")
        assert (await cleo.get(f"/conversations/{theirs}")).status == 200
        assert (await cleo.get(f"/conversations/{theirs}/files/{message}/0")).status == 200


# ---------------------------------------------------------------------------------------------------- odd input

ODD = [
    "", "'", '"', "' OR '1'='1", "1; DROP TABLE customers--", "%", "_", "\\", "%%%", "*", "NEAR(", '"unclosed', "a AND",
    "\x00", "\ud7ff", "😀" * 60, "x" * 5000, "-1", "1e9", "9" * 19, "9" * 40, "١٢٣", "../../etc/passwd",
    "<script>", "{{7*7}}", "${7*7}", "%00", "\n", "#", "#1001", "true", "[]", "null", "\u202e",
]  # fmt: skip


PARAMETERS = (
    "/search?q=",
    "/conversations/1001?before=",
    "/conversations/1001?draft=",
    "/conversations/1001?done=",
    "/customers/1?before=",
    "/quarantine?state=",
    "/login?to=",
    "/queues/",
    "/customers/",
    "/quarantine/",
    "/conversations/",
    "/conversations/1001/files/1/",
    "/conversations/1001?html=",
    "/conversations/1001?pictures=",
    "/conversations/1001/mail/",
    "/live?drawn=",
)


async def test_odd_parameters_are_never_a_500(store: Store, tmp_path: Path) -> None:
    room = make(store, tmp_path)
    room.writes("webchat:ann", "hello", name="Ann")
    async with room.browsers() as browse:
        ada = await browse("ada")
        for path in PARAMETERS:
            for odd in ODD if path.startswith("/search") else ODD[::2]:
                answer = await ada.client.get(path + quote(odd, safe=""))
                assert answer.status in (200, 400, 404), (path, odd, answer.status)
                answer.close()
        for position in ("32767", "32768", "99999"):  # PostgreSQL has room for the first alone
            answer = await ada.client.get(f"/conversations/1001/files/1/{position}")
            assert answer.status == 404, position


BROKEN = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=a", b"x"),
    ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data; name=x\r\n\r\nhi"),
    ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: nonsense\r\n\r\nhi\r\n--a--\r\n"),
    ("application/x-www-form-urlencoded; charset=nope", b"csrf=x"),
    ("application/x-www-form-urlencoded", b"csrf=\xff\xfe"),
]


async def test_forms_that_are_none_are_never_a_500(room: Room) -> None:
    async with room.browsers() as browse:
        nobody = await browse()
        await nobody.get("/login")
        for kind, body in BROKEN:
            answer = await nobody.client.post("/login", data=body, headers={"Content-Type": kind})
            assert answer.status == 400, (kind, body)


async def test_odd_forms_are_never_a_500(store: Store, tmp_path: Path) -> None:
    room = make(store, tmp_path)
    number = room.writes("webchat:ann", "hello", name="Ann")
    fields = {
        "claim": (),
        "reply": ("reply", "channel", "seen", "then", "key"),
        "note": ("note",),
        "tags": ("tags",),
        "snooze": ("for",),
        "transfer": ("queue", "to_agent", "reason"),
        "close": ("disposition", "tags"),
    }
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get(f"/conversations/{number}")
        for action, names in fields.items():
            for odd in ("\x00", "' OR '1'='1", "9" * 40, "x" * 5000):
                for name in names:
                    form = {"reply": "hi", "note": "hi", "reason": "why", "queue": "general", "for": "30"}
                    answer = await ada.client.post(
                        f"/conversations/{number}/{action}", data={**form, name: odd, "csrf": ada.token}
                    )
                    assert answer.status < 500, (action, name, odd)
        for path, name in (
            ("/presence", "status"),
            ("/presence", "for"),
            (f"/customers/{room.customer_of(number)}", "tier"),
        ):
            for odd in ODD[::3]:
                answer = await ada.client.post(path, data={name: odd, "csrf": ada.token})
                assert answer.status < 500, (path, name, odd)
