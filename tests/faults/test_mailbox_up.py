"""`mainstem up` with a mailbox that is switched on while it runs."""

import contextlib

import psutil
import pytest

from tests.connectors.mail.reading import mail
from tests.mainstem.running import Hub, running
from tests.mainstem.test_mail_import import CHANNELS, until
from tests.servers.imap import PASSWORD, Pymap

pytestmark = pytest.mark.slow


def test_up_reads_a_mailbox_from_when_it_is_first_switched_on() -> None:
    with Pymap() as server, running(MAIL_PASSWORD=PASSWORD) as up:
        up.ready()
        assert not pulling(up)
        channels = up.folder / "config" / "channels.yaml"
        text = channels.read_text()
        head = text[: text.index("  mail/support:")]
        channels.write_text(head + CHANNELS.lstrip("\n").replace("PORT", str(server.port)))
        until(lambda: pulling(up))
        server.put("INBOX", mail(1))
        until(lambda: "mail/support was read" in up.mainstem("mail", "check").stdout)


def pulling(up: Hub) -> bool:
    for process in up.family():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "pull" in process.cmdline():
                return True
    return False
