"""What is said of a mail server before anything is sent by it."""

from pathlib import Path

from hub.settings import Settings
from mainstem import smtpcheck
from mainstem.doctor import Level
from tests.connectors.mail.outgoing import mailbox
from tests.servers import free_port
from tests.servers.smtp import SmtpServer


def test_a_server_that_lets_us_send_and_others(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)

    def said(port: int, password: str) -> tuple[Level, str]:
        place = {"host": "localhost", "port": port, "tls": "none"}
        (finding,) = smtpcheck.examine(settings, mailbox({"password": (password,)}, smtp=place))
        return finding.level, finding.said

    with SmtpServer(users={"support@example.com": "right"}) as server:
        assert said(server.port, "right")[0] is Level.GREEN
        level, text = said(server.port, "wrong")
        assert level is Level.RED
        assert "the user or the password is wrong" in text
        assert server.mails == []
    level, text = said(free_port(), "right")
    assert level is Level.YELLOW
    assert "no connection to the mail server" in text
    (finding,) = smtpcheck.examine(settings, mailbox())
    assert "only receives" in finding.said
