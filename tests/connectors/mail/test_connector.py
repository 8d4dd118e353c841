"""The mail connector where it is neither sending nor composing: mails read again, and the lazy name."""

from datetime import UTC, datetime

import pytest

import connectors.mail
from connectors import CONNECTORS
from connectors.base import Raw
from connectors.mail import CONNECTOR, mime
from hub.errors import Malformed
from hub.model import MessageReceived
from tests.connectors.mail.outgoing import mailbox

MAIL = b"From: Ann <ann@example.net>\r\nSubject: Parcel\r\nMessage-ID: <1@x>\r\n\r\nHello\r\n"


def from_quarantine(body: bytes) -> Raw:
    return Raw(method="POST", url="", headers={}, body=body, received_at=datetime(2026, 11, 22, tzinfo=UTC))


async def test_a_mail_from_quarantine_is_read_again() -> None:
    """Also where an event loop runs already, as at a desk."""
    parsed = CONNECTOR.parse(from_quarantine(MAIL), mailbox())
    (event,) = parsed.events
    assert isinstance(event, MessageReceived)
    assert (event.sender, event.subject, event.text) == ("mailto:ann@example.net", "Parcel", "Hello")
    assert MAIL in parsed.blobs


def test_what_still_cannot_be_read_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime, "MAIL_BYTES", 10)
    with pytest.raises(Malformed):
        CONNECTOR.parse(from_quarantine(MAIL), mailbox())


def test_it_is_registered_under_its_name() -> None:
    assert CONNECTORS["mail"] is CONNECTOR
    assert not hasattr(connectors.mail, "NOTHING")
