"""Every mail of the corpus is read as a person would read it."""

from __future__ import annotations

import time

from connectors.mail import bounces, mime
from hub.model import DeliveryReported, DeliveryStatus, MessageReceived, Unreadable
from tests.connectors.mail.corpus import ACCOUNT, AT, Sample, samples
from tests.each import each

SAMPLES = samples()
SLOWEST_S = 0.05  # of processor time for one mail; the machine may be busy with others


@each("sample", SAMPLES)
def test_a_mail_is_read_as_a_person_would(sample: Sample) -> None:
    parsed = mime.read(sample.raw, ACCOUNT, AT)
    assert parsed.blobs[0] == sample.raw
    if "bounces" in sample.wanted:
        _is_bounce(sample, list(parsed.events))
        return
    (event,) = parsed.events
    if sample.wanted.get("quarantined"):
        assert isinstance(event, Unreadable), event
        return
    assert isinstance(event, MessageReceived), event
    _is_message(sample, event)


def _is_message(sample: Sample, event: MessageReceived) -> None:
    wanted = sample.wanted
    notes = "\n\n".join(f"[{note}]" for note in wanted.get("notes", ()))
    assert event.text == "\n\n".join(part for part in (notes, wanted["text"]) if part)
    folded = wanted.get("quoted")
    assert (folded in event.quoted) if folded else event.quoted == ""
    assert (event.subject or "") == wanted["subject"]
    assert event.sender == f"mailto:{wanted['sender']}"
    assert event.sender_name == wanted.get("name", "")
    assert [[one.name, one.content_type] for one in event.attachments] == wanted.get("files", [])
    assert event.automatic is wanted.get("automatic", False)
    ids = [one for one in event.references if not one.startswith("thread-index:")]
    assert ids == wanted.get("references", [])
    assert (len(ids) < len(event.references)) is wanted.get("thread_index", False)
    assert event.participants == tuple(f"mailto:{one}" for one in wanted.get("participants", ()))
    assert event.claims == tuple(f"mailto:{one}" for one in wanted.get("claims", ()))


def _is_bounce(sample: Sample, events: list[object]) -> None:
    told = []
    for event in events:
        assert isinstance(event, DeliveryReported), event
        delayed = event.status is DeliveryStatus.SENT
        kind = bounces.DELAYED if delayed else event.code
        told.append([event.external_id, (event.recipient or "").removeprefix("mailto:"), kind])
    assert told == [list(one) for one in sample.wanted["bounces"]]


def test_each_is_read_at_once() -> None:
    slow = {}
    for sample in SAMPLES:
        if sample.wanted.get("quarantined"):
            continue
        for _ in range(3):  # a collection of garbage may have been in the way
            before = time.thread_time()
            mime.read(sample.raw, ACCOUNT, AT)
            if (spent := time.thread_time() - before) <= SLOWEST_S:
                break
        else:
            slow[sample.name] = spent
    assert not slow


def test_there_are_enough_and_none_twice() -> None:
    assert len(SAMPLES) >= 70
    assert len({sample.raw for sample in SAMPLES}) == len(SAMPLES)
