"""A mail on the web desk: its text, what it quotes, who else has it, what proves it, and its HTML and source."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nh3
import pytest

from connectors.mail import sanitise, styles
from connectors.mail.display import NO_HTML, Display, Displayer, html_of
from crm_store.db import Store
from desk.web import app as webapp
from tests.desk.letters import mail
from tests.desk.room import PNG, Room, make
from tests.each import each

QUOTED = """Please send me another one.

On Thu, 19 Nov 2026 at 09:12, Example Support <support@example.com> wrote:
> We are sorry to hear that.
> What is wrong with the kettle?
"""
HTML = """<html><head><style>p{color:red}</style></head><body>
<p style="color:#333">Please send me <b>another</b> one.</p><img src="cid:logo@example.org" width="20">
<img src="https://shop.example/banner.png" alt="Our banner">
<a href="https://evil.example/login">https://bank.example/login</a></body></html>"""


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Iterator[Room]:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs", letters=shown_here)
    store.close()


async def shown_here(raw: bytes, pictures: bool) -> Display:
    """As the process apart does it, without one; further below it is the process itself that is asked."""
    return html_of(raw, pictures=pictures)


async def test_a_mails_text_is_shown_and_what_it_quotes_is_folded(room: Room) -> None:
    ((number, message),) = room.mails(mail(text=QUOTED, cc="Carl <carl@example.org>, support@example.com",
                                      files=(("bill.pdf", "application/pdf", b"%PDF-1.4 x"),)))  # fmt: skip
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get(f"/conversations/{number}")
        fold = re.search(rf'<details[^>]*id="quoted-{message}">(.*?)</details>', ada.text, re.DOTALL)
        assert fold is not None
        assert "Show quoted text" in fold[1]
        assert "What is wrong with the kettle?" in fold[1]
        assert "Please send me another one." in ada.text.replace(fold[0], "")
        assert "What is wrong" not in ada.text.replace(fold[0], "")
        assert "carl@example.org" in ada.text
        assert "bill.pdf" in ada.text
        assert "proved by DMARC" in ada.text
        assert "<iframe" not in ada.text


@pytest.mark.parametrize(
    "proof",
    [
        "",
        "mx.example.com; spf=fail; dkim=none; dmarc=fail header.from=example.org",
        "mx.example.com; spf=softfail; dmarc=none",
        "evil.example; dmarc=pass header.from=example.org",
        "mx.example.com; dmarc=pass header.from=other.example",
    ],
)
async def test_a_sender_whom_nothing_proves_is_shown_as_such(room: Room, proof: str) -> None:
    ((number, _),) = room.mails(mail(proof=proof))
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get(f"/conversations/{number}")
        assert "sender not proved" in ada.text
        assert "proved by DMARC" not in ada.text


async def test_html_is_shown_in_a_frame_that_may_do_nothing(room: Room) -> None:
    ((number, message),) = room.mails(mail(HTML))
    async with room.browsers() as browse:
        ada = await browse("ada")
        answer = await ada.get(f"/conversations/{number}")
        assert "frame-src" not in answer.headers["Content-Security-Policy"]
        answer = await ada.get(f"/conversations/{number}?html={message}")
        assert answer.headers["Content-Security-Policy"] == f"{webapp.CSP}; frame-src 'self'"
        frames = re.findall(r"<iframe[^>]*>", ada.text)
        assert len(frames) == 1
        assert f'src="/conversations/{number}/mail/{message}/html"' in frames[0]
        assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in frames[0]
        assert "1 picture on other machines is not shown" in ada.text
        frame = await ada.client.get(f"/conversations/{number}/mail/{message}/html")
        said = frame.headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "img-src data:;", "form-action 'none'", "base-uri 'none'",
                     "frame-ancestors 'self'", "sandbox allow-popups allow-popups-to-escape-sandbox"):  # fmt: skip
            assert part in said
        assert "allow-scripts" not in said
        assert "allow-same-origin" not in said
        assert frame.headers["X-Content-Type-Options"] == "nosniff"
        assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert frame.headers["Referrer-Policy"] == "no-referrer"
        assert frame.headers["X-DNS-Prefetch-Control"] == "off"
        assert frame.headers["Content-Type"] == "text/html; charset=utf-8"
        text = await frame.text()
        assert '<p style="color:#333">Please send me <b>another</b> one.</p>' in text
        assert 'src="data:image/png;base64,' in text
        assert "shop.example" not in text
        assert "Our banner" in text
        assert 'rel="noopener noreferrer nofollow"' in text
        assert 'data-to="evil.example"' in text, "its words name another host"


async def test_pictures_elsewhere_are_fetched_only_when_asked_for(room: Room) -> None:
    ((number, message),) = room.mails(mail(HTML + "<img src='http://plain.example/a.png'>"))
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get(f"/conversations/{number}?html={message}&pictures=1")
        assert "Hide pictures" in ada.text
        frame = await ada.client.get(f"/conversations/{number}/mail/{message}/html?pictures=1")
        assert "img-src data: https:;" in frame.headers["Content-Security-Policy"]
        assert frame.headers["Referrer-Policy"] == "no-referrer"
        text = await frame.text()
        assert 'src="https://shop.example/banner.png"' in text
        assert 'src="https://plain.example/a.png"' in text, "never in the clear"


async def test_the_source_is_every_byte_and_is_only_saved(room: Room) -> None:
    raw = mail(HTML)
    ((number, message),) = room.mails(raw)
    async with room.browsers() as browse:
        ada = await browse("ada")
        answer = await ada.client.get(f"/conversations/{number}/mail/{message}/source")
        assert await answer.read() == raw
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="mail-')
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_a_mail_is_shown_to_whom_its_conversation_is(room: Room) -> None:
    ((number, message),) = room.mails(mail(HTML))
    other = room.writes("webchat:zed", "An invoice, please", blob=room.blobs.put(b"a request with a secret"))
    chat = room.newest_message()
    async with room.browsers() as browse:
        nobody, eva, bo = await browse(), await browse("eva"), await browse("bo")
        for what in ("html", "source"):
            away = await nobody.client.get(
                f"/conversations/{number}/mail/{message}/{what}", allow_redirects=False
            )
            assert away.status == 303, "to the log-in"
            assert (await bo.client.get(f"/conversations/{number}/mail/{message}/{what}")).status == 200
            for path in (
                f"/conversations/{number}/mail/{message}/{what}",  # not in Eva's queues
                f"/conversations/{other}/mail/{message}/{what}",  # of another customer
                f"/conversations/{other}/mail/{chat}/{what}",  # what is no mail
                f"/conversations/{other}/mail/9999999999999999999/{what}",
            ):
                assert (await eva.client.get(path)).status == 404, path
        assert (await eva.client.get(f"/conversations/{other}?html={message}")).status == 404


async def test_a_mail_without_html_says_so_and_shows_its_text(room: Room) -> None:
    ((number, message),) = room.mails(mail(text="Only words."))
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get(f"/conversations/{number}?html={message}")
        assert NO_HTML in ada.text
        assert "Only words." in ada.text
        assert "<iframe" not in ada.text


async def test_a_desk_without_the_port_shows_texts(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    room = make(store, tmp_path / "blobs", letters=None)
    ((number, message),) = room.mails(mail(HTML))
    async with room.browsers() as browse:
        ada = await browse("ada")
        await ada.get(f"/conversations/{number}?html={message}")
        assert "Show as HTML" not in ada.text
        assert f"/mail/{message}/source" in ada.text
        assert (await ada.client.get(f"/conversations/{number}/mail/{message}/html")).status == 404
    store.close()


# ---------------------------------------------------------------------------------------------- the process apart


@each(
    "html",
    [
        "<div>" * 20_000,
        "<p>x</p>" * 70_000,
        "<p>" + "x" * 2_100_000,
        "".join(f"<b id={n}>" for n in range(4_000)) + "<p>" * 4_000,
        "<table><tr><td>" * 3_000,
        "<a href=x>" * 50_000,
    ],
)
async def test_html_that_would_take_long_is_not_shown(html: str) -> None:
    shown = await Displayer()(mail(html), False)
    assert len(shown.html) < 20_000_000
    if not html.startswith("<a "):
        assert shown.html == ""
        assert "Read its text." in shown.why


async def test_a_child_that_breaks_its_limits_is_nobodys_trouble() -> None:
    hot = mail("<p>x</p>" * 50_000)
    for limits in ({"memory_bytes": 40 << 20}, {"wall_s": 0.05}):
        displayer = Displayer(**limits)
        assert "too long" in (await displayer(hot, False)).why
        assert (await displayer(hot, False)).html == ""
    assert "another" in (await Displayer()(mail(HTML), False)).html


async def test_the_child_has_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPPORT_PASSWORD", "canary")
    seen: dict[str, Any] = {}
    import asyncio

    real = asyncio.create_subprocess_exec

    async def watched(*args: Any, **kwargs: Any) -> Any:
        seen.update(kwargs["env"])
        return await real(*args, **kwargs)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    assert (await Displayer()(mail(HTML), False)).html
    assert "SUPPORT_PASSWORD" not in seen
    assert "PATH" in seen or "PATH" not in os.environ


def test_which_part_is_shown() -> None:
    assert html_of(mail(text="a")) == Display(why=NO_HTML)
    assert html_of(b"") == Display(why=NO_HTML)
    assert html_of(b"\xff\x00\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--") == Display(why=NO_HTML)
    attached = mail(text="a", files=(("page.html", "text/html", b"<b>no</b>"),))
    assert html_of(attached).why == NO_HTML
    mixed = (
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\n1 < 2\r\n'
        b"--x\r\nContent-Type: text/html; charset=nonsense\r\n\r\n<table><td><b>caf\xc3\xa9\r\n"
        b"--x\r\nContent-Type: text/html\r\n\r\nafter\r\n--x--\r\n"
    )
    shown = html_of(mixed).html
    assert "1 &lt; 2" in shown
    assert "café" in shown
    assert shown.endswith("</table><hr>after"), "what one part leaves open ends with it"


# ------------------------------------------------------------------------------------------------------ its tables


@each(
    "style, kept",
    [
        ("color: RED; font: bold 12px/1.5 'Segoe UI', serif", "color:RED;font:bold 12px/1.5 'Segoe UI', serif"),
        ("background-color: rgb(255, 0, 10)", "background-color:rgb(255, 0, 10)"),
        ("border: 1px solid #ccc; border-top-width: .5em", "border:1px solid #ccc;border-top-width:.5em"),
        ("color: rgba(0 0 0 / 50%) !important", "color:rgba(0 0 0 / 50%) !important"),
        ("margin: 0 auto; width: 100%; line-height: 1.4", "margin:0 auto;width:100%;line-height:1.4"),
        ("mso-line-height-rule: exactly; display: none", "display:none"),
        ("margin: -20px", None),
        ("position: fixed", None),
        ("display: contents", None),
        ("background: url(https://x.example/)", None),
        ("background: u\\72l(https://x.example/)", None),
        ("background: image-set('x' 1x)", None),
        ("color: var(--x)", None),
        ("color: red/**/", None),
        ("width: expression(alert(1))", None),
        ("width: calc(1px + 1px)", None),
        ("color: red}a{color:blue", None),
        ("color: \"red", None),
        ("color", None),
        ("width: 99999999px", None),
        ("font-family: '</style>'", None),
        ("color:" + "a" * 10_000, None),
        ("color:" + "a " * 140 + "(", None),
    ],
)  # fmt: skip
def test_styles(style: str, kept: str | None) -> None:
    assert styles.clean(style) == kept


@each(
    "address, kept",
    [
        ("https://a.example/x?y=1#z", "https://a.example/x?y=1#z"),
        ("HTTPS://A.Example:8443/", "https://a.example:8443/"),
        (" https://a.example ", "https://a.example"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://аррӏе.example/", "https://xn--80ak6aa92e.example/"),  # Cyrillic letters
        ("https://Straße.example/", "https://xn--strae-oqa.example/"),
        ("https://bank。example/", "https://bank.example/"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"),
        ("mailto:ann@example.org?subject=x", "mailto:ann@example.org?subject=x"),
        ("tel:+1-555-0100", "tel:+1-555-0100"),
        ("https://bank.example@evil.example/", None),
        ("https:\\\\evil.example", None),
        ("https://bank.example\\@evil.example/", None),
        ("https:/evil.example", None),
        ("https:evil.example", None),
        ("//evil.example/", None),
        ("/login", None),
        ("#top", None),
        ("java\nscript:alert(1)", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("ftp://a.example/", None),
        ("https://a.example/\u202egpj", None),
        ("https://a.example:port/", None),
        ("https://%61.example/", None),
        ("https://[::1", None),
        ("https://", None),
        ("", None),
        ("https://a.example/" + "x" * 5000, None),
    ],
)
def test_where_links_may_lead(address: str, kept: str | None) -> None:
    assert sanitise.link(address) == kept


@each(
    "words, told",
    [
        ("https://shop.example/sale", None),
        ("shop.example", None),
        ("see SHOP.example/sale.", None),
        ("our sale", "shop.example"),
        ("https://bank.example/", "shop.example"),
        ("shop.example.bank.example", "shop.example"),
        ("<img src='cid:x' alt='shop.example'>", "shop.example"),
        ("<b>shop</b>.example", None),
        ("", "shop.example"),
    ],
)
def test_a_link_tells_where_it_goes_unless_its_words_do(words: str, told: str | None) -> None:
    html = f"<a href='https://shop.example/sale' data-to='bank.example' title='bank'>{words}</a>"
    out = sanitise.clean(html, {}, pictures=False).html
    assert re.findall(r'data-to="([^"]*)"', out) == ([told] if told else [])
    assert 'title="https://shop.example/sale"' in out


def test_only_plain_pictures_and_only_so_much_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='x'/>"
    html = "<img src='CID:Logo%40x'><img src='cid:svg'><img src='cid:none' alt='none'>"
    out = sanitise.clean(html, {"logo@x": PNG, "svg": svg}, pictures=False).html
    assert out.count("<img") == 1
    assert '<span class="left-out">none</span>' in out
    monkeypatch.setattr(sanitise, "IMAGES_BYTES", len(PNG) * 2)
    assert sanitise.clean(html[:24] * 5, {"logo@x": PNG}, pictures=False).html.count("<img") <= 2


def test_characters_that_turn_words_round_are_shown() -> None:
    assert "⟦RLO⟧" in sanitise.clean("<p>a&#x202e;b</p>", {}, pictures=False).html


@pytest.mark.parametrize(
    "form",
    ["<p>x<script>", "<p class=a>x</p>", "<p>1 > 0</p>", "<p title='x'>y</p>", '<p onclick="x">y</p>'],
)
def test_anything_but_the_known_form_is_not_shown(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the library come to write its output in another way, nothing is shown rather than something unsafe."""
    monkeypatch.setattr(nh3, "clean", lambda *args, **kwargs: form)
    with pytest.raises(sanitise.TooMuch):
        sanitise.clean("x", {}, pictures=False)


CORPUS = sorted((Path(__file__).parents[1] / "connectors" / "payloads" / "mail").glob("*.eml"))


def test_every_mail_of_the_corpus_can_be_asked_for() -> None:
    shown = [html_of(path.read_bytes(), pictures=True) for path in CORPUS]
    assert all(bool(one.html) is not bool(one.why) for one in shown)
    assert sum(bool(one.html) for one in shown) > 10
