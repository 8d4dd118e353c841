"""An S3 bucket on 127.0.0.1, strict: every request's signature (version 4) is worked out anew, and it fails on command.

Written to https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html; no client was asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections import deque
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

from tests.servers.threaded import Threaded

ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_AUTH = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?"
    r"Signature=([0-9a-f]{64})"
)


class S3(Threaded):
    """`with S3() as s3: ...`; `s3.objects` is what the bucket holds, by key.

    failing: statuses to answer the next requests with. region: the only one that a signature may name. The bucket
    is the path's first part.
    """

    def __init__(self, bucket: str = "files", *, region: str = "eu-west-1") -> None:
        super().__init__()
        self.bucket, self.region = bucket, region
        self.objects: dict[str, bytes] = {}
        self.failing: deque[int] = deque()
        self.seen: list[tuple[str, str]] = []
        self.hang = False
        self.url = ""

    def address(self, prefix: str = "") -> str:
        """What MAINSTEM_BLOBS would say."""
        at = f"{self.bucket}/{prefix}" if prefix else self.bucket
        return f"s3://{at}?region={self.region}&endpoint={self.url}&path_style=true"

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = unquote(request.raw_path.partition("?")[0])
        self.seen.append((request.method, path))
        if self.hang:
            await asyncio.sleep(3600)
        if self.failing:
            return _error(self.failing.popleft(), "InternalError")
        if why := self._wrong(request, body):
            return _error(403, why)
        bucket, _, key = path.lstrip("/").partition("/")
        if bucket != self.bucket:
            return _error(404, "NoSuchBucket")
        if not key:
            return self._list(request)
        return self._object(request.method, key, body)

    def _object(self, method: str, key: str, body: bytes) -> web.Response:
        if method == "PUT":
            self.objects[key] = body
            return web.Response(headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        found = self.objects.get(key)
        if found is None:
            return _error(404, "NoSuchKey")
        headers = {
            "ETag": f'"{hashlib.md5(found).hexdigest()}"',
            "Last-Modified": "Sun, 22 Nov 2026 09:00:00 GMT",
        }
        if method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(found))})
        return web.Response(body=found, headers=headers)

    def _list(self, request: web.Request) -> web.Response:
        prefix = request.query.get("prefix", "")
        after = request.query.get("continuation-token", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        page, more = keys[:3], len(keys) > 3  # small pages, so that their reader is tried
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f'<LastModified>2026-11-22T09:00:00.000Z</LastModified><ETag>"x"</ETag></Contents>'
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        said = (
            f"<?xml version='1.0'?><ListBucketResult><Name>{self.bucket}</Name>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{items}</ListBucketResult>"
        )
        return web.Response(text=said, content_type="application/xml")

    # ---------------------------------------------------------------------------------------------- the signature

    def _wrong(self, request: web.Request, body: bytes) -> str:
        """The code of what is wrong with it; empty where it holds."""
        found = _AUTH.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return "AccessDenied"
        access, day, region, signed, signature = found.groups()
        if access != ACCESS:
            return "InvalidAccessKeyId"
        at = request.headers.get("X-Amz-Date", "")
        if region != self.region or not at.startswith(day):
            return "AuthorizationHeaderMalformed"
        when = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs((datetime.now(UTC) - when).total_seconds()) > 900:
            return "RequestTimeTooSkewed"
        names = signed.split(";")
        if names != sorted(names) or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
            return "AccessDenied"
        digest = request.headers.get("X-Amz-Content-Sha256", "")
        if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
            return "XAmzContentSHA256Mismatch"
        path, _, query = request.raw_path.partition("?")
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, True))
        canonical = "\n".join(
            [
                request.method,
                quote(unquote(path), safe="/-_.~"),
                "&".join(f"{k}={v}" for k, v in pairs),
                *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
                "",
                signed,
                digest,
            ]
        )
        scope = f"{day}/{region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        mine = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return "" if hmac.compare_digest(mine, signature) else "SignatureDoesNotMatch"

    async def _serve(self) -> None:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await self._stop.wait()
        await runner.cleanup()


def _error(status: int, code: str) -> web.Response:
    said = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return web.Response(status=status, text=said, content_type="application/xml")
