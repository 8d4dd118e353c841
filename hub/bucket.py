"""Blobs in an S3-compatible bucket: the same contract as a folder's (hub/blobs.py), for hubs on several machines.

Through obstore (the object_store of Apache Arrow, in Rust): measured against boto3 and minio in
docs/decisions/0011-*.md. Imported only by who has a bucket.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from hub.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

ANSWER_S = 60.0  # one request, with 100 MB at most
RETRIES = 2  # of what may be asked again: all of it may, a blob is named by its bytes
RETRY_S = 45.0
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_OPTIONS = ("region", "endpoint", "path_style")
_PREFIX = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A bucket as its address says: s3://bucket/prefix?region=eu-west-1&endpoint=https://…&path_style=true."""

    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    endpoint: str = ""
    path_style: bool = False

    def __str__(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def read(address: str) -> Place:
    """Raises ValueError with one sentence, without what the address says."""
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise ValueError("must be a folder, or a bucket like s3://bucket/prefix?region=eu-west-1")
    if "@" in parts.netloc or ":" in parts.netloc:
        raise ValueError("must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError("names no bucket that S3 could have")
    prefix = unquote(parts.path).strip("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or ".." in prefix.split("/")):
        raise ValueError("has a prefix with more than letters, digits and . _ - /")
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise ValueError(f"has {unknown[0][:40]!r}, which is none of {', '.join(_OPTIONS)}")
    endpoint = options.get("endpoint", "")
    if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
        raise ValueError("has an endpoint that is no address like https://s3.example.com")
    style = options.get("path_style", "false").lower()
    if style not in ("true", "false", "1", "0"):
        raise ValueError("has a path_style that is neither true nor false")
    return Place(
        bucket=parts.netloc,
        prefix=prefix,
        region=options.get("region") or "us-east-1",
        endpoint=endpoint.rstrip("/"),
        path_style=style in ("true", "1"),
    )


class Bucket:
    """The blobs of one bucket. Credentials come from the environment, or from the machine's role."""

    def __init__(self, place: Place, environ: Mapping[str, str] = os.environ) -> None:
        self.place = place
        self._store = _open(place, environ)

    def __str__(self) -> str:
        return str(self.place)

    def _key(self, sha256: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError(f"{sha256[:80]!r} is no sha256")
        return f"{sha256[:2]}/{sha256}"

    def _size(self, sha256: str) -> int | None:
        """In bytes; None where it is not there. Raises Unavailable."""
        import obstore

        key = self._key(sha256)
        try:
            return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            return None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._away(error) from None

    def usage(self) -> tuple[int, int]:
        """How many there are, and their bytes together. Lists the whole bucket."""
        import obstore

        count = size = 0
        try:
            for page in obstore.list(self._store):
                for item in page:
                    if re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{64}", item["path"]):
                        count, size = count + 1, size + int(item["size"])
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._away(error) from None
        return count, size

    def put(self, data: bytes) -> str:
        """Keep `data` and return its sha256 once the bucket has said that it has it. Twice is harmless.

        Raises Unavailable. A bucket shows an object whole or not at all.
        """
        import obstore

        sha256 = hashlib.sha256(data).hexdigest()
        if self._size(sha256) != len(data):
            try:
                obstore.put(self._store, self._key(sha256), data, use_multipart=False)
            except (obstore.exceptions.BaseError, OSError) as error:
                raise self._away(error) from None
        return sha256

    def read(self, sha256: str) -> bytes:
        """The bytes, checked against their name. Raises NotFound, Damaged or Unavailable."""
        import obstore

        from hub.blobs import Damaged

        try:
            data = bytes(obstore.get(self._store, self._key(sha256)).bytes())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._away(error) from None
            raise NotFound(f"no blob {sha256} is kept here") from None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._away(error) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"blob {sha256} is damaged in the bucket")
        return data

    async def aput(self, data: bytes) -> str:
        return await asyncio.to_thread(self.put, data)

    async def aread(self, sha256: str) -> bytes:
        return await asyncio.to_thread(self.read, sha256)

    def _away(self, error: BaseException) -> Unavailable:
        """In our words: an error of the library's quotes addresses and answers."""
        found = _STATUS.search(str(error))
        status = int(found[1]) if found else 404 if isinstance(error, FileNotFoundError) else 0
        return Unavailable(
            f"the bucket {self.place} cannot be used: {_WORDS.get(status, 'it does not answer')}"
        )


_STATUS = re.compile(r"status code: (\d{3})")
_WORDS = {
    301: "it is in another region",
    400: "the request was not understood; is the region right?",
    401: "its credentials are refused",
    403: "its credentials may not do this",
    404: "there is no such bucket",
}
# Variable of the environment -> obstore's own name for it.
_CREDENTIALS: dict[str, Literal["access_key_id", "secret_access_key", "session_token"]] = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}


def _open(place: Place, environ: Mapping[str, str]) -> S3Store:
    from obstore.store import S3Store

    config: S3Config = {
        "region": place.region,
        "virtual_hosted_style_request": not place.path_style,
    }
    for variable, name in _CREDENTIALS.items():
        if environ.get(variable):
            config[name] = environ[variable]
    if place.endpoint:
        # The endpoint is taken as it stands, so with the bucket's own host name the name goes before it.
        scheme, _, rest = place.endpoint.partition("://")
        host = rest if place.path_style else f"{place.bucket}.{rest}"
        config["endpoint"] = f"{scheme}://{host}"
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        config=config,
        client_options={
            "timeout": timedelta(seconds=ANSWER_S),
            "connect_timeout": timedelta(seconds=5),
            "allow_http": place.endpoint.startswith("http://"),
            "user_agent": "Mainstem",
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
    )
