"""Captured request -> what it means. The right-hand sides say what the sender did, written by hand."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import CONNECTORS
from hub.errors import Malformed
from hub.model import (
    Attachment,
    Change,
    ConsentChanged,
    DeliveryReported,
    DeliveryStatus,
    Event,
    IdentityLearned,
    MessageChanged,
    MessageReceived,
)
from tests.connectors.samples import SAMPLES

RECEIVED = datetime(2026, 11, 21, 10, 0, 2, tzinfo=UTC)
VISITOR = "mfrggzdfmztwq2lknnwg23tpob"


def hook(kind: Any, **said: Any) -> Any:
    return kind(account="webhook/demo", received_at=RECEIVED, **said)


def terminal(kind: Any, **said: Any) -> Any:
    return kind(account="console/terminal", received_at=RECEIVED, **said)


def chat(kind: Any, **said: Any) -> Any:
    return kind(account="webchat/main", received_at=RECEIVED, **said)


SCAN = b"%PDF-1.4\n%\xc3\xa4\xc3\xbc\xc3\xb6\n"  # what the letter's base64 stands for

EXPECTED: dict[str, list[Event]] = {
    "mail/message": [
        ConsentChanged(
            account="mail/support",
            received_at=RECEIVED,
            event_key="unsubscribe:7093152233713664:"
            + hashlib.sha256(b"mailto:ann@example.net").hexdigest()[:16],
            urn="mailto:ann@example.net",
            granted=False,
            scope="marketing",
            wording="unsubscribed by the link of a mail",
        )
    ],
    "mail/look": [],
    "webhook/message": [
        hook(
            MessageReceived,
            event_key="form-7731",
            external_id="form-7731",
            sender="mailto:ann@example.com",
            sender_name="Ann Lee",
            text="The invoice 4711 is wrong.",
            subject="Invoice",
            form="form",
            fields=(("order", "4711"), ("newsletter", "no")),
            sent_at=datetime(2026, 11, 21, 9, 59, 30, tzinfo=UTC),
            language="en",
        )
    ],
    "webhook/letter": [
        hook(
            MessageReceived,
            event_key="letter-2026-000412",
            external_id="letter-2026-000412",
            sender="webhook:demo/C-1009",
            sender_name="Bo Diaz",
            claims=("mailto:bo@example.org", "tel:+14155552671"),
            text="Dear Sirs,\nplease cancel.",
            form="letter",
            thread="C-1009/7",
            in_reply_to="letter-2026-000398",
            attachments=(
                Attachment(
                    sha256=hashlib.sha256(SCAN).hexdigest(),
                    content_type="application/pdf",
                    size_bytes=len(SCAN),
                    name="scangpj.pdf",
                ),
            ),
        )
    ],
    "webhook/edit": [
        hook(
            MessageChanged,
            event_key="form-7731-2",
            sender="mailto:ann@example.com",
            external_id="form-7731",
            change=Change.EDIT,
            text="The invoice 4712 is wrong.",
        )
    ],
    "webhook/delete": [
        hook(
            MessageChanged,
            event_key="form-7731-3",
            sender="mailto:ann@example.com",
            external_id="form-7731",
            change=Change.DELETE,
        )
    ],
    "webhook/delivery": [
        hook(
            DeliveryReported,
            event_key="r-1",
            status=DeliveryStatus.DELIVERED,
            delivery_id=7093152233713664,
            reported_at=datetime(2026, 11, 21, 10, 0, 1, tzinfo=UTC),
        )
    ],
    "webhook/delivery_failed": [
        hook(
            DeliveryReported,
            event_key="r-2",
            status=DeliveryStatus.FAILED,
            external_id="their-88",
            code="E42",
            detail="mailbox full",
        )
    ],
    "webhook/consent": [
        hook(
            ConsentChanged,
            event_key="c-1",
            urn="tel:+14155552671",
            granted=False,
            scope="marketing",
            wording="no more offers please",
        )
    ],
    "webhook/identity": [
        hook(
            IdentityLearned,
            event_key="i-1",
            urn="webhook:demo/C-1009",
            other="tel:+14155552671",
            name="Bo Diaz",
        )
    ],
    "console/message": [
        terminal(
            MessageReceived,
            event_key="0f3b-1",
            external_id="0f3b-1",
            sender="console:ann",
            sender_name="ann",
            text="hello\nis anybody there?",
            verified=True,
        )
    ],
    "console/named": [
        terminal(
            MessageReceived,
            event_key="0f3b-2",
            external_id="0f3b-2",
            sender="console:ann",
            sender_name="Ann Lee",
            text="hi",
            verified=True,
        )
    ],
    "console/receipt": [
        terminal(
            DeliveryReported,
            event_key=f"console:ann:{seq}:read",
            status=DeliveryStatus.READ,
            external_id=str(seq),
        )
        for seq in (7093152233713665, 7093152233713669)
    ],
    "webchat/message": [
        chat(
            MessageReceived,
            event_key=f"{VISITOR}:kX2f9_aa-01",
            external_id=f"{VISITOR}:kX2f9_aa-01",
            sender=f"webchat:{VISITOR}",
            text="Hello!\nMy parcel is late.",
            verified=True,
        )
    ],
    "webchat/form": [
        chat(
            MessageReceived,
            event_key=f"{VISITOR}:kX2f9_aa-02",
            external_id=f"{VISITOR}:kX2f9_aa-02",
            sender=f"webchat:{VISITOR}",
            sender_name="Ann Lee",
            text="Please write to me.",
            form="form",
            claims=("mailto:ann@example.com",),
            verified=True,
        )
    ],
    # The second id in the frame was sealed for nobody, and says nothing.
    "webchat/receipt": [
        chat(
            DeliveryReported,
            event_key=f"{VISITOR}:7093152233713665:delivered",
            status=DeliveryStatus.DELIVERED,
            external_id="7093152233713665",
        )
    ],
    "webchat/later_field": [
        chat(
            MessageReceived,
            event_key=f"{VISITOR}:kX2f9_aa-03",
            external_id=f"{VISITOR}:kX2f9_aa-03",
            sender=f"webchat:{VISITOR}",
            text="hi",
            verified=True,
        )
    ],
}
UNREADABLE = {
    "webhook/bad_json": "truncated",
    "webhook/bad_kind": "'telepathy'",
    "console/bad": "from",
    "webchat/bad": "id",
}


def test_every_capture_is_in_a_table() -> None:
    captured = {f"{name}/{stem}" for name, sample in SAMPLES.items() for stem in sample.requests()}
    assert captured == set(EXPECTED) | set(UNREADABLE)


@pytest.mark.parametrize("capture", EXPECTED)
def test_a_capture_says(capture: str) -> None:
    name, _, stem = capture.partition("/")
    sample = SAMPLES[name]
    parsed = CONNECTORS[name].parse(sample.requests()[stem], sample.account)
    assert list(parsed.events) == EXPECTED[capture]
    named = {a.sha256 for e in parsed.events if isinstance(e, MessageReceived) for a in e.attachments}
    assert {hashlib.sha256(blob).hexdigest() for blob in parsed.blobs} == named


@pytest.mark.parametrize("capture", UNREADABLE)
def test_a_capture_cannot_be_read_and_the_reason_names_why(capture: str) -> None:
    name, _, stem = capture.partition("/")
    sample = SAMPLES[name]
    with pytest.raises(Malformed, match=UNREADABLE[capture]):
        CONNECTORS[name].parse(sample.requests()[stem], sample.account)
