"""`mainstem mail import` and the pull process: real processes, from a mailbox or a file to stored interactions."""

import mailbox
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import func, select

from connectors.mail import files
from crm_store import schema, sources
from tests.connectors.mail.reading import mail
from tests.faults.installation import CONFIG, ROOT, Installation
from tests.servers.imap import PASSWORD, Pymap
from tests.waiting import until

CHANNELS = """
  mail/support:
    title: Support
    address: support@example.com
    settings: {imap: {host: 127.0.0.1, port: PORT, tls: none, user: support, from: all, poll: 10s}}
    secrets: {password: MAIL_PASSWORD}
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    with Pymap() as server:
        text = CONFIG["channels.yaml"] + CHANNELS.lstrip("\n").replace("PORT", str(server.port))
        monkeypatch.setitem(CONFIG, "channels.yaml", text)
        with Installation(tmp_path) as installation:
            installation.settings["MAIL_PASSWORD"] = PASSWORD
            installation.server = server  # type: ignore[attr-defined]
            yield installation


def stored(hub: Installation) -> int:
    with hub.store.read() as tx:
        count = select(func.count()).where(schema.interactions.c.account == "mail/support")
        return int(tx.scalar(count) or 0)


@pytest.mark.slow
def test_from_the_mailbox_and_from_files_to_the_store_each_once(hub: Installation, tmp_path: Path) -> None:
    server: Pymap = hub.server  # type: ignore[attr-defined]
    server.put("INBOX", mail(1), mail(2))
    hub.start("router", "pull")
    until(lambda: stored(hub) == 2)
    server.put("INBOX", mail(3))
    until(lambda: stored(hub) == 3)
    hub.kill("pull")  # in the middle of whatever
    server.put("INBOX", mail(4))
    hub.start("pull")
    until(lambda: stored(hub) == 4)

    box = mailbox.mbox(tmp_path / "old.mbox")
    for number in (3, 4, 5, 6):  # two that came by IMAP
        box.add(mailbox.mboxMessage(message_from_bytes(mail(number).replace(b"\r\n", b"\n"))))
    box.close()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "7.eml").write_bytes(mail(7).replace(b"\r\n", b"\n"))
    (folder / "notes.txt").write_text("no mail at all")
    assert "5 mails: 3 new, 2 known, 0 unreadable." in hub.run(
        "mail", "import", str(tmp_path / "old.mbox"), str(folder)
    )
    assert stored(hub) == 7
    assert "5 mails: 0 new, 5 known" in hub.run("mail", "import", str(tmp_path / "old.mbox"), str(folder))
    piped = subprocess.run(
        [sys.executable, "-m", "mainstem", "mail", "import", "-"],
        cwd=ROOT, env=hub.environment, input=mail(8), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"1 mail: 1 new" in piped.stdout, piped.stderr
    assert stored(hub) == 8
    hub.stop("pull")
    with hub.store.read() as tx:
        assert [one.why for one in sources.readings(tx)] == [""]
    said = hub.command("mail", "check")[1]
    assert "mail/support was read" in said
    assert "INBOX of support at 127.0.0.1 has 4 mails" in said


def test_a_refused_login_stands_in_doctor(hub: Installation) -> None:
    hub.settings["MAIL_PASSWORD"] = "wrong"
    hub.start("pull")
    with hub.store.read() as tx:
        assert sources.readings(tx) == []

    def told() -> bool:
        with hub.store.read() as tx:
            return any("refuses the login" in one.why for one in sources.readings(tx))

    until(told)
    code, said = hub.command("mail", "check")
    assert code == 1
    assert "mail/support cannot be read: the server refuses the login" in said


@pytest.mark.parametrize(
    "written, expected",
    [
        (b"From ann Sat\nSubject: a\n\none\n\nFrom bo Sun\nSubject: b\n\ntwo\n",
         [b"Subject: a\r\n\r\none\r\n", b"Subject: b\r\n\r\ntwo\r\n"]),
        (b"From ann\nSubject: a\nStatus: RO\nX-Keywords: x\n y\nTo: b\n\n>From here\n",
         [b"Subject: a\r\nTo: b\r\n\r\nFrom here\r\n"]),
        (b"Subject: a\n\nFrom here on it is no mbox\n", [b"Subject: a\r\n\r\nFrom here on it is no mbox\r\n"]),
        (b"", []),
    ],
    ids=["two mails", "what an mbox adds", "one mail", "nothing"],
)  # fmt: skip
def test_files_give_the_mails_that_went_into_them(
    tmp_path: Path, written: bytes, expected: list[bytes]
) -> None:
    (tmp_path / "file").write_bytes(written)
    with (tmp_path / "file").open("rb") as stream:
        assert list(files.mails(stream, lambda size: None)) == expected
