"""The one GET for files at providers: where it may go, what it takes, and what it never says (security.md S3)."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from connectors import fetching, http
from connectors.base import FetchError, Wire
from tests.connectors.test_http import PRIVATE, Libc, Names
from tests.each import each
from tests.servers.http import Provider, Say

SECRET = "t0ken-that-nobody-may-see"
PNG = b"\x89PNG\r\n\x1a\n...."


def wire(session: aiohttp.ClientSession) -> Wire:
    blobs: Any = None
    return Wire(http=session, redis=None, blobs=blobs, public_url="", now=datetime.now(UTC))


@pytest.fixture
async def guarded() -> AsyncIterator[Wire]:
    async with http.guarded_session(resolver=Libc()) as session:
        yield wire(session)


@pytest.fixture
async def inside() -> AsyncIterator[Wire]:
    """With the guard down, so that the local servers can be reached."""
    async with http.guarded_session(allow_private=True, resolver=Libc()) as session:
        yield wire(session)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


async def refused(made: Wire, url: str, **more: Any) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetching.get(made, url, headers={"Authorization": f"Bearer {SECRET}"}, **more)
    error = caught.value
    assert SECRET not in repr(error) + str(error)
    assert error.__cause__ is None
    assert str(error).endswith(".")
    return error


# ---------------------------------------------------------------------------------------------------- where it goes


@each("host", PRIVATE)
async def test_no_spelling_of_a_private_address_is_fetched(host: str, guarded: Wire) -> None:
    error = await refused(guarded, f"http://{host}/{SECRET}?key={SECRET}")
    assert not error.retry or "no connection" in error.why, "it would be tried for a day"


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:7f00:1]", "10.0.0.1", "localhost", "[fd00:ec2::254]"]
)
async def test_no_redirect_leads_there(host: str, provider: Provider) -> None:
    """The first hop is let through by a session that may dial this one server; the next is refused by the guard."""
    port = int(provider.url.rpartition(":")[2])
    provider.default = Say(status=302, headers={"Location": f"http://{host}/latest/meta-data"})
    async with http.guarded_session(resolver=Libc()) as session, first_is_free(session, port) as made:
        error = await refused(made, f"http://127.0.0.1:{port}/a")
    assert len(provider.seen) == 1
    assert not error.retry or "no connection" in error.why


class first_is_free:  # noqa: N801 - reads as a sentence where it is used
    """A wire whose first request goes out unguarded, as to a provider on the public internet; all others are not."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._guarded, self._port = session, port

    async def __aenter__(self) -> Wire:
        self._free = http.guarded_session(allow_private=True)
        asked = 0

        class Both:
            def get(inner, url: Any, **more: Any) -> Any:  # noqa: N805
                nonlocal asked
                asked += 1
                return (self._free if asked == 1 else self._guarded).get(url, **more)

        both: Any = Both()
        return wire(both)

    async def __aexit__(self, *_: object) -> None:
        await self._free.close()


@each("answer", ["127.0.0.1", "169.254.169.254", "fd00:ec2::254", "::1", "10.1.2.3"])
async def test_a_name_that_turns_private_is_not_fetched(answer: str) -> None:
    """Rebinding: the name was public when somebody looked; what is dialled is what the look-up of the dial says."""
    names = Names(answer)
    async with http.guarded_session(resolver=names) as session:
        error = await refused(wire(session), "http://files.example/x")
    assert not error.retry
    assert names.asked == 1


@each(
    "url, words",
    [
        ("file:///etc/passwd", "no URL"),
        ("gopher://example.com/1", "no URL"),
        ("data:text/plain,hello", "no URL"),
        ("//example.com/x", "no URL"),
        ("", "no URL"),
        ("http://[::1", "no URL"),
        (f"https://user:{SECRET}@example.com/", "carries a password"),
        ("https://93.184.216.34:6379/", "ports"),
        ("https://93.184.216.34:25/", "ports"),
        ("https://exa mple.com/", "no"),
        (f"https://{'a' * 300}.example/", ""),
    ],
)
async def test_what_is_no_address_of_a_file(url: str, words: str, guarded: Wire) -> None:
    error = await refused(guarded, url)
    assert words in error.why


@each(
    "url, good",
    [
        ("https://api.twilio.com/x", True),
        ("https://media.twilio.com./x", True),
        ("https://API.TWILIO.COM/x", True),
        ("https://eviltwilio.com/x", False),
        ("https://twilio.com.evil.example/x", False),
        ("https://evil.example/twilio.com", False),
        ("https://evil.example?.twilio.com", False),
        ("https://evil.example#.twilio.com", False),
        ("https://evil.example\\.twilio.com/", False),
    ],
)
async def test_files_of_a_provider_come_from_its_own_names(url: str, good: bool) -> None:
    async with http.guarded_session(resolver=Names("127.0.0.1")) as session:
        error = await refused(wire(session), url, hosts=("twilio.com",))
    assert ("public internet" in error.why) is good, error.why


# ------------------------------------------------------------------------------------------------------- redirects


async def test_credentials_stay_with_the_first_origin(inside: Wire) -> None:
    with Provider() as there, Provider() as back:
        there.queue.extend(
            [
                Say(status=302, headers={"Location": "/second"}),
                Say(status=307, headers={"Location": f"{back.url}/third?signed=1"}),
                Say(body=b"never asked for"),
            ]
        )
        back.queue.append(Say(status=303, headers={"Location": f"{there.url}/fourth"}))
        got = await fetching.get(
            inside, f"{there.url}/first", headers={"Authorization": SECRET, "X-Key": SECRET}
        )
        assert got.data == b"never asked for"
        first, second, fourth = there.seen
        assert first.headers["authorization"] == second.headers["authorization"] == SECRET
        for later in (*back.seen, fourth):
            assert SECRET not in str(later.headers), "gone for good, even where the way leads back"


@pytest.mark.parametrize(
    "location",
    ["", "ftp://example.com/", f"http://u:{SECRET}@127.0.0.1/", "http://[", "javascript:1"],
)
async def test_redirects_to_nowhere(location: str, inside: Wire, provider: Provider) -> None:
    provider.default = Say(status=302, headers={"Location": location} if location else {})
    error = await refused(inside, provider.url + "/")
    assert not error.retry
    assert "passes it on to" in error.why


async def test_an_encrypted_way_stays_encrypted() -> None:
    from yarl import URL

    with pytest.raises(FetchError, match="without encryption"):
        fetching._next(URL("https://a.example/x"), "http://a.example/x")
    assert str(fetching._next(URL("https://a.example/x/y"), "../z#part")) == "https://a.example/z"


async def test_three_redirects_are_followed_and_no_fourth(inside: Wire, provider: Provider) -> None:
    on = Say(status=301, headers={"Location": "/on"})
    provider.answers([on, on, on, Say(body=b"here"), on, on, on, on])
    assert (await fetching.get(inside, provider.url)).data == b"here"
    assert "more than 3 times" in (await refused(inside, provider.url)).why


# ------------------------------------------------------------------------------------------------------ how much


async def test_sizes_are_counted_while_they_come(inside: Wire, provider: Provider) -> None:
    exact = Say(body=b"x" * 1000)
    provider.default = exact
    assert len((await fetching.get(inside, provider.url, limit_bytes=1000)).data) == 1000
    assert "larger than 999 bytes" in (await refused(inside, provider.url, limit_bytes=999)).why


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_what_is_packed_is_counted_unpacked(encoding: str, inside: Wire, provider: Provider) -> None:
    """A bomb: 10 MB of nothing in 10 kB."""
    packed = gzip.compress(b"\0" * 10_000_000)
    assert len(packed) < 11_000
    provider.default = Say(body=packed, headers={"Content-Encoding": encoding})
    assert "larger than" in (await refused(inside, provider.url, limit_bytes=100_000)).why
    assert len((await fetching.get(inside, provider.url)).data) == 10_000_000
    assert provider.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "gzip;q=1"])
async def test_other_packings_are_not_taken(encoding: str, inside: Wire, provider: Provider) -> None:
    provider.default = Say(body=b"x", headers={"Content-Encoding": encoding})
    assert "not asked for" in (await refused(inside, provider.url)).why


async def test_what_is_cut_off_is_not_taken_for_the_whole(inside: Wire, provider: Provider) -> None:
    provider.answers([Say(cut="body", body=PNG)])
    assert (await refused(inside, provider.url)).retry
    whole = gzip.compress(PNG)
    provider.answers([Say(body=whole[:-6], headers={"Content-Encoding": "gzip"})])
    assert (await refused(inside, provider.url)).retry


async def test_time_is_for_all_hops_together(inside: Wire, provider: Provider) -> None:
    provider.default = Say(status=302, headers={"Location": "/on"}, after_s=0.15)
    error = await refused(inside, provider.url, total_s=0.25)
    assert (error.retry, error.why) == (True, "The file did not come within 0.25 seconds.")


# ------------------------------------------------------------------------------------------------ what it comes to


@each(
    "status, retry, after_s",
    [
        (400, False, None), (401, True, 300.0), (403, False, None), (404, True, 30.0), (408, True, None),
        (410, False, None), (416, False, None), (425, True, None), (429, True, 30.0), (451, False, None),
        (500, True, None), (501, False, None), (502, True, None), (503, True, None), (599, True, None),
        (204, False, None), (206, False, None), (304, False, None),
    ],
)  # fmt: skip
async def test_what_a_status_says(
    status: int, retry: bool, after_s: float | None, inside: Wire, provider: Provider
) -> None:
    provider.default = Say(status=status, body=b"")
    error = await refused(inside, f"{provider.url}/{SECRET}")
    assert (error.retry, error.after_s) == (retry, after_s)
    assert str(status) in error.why
    assert "127.0.0.1" in error.why


async def test_what_a_server_asks_for_is_heard(inside: Wire, provider: Provider) -> None:
    provider.default = Say(status=503, headers={"Retry-After": "77"})
    assert (await refused(inside, provider.url)).after_s == 77.0
    provider.default = Say(status=410, headers={"Retry-After": "77"})
    assert (await refused(inside, provider.url)).after_s is None


@each(
    "said, name",
    [
        ("attachment; filename=plain.png", "plain.png"),
        ('attachment; filename="with; semicolon.png"', "with; semicolon.png"),
        ('attachment; filename="a \\"quoted\\" name.png"', 'a "quoted" name.png'),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.png; filename=old.png", "€ rates.png"),
        ("attachment; filename=old.png; FileName*=iso-8859-1'en'%A3.png", "£.png"),
        ("attachment; filename*=nonsense''%e2%82%ac.png", "€.png"),
        ("inline", ""),
        ("", ""),
        ("attachment; filename=", ""),
        ("attachment; filename*=", ""),
        ("attachment; xfilename=no.png", ""),
        ("filename=first.png", "first.png"),
        (f'attachment; filename="{"n" * 5000}"', ""),
        ('attachment; filename="\udce4.png"', "\ufffd.png"),
    ],
)
def test_names(said: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fetching.file_name(said) == name


async def test_what_is_said_of_a_file_is_passed_on(inside: Wire, provider: Provider) -> None:
    provider.default = Say(
        body=PNG,
        headers={
            "Content-Type": "Image/PNG; charset=x",
            "Content-Disposition": 'inline; filename="../a.png"',
        },
    )
    got = await fetching.get(inside, provider.url)
    assert (got.data, got.content_type, got.name) == (PNG, "image/png", "../a.png")
    assert "PNG\\r" not in repr(got)
