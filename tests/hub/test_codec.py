"""The journal's and the stream's bytes: read by the next version and by the last."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hub import codec, model
from hub.clock import from_us
from hub.errors import NewerVersion
from tests.each import each
from tests.hub.events import NOON, message

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
times = st.integers(0, 4 * 10**15).map(from_us)
perhaps = st.none() | words
attachments = st.builds(
    model.Attachment, sha256=words, content_type=words, size_bytes=st.integers(0, 2**40), name=words
)
common = {"account": words, "event_key": words, "received_at": times, "blob": perhaps}
events = st.one_of(
    st.builds(
        model.MessageReceived,
        **common,
        sender=words,
        text=words,
        external_id=perhaps,
        verified=st.booleans(),
        claims=st.lists(words, max_size=3).map(tuple),
        sent_at=st.none() | times,
        attachments=st.lists(attachments, max_size=2).map(tuple),
        fields=st.lists(st.tuples(words, words), max_size=3).map(tuple),
        references=st.lists(words, max_size=3).map(tuple),
        conversation=st.none() | st.integers(0, 2**63 - 1),
        participants=st.lists(words, max_size=3).map(tuple),
        proof=words,
        quoted=words,
        media=st.lists(st.builds(model.Media, ref=words, kind=words, name=words), max_size=2).map(tuple),
        album=words,
        ours=words,
    ),
    st.builds(
        model.MessageChanged,
        **common,
        sender=words,
        external_id=words,
        change=st.sampled_from(model.Change),
        text=words,
    ),
    st.builds(
        model.CallEvent,
        **common,
        sender=words,
        external_id=words,
        state=st.sampled_from(model.CallState),
        duration_s=st.none() | st.floats(0, 1e6),
    ),
    st.builds(
        model.DeliveryReported,
        **common,
        status=st.sampled_from(model.DeliveryStatus),
        delivery_id=st.none() | st.integers(0, 2**63 - 1),
    ),
    st.builds(model.ConsentChanged, **common, urn=words, granted=st.booleans(), scope=words, wording=words),
    st.builds(model.IdentityLearned, **common, urn=words, other=words, verified=st.booleans(), name=words),
    st.builds(model.Unreadable, **{**common, "blob": words}, reason=words, content_type=words),
)
cursors = st.none() | st.builds(model.Cursor, account=words, name=words, value=words)


@given(events, cursors)
def test_what_goes_in_comes_out(event: model.Event, cursor: model.Cursor | None) -> None:
    assert codec.decode(codec.encode(event, cursor)) == (event, cursor)


def test_every_kind_of_event_has_a_name() -> None:
    assert set(codec.KINDS) == set(model.Event.__args__)


PINNED = model.MessageReceived(
    account="webhook/main",
    event_key="k1",
    received_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    sender="tel:+15551234567",
    text="Grüß Gott",
    attachments=(model.Attachment(sha256="ab", content_type="image/png", size_bytes=3, name="x"),),
)
PINNED_CURSOR = model.Cursor(account="webhook/main", name="c", value="9")


def test_the_bytes_of_version_1() -> None:
    """Journals on disk and streams in Redis hold these: if this fails, VERSION must grow, or the change be undone.
    A field that is new, with a default, may stand behind them; then they are kept here as they were."""
    data = codec.encode(PINNED, PINNED_CURSOR)
    assert data == bytes.fromhex(V1)
    assert codec.decode(data) == (PINNED, PINNED_CURSOR)


def test_the_bytes_of_before_messaging_are_read() -> None:
    """`media` and what follows came with SMS and the messengers."""
    assert codec.decode(bytes.fromhex(V1_BEFORE_MESSAGING)) == (PINNED, PINNED_CURSOR)


def test_the_bytes_of_before_mail_are_read() -> None:
    """`references` and what follows came with mail."""
    assert codec.decode(bytes.fromhex(V1_BEFORE_MAIL)) == (PINNED, PINNED_CURSOR)


V1 = (
    "84a46b696e64a76d657373616765a56576656e74de001ba76163636f756e74ac776562686f6f6b2f6d61696ea96576656e74"
    "5f6b6579a26b31ab72656365697665645f6174d7ffa1dcd420695735a5a673656e646572b074656c3a2b3135353531323334"
    "353637a474657874ab4772c3bcc39f20476f7474ab73656e6465725f6e616d65a0ab65787465726e616c5f6964c0a7737562"
    "6a656374c0a4666f726da76d657373616765a6746872656164c0ab696e5f7265706c795f746fc0a87665726966696564c2a6"
    "636c61696d7390a773656e745f6174c0ab6174746163686d656e74739184a6736861323536a26162ac636f6e74656e745f74"
    "797065a9696d6167652f706e67aa73697a655f627974657303a46e616d65a178a86c616e6775616765c0a66669656c647390"
    "a96175746f6d61746963c2a4626c6f62c0aa7265666572656e63657390ac636f6e766572736174696f6ec0ac706172746963"
    "6970616e747390a570726f6f66a0a671756f746564a0a56d6564696190a5616c62756da0a46f757273a0a17601a663757273"
    "6f7283a76163636f756e74ac776562686f6f6b2f6d61696ea46e616d65a163a576616c7565a139"
)
V1_BEFORE_MESSAGING = (
    "84a46b696e64a76d657373616765a56576656e74de0018a76163636f756e74ac776562686f6f6b2f6d61696ea9657665"
    "6e745f6b6579a26b31ab72656365697665645f6174d7ffa1dcd420695735a5a673656e646572b074656c3a2b31353535"
    "31323334353637a474657874ab4772c3bcc39f20476f7474ab73656e6465725f6e616d65a0ab65787465726e616c5f69"
    "64c0a77375626a656374c0a4666f726da76d657373616765a6746872656164c0ab696e5f7265706c795f746fc0a87665"
    "726966696564c2a6636c61696d7390a773656e745f6174c0ab6174746163686d656e74739184a6736861323536a26162"
    "ac636f6e74656e745f74797065a9696d6167652f706e67aa73697a655f627974657303a46e616d65a178a86c616e6775"
    "616765c0a66669656c647390a96175746f6d61746963c2a4626c6f62c0aa7265666572656e63657390ac636f6e766572"
    "736174696f6ec0ac7061727469636970616e747390a570726f6f66a0a671756f746564a0a17601a6637572736f7283a7"
    "6163636f756e74ac776562686f6f6b2f6d61696ea46e616d65a163a576616c7565a139"
)
V1_BEFORE_MAIL = (
    "84a46b696e64a76d657373616765a56576656e74de0013a76163636f756e74ac776562686f6f6b2f6d61696ea9657665"
    "6e745f6b6579a26b31ab72656365697665645f6174d7ffa1dcd420695735a5a673656e646572b074656c3a2b31353535"
    "31323334353637a474657874ab4772c3bcc39f20476f7474ab73656e6465725f6e616d65a0ab65787465726e616c5f69"
    "64c0a77375626a656374c0a4666f726da76d657373616765a6746872656164c0ab696e5f7265706c795f746fc0a87665"
    "726966696564c2a6636c61696d7390a773656e745f6174c0ab6174746163686d656e74739184a6736861323536a26162"
    "ac636f6e74656e745f74797065a9696d6167652f706e67aa73697a655f627974657303a46e616d65a178a86c616e6775"
    "616765c0a66669656c647390a96175746f6d61746963c2a4626c6f62c0a17601a6637572736f7283a76163636f756e74"
    "ac776562686f6f6b2f6d61696ea46e616d65a163a576616c7565a139"
)


def _plain(event: model.Event) -> dict[str, object]:
    return msgspec.msgpack.decode(codec.encode(event))


def test_a_newer_version_is_told_apart_from_rubbish() -> None:
    newer = {**_plain(message(1)), "v": codec.VERSION + 1}
    unknown = {"v": codec.VERSION + 1, "kind": "hologram", "event": {"depth": 3}}
    for said in (newer, unknown):
        with pytest.raises(NewerVersion, match="newer Mainstem"):
            codec.decode(msgspec.msgpack.encode(said))


@each(
    "data",
    [
        b"",
        b"\xff",
        b"not msgpack at all",
        msgspec.msgpack.encode({"kind": "message"}),
        msgspec.msgpack.encode({"v": 1, "kind": "hologram", "event": {}}),
        msgspec.msgpack.encode({"v": 1, "kind": "message", "event": {"account": 3}}),
        b"\x82\xa1v\x01\xa4kind\xa2\xff\xfe",
    ],
)
def test_rubbish(data: bytes) -> None:
    with pytest.raises(ValueError):
        codec.decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_event_or_one_of_two_errors(data: bytes) -> None:
    try:
        codec.decode(data)
    except (ValueError, NewerVersion):
        pass


def test_fields_of_the_same_version_that_we_do_not_know_are_passed_over() -> None:
    said = _plain(message(1))
    said["event"]["mood"] = "sunny"  # type: ignore[index]
    said["extra"] = 1
    assert codec.decode(msgspec.msgpack.encode(said))[0] == message(1)


def test_half_a_surrogate_pair_does_not_stop_a_message() -> None:
    """JSON can carry one (RFC 8259, 8.2), UTF-8 cannot."""
    event = structs.replace(message(1), text="a\ud83d b", fields=(("x", "\ude00"),))
    whole = codec.decode(codec.encode(event))[0]
    assert whole == structs.replace(event, text="a\ufffd b", fields=(("x", "\ufffd"),))
    pair = structs.replace(message(1), text="\ud83d\ude00", sender_name="\ud83d")
    assert codec.decode(codec.encode(pair))[0].text == "😀"  # type: ignore[union-attr]


def test_times_are_moments() -> None:
    naive = structs.replace(message(1), received_at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="without a zone"):
        codec.encode(naive)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    back = codec.decode(codec.encode(structs.replace(message(1), received_at=elsewhere)))[0]
    assert back.received_at == NOON
    assert back.received_at.utcoffset() == timedelta(0)
