"""A mailbox is read whole, in order and once, from real servers: pymap, and Dovecot where it is installed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.mail import imap
from connectors.mail.imap import KEYWORD, Session
from hub.model import MessageReceived
from tests.conftest import absent
from tests.connectors.mail.reading import Hub, Reading, mail
from tests.servers import NotAvailable
from tests.servers.imap import Dovecot, Imap, Pymap, account


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between two looks, for tests; none of them decides anything."""
    monkeypatch.setattr("connectors.mail.imap.SLICE_S", 0.1)
    monkeypatch.setattr("connectors.mail.pull.MARK_EVERY_S", 0.1)
    monkeypatch.setattr("connectors.mail.pull.SETTLE_S", 0.3)
    monkeypatch.setattr("connectors.mail.pull.FIRST_PAUSE_S", 0.1)


@pytest.fixture(scope="module")
def pymap() -> Iterator[Pymap]:
    with Pymap() as server:
        yield server


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    try:
        server = Dovecot()
    except NotAvailable as because:
        absent("Dovecot", because)
        raise
    with server:
        yield server


@pytest.fixture(params=["pymap", "dovecot"])
def server(request: pytest.FixtureRequest) -> Imap:
    """The test runs once with each."""
    found: Imap = request.getfixturevalue(request.param)
    return found


def names(numbers: range) -> list[str]:
    return [f"mail {number}" for number in numbers]


async def test_mails_come_in_order_with_a_cursor_and_new_ones_at_once(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, *map(mail, range(60)))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 60)
        server.put(box, mail(60))  # while it idles: long before the next look in two minutes
        await reading.until(lambda: len(hub.subjects()) == 61)
    assert hub.subjects() == names(range(61))
    assert hub.doubled() == []
    assert [cursor for _, cursor in hub.accepted if cursor is None] == []
    assert len(hub.blobs) == 61
    assert hub.health[-1].why == ""
    validity, uid = hub.cursors["mail/support", f"imap:support@127.0.0.1/{box}"].split(":")
    with server.client() as client:
        assert client.select_folder(box)[b"UIDVALIDITY"] == int(validity)
        assert max(client.search()) == int(uid)


async def test_what_comes_between_the_last_look_and_the_wait_is_not_left_to_the_poll(
    server: Imap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pymap tells an IDLE nothing of what came before it; the poll is two minutes away."""
    hub, box, calm = Hub(), server.box(), 0
    waiting = Session.wait

    def late(session: Session, seconds: float, enough: Callable[[], bool], wake: int) -> None:
        nonlocal calm
        if hub.subjects() == ["mail 1"]:
            calm += 1
            if calm == 2:  # the look after the first mail, and the one that found nothing more
                server.put(box, mail(2))
        waiting(session, seconds, enough, wake)

    monkeypatch.setattr(Session, "wait", late)
    server.put(box, mail(1))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2, seconds=20)


async def test_fetching_leaves_flags_alone(server: Imap) -> None:
    hub, box = Hub(), server.box()
    hub.store_has = False  # so nothing is marked either
    server.put(box, mail(1), mail(2, size=2_500_000))
    async with Reading(hub, account(server, box, done="seen")) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2)
    assert set(server.flags(box).values()) == {()}


async def test_mails_read_elsewhere_and_without_message_id(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, mail(1), mail(2), flags=[b"\\Seen"])
    server.put(box, mail(3, message_id=False), mail(4, message_id=False), mail(5))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 5)
    assert hub.subjects() == names(range(1, 6))


async def test_a_restart_goes_on_where_the_store_knows(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, mail(1), mail(2))
    async with Reading(hub, account(server, box, done="nothing")) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2)
    weeks_ago = datetime.now(UTC) - timedelta(days=40)
    server.put(box, mail(3), at=weeks_ago)  # came while we were away, long ago
    server.put(box, mail(4), flags=[b"\\Seen"])
    async with Reading(hub, account(server, box, done="nothing")) as reading:
        await reading.until(lambda: len(hub.subjects()) == 4)
    assert hub.doubled() == []
    third = next(e for e in hub.events() if isinstance(e, MessageReceived) and e.subject == "mail 3")
    assert abs(third.received_at - weeks_ago) < timedelta(
        seconds=2
    )  # that is how long the customer has waited


async def test_expunges_shift_nothing(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, *map(mail, range(8)))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 8)
        with server.client() as other:
            other.select_folder(box)
            other.delete_messages(other.search()[:5])
            other.expunge()
        server.put(box, mail(8))
        await reading.until(lambda: len(hub.subjects()) == 9)
        server.put(box, mail(9))
        await reading.until(lambda: len(hub.subjects()) == 10)
    assert hub.subjects() == names(range(10))
    assert hub.doubled() == []


async def test_two_mailboxes_both_keep_the_same_mail(server: Imap) -> None:
    hub, first, second = Hub(), server.box(), server.box()
    for box in (first, second):
        server.put(box, mail(1))
    async with (
        Reading(hub, account(server, first)) as one,
        Reading(hub, account(server, second, "mail/sales")),
    ):
        await one.until(lambda: len(hub.events()) == 2)
    assert {event.account for event in hub.events()} == {"mail/support", "mail/sales"}
    assert len({event.event_key for event in hub.events()}) == 1


async def test_the_same_mail_twice_in_one_mailbox_is_one_event(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, mail(1), mail(1), mail(1, subject="another with the same Message-ID"))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: len(hub.events()) == 3)
    assert len({event.event_key for event in hub.events()}) == 2


async def test_a_folder_made_anew_is_read_again(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, *map(mail, range(3)))
    async with Reading(hub, account(server, box, poll="1s")) as reading:
        await reading.until(lambda: len(hub.subjects()) == 3)
        with server.client() as other:
            other.delete_folder(box)
            other.create_folder(box)
        server.put(box, mail(1), mail(7))  # one that we know, one that we do not, both with low UIDs
        await reading.until(lambda: "mail 7" in hub.subjects())
        server.put(box, mail(8))
        await reading.until(lambda: "mail 8" in hub.subjects())
    assert len(hub.doubled()) == 1


async def test_a_deleted_folder_is_said_and_waited_for(server: Imap) -> None:
    hub, box = Hub(), server.box()
    with server.client() as other:
        other.delete_folder(box)
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: hub.health and hub.health[-1].why)
        with server.client() as other:
            other.create_folder(box)
        server.put(box, mail(1))
        await reading.until(lambda: hub.subjects() == ["mail 1"])
        await reading.until(lambda: not hub.health[-1].why)


# ---------------------------------------------------------------------------------------------------- the beginning


@pytest.mark.parametrize(
    "start, expected", [("all", 4), ("1d", 2), ("12h", 1), ("now", 0)], ids=lambda value: str(value)
)
async def test_where_the_first_reading_begins(server: Imap, start: str, expected: int) -> None:
    hub, box, now = Hub(), server.box(), datetime.now(UTC)
    for number, hours in enumerate((900, 40, 20, 2)):
        server.put(box, mail(number), at=now - timedelta(hours=hours))
    async with Reading(hub, account(server, box, **{"from": start})) as reading:
        await reading.until(lambda: hub.health)
    server.put(box, mail(4))  # after the first start it counts, also while nobody reads
    async with Reading(hub, account(server, box, **{"from": start})) as reading:
        await reading.until(lambda: "mail 4" in hub.subjects())
    assert hub.subjects() == names(range(4 - expected, 5))


# ---------------------------------------------------------------------------------------------------------- marking


async def test_marks_come_only_after_the_store_has_it(dovecot: Dovecot) -> None:
    hub, box = Hub(), dovecot.box()
    hub.store_has = False
    dovecot.put(box, mail(1), mail(2))
    async with Reading(hub, account(dovecot, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2)
        await reading.until(lambda: hub.health)
        assert set(dovecot.flags(box).values()) == {()}
        hub.store_has = True
        await reading.until(lambda: set(dovecot.flags(box).values()) == {(KEYWORD.encode(),)})


async def test_a_crash_before_the_mark_is_made_good(dovecot: Dovecot) -> None:
    hub, box = Hub(), dovecot.box()
    hub.store_has = False
    dovecot.put(box, mail(1), mail(2))
    async with Reading(hub, account(dovecot, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2)
    hub.store_has = True
    hub.accepted.pop()  # and the store never got it: the journal's disk is lost, the cursor is not
    async with Reading(hub, account(dovecot, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2)
        await reading.until(lambda: set(dovecot.flags(box).values()) == {(KEYWORD.encode(),)})
    async with Reading(hub, account(dovecot, box)) as reading:  # once marked, nobody looks again
        await reading.until(lambda: len(hub.health) >= 3)
    assert len(hub.events()) == 2


async def test_done_as_seen(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, mail(1))
    async with Reading(hub, account(server, box, done="seen")) as reading:
        await reading.until(lambda: server.flags(box) and set(server.flags(box).values()) == {(b"\\Seen",)})
    assert hub.subjects() == ["mail 1"]


async def test_done_by_moving(server: Imap) -> None:
    hub, box = Hub(), server.box()
    server.put(box, *map(mail, range(4)))
    async with Reading(hub, account(server, box, done=f"move:{box}Done")) as reading:
        await reading.until(lambda: len(hub.subjects()) == 4)
        await reading.until(lambda: not server.flags(box))
        server.put(box, mail(4))
        await reading.until(lambda: len(hub.subjects()) == 5)
        await reading.until(lambda: not server.flags(box))
    assert len(server.flags(f"{box}Done")) == 5
    assert hub.doubled() == []


async def test_a_server_without_keywords_is_read_all_the_same(pymap: Pymap) -> None:
    hub, box = Hub(), pymap.box()
    pymap.put(box, mail(1))
    async with Reading(hub, account(pymap, box)) as reading:
        await reading.until(lambda: len(hub.subjects()) == 1)
        pymap.put(box, mail(2))
        await reading.until(lambda: len(hub.subjects()) == 2)
    assert set(pymap.flags(box).values()) == {()}


# ----------------------------------------------------------------------------------------------------- large mails


async def test_large_mails_come_by_pieces_and_too_large_ones_are_set_aside(
    server: Imap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.mail.fetching.MAIL_BYTES", 6_000_000)
    hub, box = Hub(), server.box()
    large = mail(2, size=3 * imap.PIECE_BYTES + 5)
    server.put(box, mail(1), large, mail(3, size=8_000_000), mail(4))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: len(hub.events()) == 4)
    assert large in hub.blobs
    assert hub.subjects() == ["mail 1", "mail 2", "mail 4"]
    assert "more than 6,000,000 bytes" in hub.unreadable()[0].reason


async def test_a_full_disk_loses_nothing(server: Imap) -> None:
    hub, box = Hub(), server.box()
    hub.disk_full = True
    server.put(box, mail(1))
    async with Reading(hub, account(server, box)) as reading:
        await reading.until(lambda: hub.health and "the disk is full" in hub.health[-1].why)
        hub.disk_full = False
        await reading.until(lambda: hub.subjects() == ["mail 1"])
    assert hub.doubled() == []
