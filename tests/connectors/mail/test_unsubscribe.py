"""The way out of bulk mail, through a whole edge: by one click of a mail program (RFC 8058) and by a person's."""

import re
from pathlib import Path

import aiohttp

from connectors.mail import unsubscribe
from hub.model import ConsentChanged
from tests.connectors.gate import gate
from tests.connectors.mail.outgoing import mailbox

ANN = "mailto:änn@example.net"


async def test_one_click_and_a_persons(tmp_path: Path, valkey: str) -> None:
    account = mailbox(name="{agent} <Example>")
    async with (
        gate(tmp_path, valkey, accounts={account.key: account}) as g,
        aiohttp.ClientSession() as people,
    ):
        link = unsubscribe.link(g.url, account, ANN, 42)
        async with people.get(link) as shown:
            page = await shown.text()
            assert shown.status == 200
            assert shown.content_type == "text/html"
            assert "&lt;Example&gt;" in page
            assert "<button>Unsubscribe</button>" in page
            assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
        assert g.kept() == [], "programs that look for viruses follow every link"
        click = {"List-Unsubscribe": "One-Click"}
        for _ in range(2):
            async with people.post(link, data=click) as done:
                assert (done.status, "unsubscribed" in await done.text()) == (200, True)
        one, again = g.kept()
        assert isinstance(one, ConsentChanged)
        assert (one.urn, one.granted, one.scope) == (ANN, False, "marketing")
        assert one.event_key == getattr(again, "event_key", None), "it counts once"
        for forged in (
            unsubscribe.link(g.url, mailbox({"token": ("another",)}), ANN, 42),
            link.replace("/42.", "/43."),
            re.sub(r"/42\.[^.]+", "/42.bWFpbHRvOmJvYkBleGFtcGxlLm9yZw", link),
            link + "/x",
            g.url + "/in/mail/support",
        ):
            async with people.post(forged, data=click) as refused:
                assert refused.status == 403, forged
        assert len(g.kept()) == 2
