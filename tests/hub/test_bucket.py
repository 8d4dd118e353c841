"""Blobs in a bucket keep the contract that a folder's keep, against an S3 that checks every signature."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub import blobs, bucket
from hub.blobs import Blobs, BlobStore, Damaged
from hub.bucket import Bucket
from hub.errors import NotFound, Unavailable
from hub.settings import SettingsError, load
from tests.each import each
from tests.servers.s3 import ACCESS, S3, SECRET

CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
HELLO = hashlib.sha256(b"hello").hexdigest()
NOBODY = "0" * 64


@pytest.fixture
def s3() -> Iterator[S3]:
    with S3() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "ANSWER_S", 1.0)
    monkeypatch.setattr(bucket, "RETRIES", 1)


def opened(server: S3, prefix: str = "", **environ: str) -> Bucket:
    return Bucket(bucket.read(server.address(prefix)), {**CREDENTIALS, **environ})


@pytest.fixture(params=["folder", "bucket", "bucket with a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> BlobStore:
    if request.param == "folder":
        return Blobs(tmp_path)
    return opened(s3, "hub/one" if "prefix" in request.param else "")


async def test_the_contract_is_one(store: BlobStore) -> None:
    assert store.usage() == (0, 0)
    with pytest.raises(NotFound):
        store.read(HELLO)
    assert store.put(b"hello") == store.put(b"hello") == await store.aput(b"hello") == HELLO
    assert store.usage() == (1, 5)
    assert store.read(HELLO) == await store.aread(HELLO) == b"hello"
    many = [store.put(bytes([n]) * n) for n in range(8)]
    assert store.usage() == (9, 5 + sum(range(8)))
    assert store.read(many[7]) == b"\x07" * 7
    assert store.read(store.put(b"")) == b""
    for bad in ("", "..", "../../etc/passwd", HELLO.upper(), HELLO + "0", f"{HELLO}?x"):
        with pytest.raises(ValueError, match="no sha256"):
            store.read(bad)


def test_keys_are_where_they_were_asked_for(s3: S3) -> None:
    opened(s3, "hub/one").put(b"hello")
    assert s3.objects == {f"hub/one/{HELLO[:2]}/{HELLO}": b"hello"}
    assert opened(s3, "hub/two").usage() == (0, 0)


@each(
    "address, endpoint",
    [
        ("s3://files?endpoint=https://s3.example.com:9000", "https://files.s3.example.com:9000"),
        ("s3://files?endpoint=https://s3.example.com/&path_style=1", "https://s3.example.com"),
        ("s3://files?region=eu-west-1", None),
    ],
)
def test_the_bucket_stands_in_the_hosts_name_or_in_the_path(address: str, endpoint: str | None) -> None:
    config = Bucket(bucket.read(address), CREDENTIALS)._store.config
    assert config.get("endpoint") == endpoint
    assert str(config["virtual_hosted_style_request"]) == ("false" if "path_style" in address else "true")


def test_what_is_there_is_not_sent_again(s3: S3) -> None:
    kept = opened(s3)
    kept.put(b"hello")
    kept.put(b"hello")
    assert [method for method, _ in s3.seen] == ["HEAD", "PUT", "HEAD"]
    s3.objects[f"{HELLO[:2]}/{HELLO}"] = b"hel"  # somebody else's cut copy is written anew
    kept.put(b"hello")
    assert kept.read(HELLO) == b"hello"


def test_bytes_that_changed_are_not_handed_out(s3: S3) -> None:
    kept = opened(s3)
    kept.put(b"hello")
    s3.objects[f"{HELLO[:2]}/{HELLO}"] = b"hellO"
    with pytest.raises(Damaged):
        kept.read(HELLO)


def test_a_failure_that_passes_is_not_noticed(s3: S3) -> None:
    kept = opened(s3)
    s3.failing.extend([500])
    kept.put(b"hello")
    s3.failing.extend([503])
    assert kept.read(HELLO) == b"hello"


def away(kept: Bucket) -> list[str]:
    said = []
    calls: list[Any] = [
        lambda: kept.put(b"x"),
        lambda: kept.read(NOBODY),
        kept.usage,
    ]
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.__cause__ is None
        said.append(str(caught.value))
    return said


def test_a_bucket_that_does_not_answer_is_away(s3: S3) -> None:
    kept = opened(s3)
    s3.failing.extend([500] * 50)
    for words in away(kept):
        assert words == "the bucket s3://files cannot be used: it does not answer"
    gone = s3.address().replace(s3.url, "http://127.0.0.1:1")
    away(Bucket(bucket.read(gone), CREDENTIALS))


@pytest.mark.parametrize(
    "environ",
    [{"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ACCESS_KEY_ID": "AKIDNOBODY"}],
    ids=["secret", "key"],
)
def test_credentials_that_do_not_hold(environ: dict[str, str], s3: S3) -> None:
    for words in away(opened(s3, **environ)):
        assert "credentials" in words
        assert SECRET not in words
        assert "wrong" not in words


def test_the_region_is_signed(s3: S3) -> None:
    wrong = s3.address().replace("region=eu-west-1", "region=us-east-1")
    away(Bucket(bucket.read(wrong), CREDENTIALS))


def test_a_bucket_that_is_not_there(s3: S3) -> None:
    other = Bucket(bucket.read(s3.address().replace("//files", "//others")), CREDENTIALS)
    for call in (lambda: other.put(b"x"), lambda: other.read(NOBODY)):
        with pytest.raises(Unavailable, match="no such bucket"):
            call()


@pytest.mark.slow
def test_a_bucket_that_hangs_is_given_up(s3: S3) -> None:
    s3.hang = True
    with pytest.raises(Unavailable):
        opened(s3).put(b"x")


# ------------------------------------------------------------------------------------------------------ the setting


def test_one_function_opens_what_the_setting_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    at = blobs.of(load({"MAINSTEM_BLOBS": "s3://files/hub?region=eu-west-1"}))
    assert isinstance(at, Bucket)
    assert str(at) == "s3://files/hub"
    assert str(blobs.of(load({"MAINSTEM_BLOBS": str(tmp_path)}))) == str(tmp_path)
    assert str(blobs.of(load({"MAINSTEM_DATA": "there"}))) == "there/blobs"


@each(
    "address, words",
    [
        ("s3://", "a bucket like s3://"),
        ("https://bucket", "a bucket like s3://"),
        ("s3://key:secret@bucket", "AWS_ACCESS_KEY_ID"),
        ("s3://Bucket_With_Capitals", "no bucket"),
        ("s3://bucket/../other", "prefix"),
        ("s3://bucket?regoin=x", "'regoin'"),
        ("s3://bucket?endpoint=minio:9000", "endpoint"),
        ("s3://bucket?path_style=maybe", "path_style"),
    ],
)
def test_addresses_that_are_none(address: str, words: str) -> None:
    with pytest.raises(SettingsError, match="MAINSTEM_BLOBS") as caught:
        load({"MAINSTEM_BLOBS": address})
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
