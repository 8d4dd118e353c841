"""Reading a call: JSON, a form or multipart, with the token wherever Graph takes it."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp import web

from tests.servers.graph.account import Call, File
from tests.servers.graph.errors import Json

RESERVED = ("access_token", "appsecret_proof", "fields", "format", "suppress_http_code")


async def read(request: web.Request) -> Call:
    """JSON, a form or multipart; in the latter two, values that are JSON are read as such."""
    parts = [part for part in request.path.split("/") if part]
    version = parts.pop(0) if parts and re.fullmatch(r"v\d+\.\d+", parts[0]) else ""
    query = dict(request.query)
    given: Json = {}
    files: list[File] = []
    if request.content_type == "application/json" and request.can_read_body:
        try:
            read = json.loads(await request.read())
        except ValueError:
            read = None
        given = read if isinstance(read, dict) else {"": "not JSON"}
    elif request.can_read_body:
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files.append(
                    File(
                        name=name,
                        filename=value.filename,
                        mime=value.content_type,
                        content=value.file.read(),
                    )
                )
            else:
                given[name] = _value(str(value))
    given = {name: _value(value) for name, value in query.items() if name not in RESERVED} | given
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = bearer if scheme in ("Bearer", "OAuth") else ""
    token = token or str(query.get("access_token") or given.get("access_token") or "")
    given.pop("access_token", None)
    return Call(
        method=request.method,
        node=parts[0] if parts else "",
        edge="/".join(parts[1:]),
        version=version,
        query=query,
        given=given,
        token=token,
        files=files,
    )


def _value(text: str) -> Any:
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return {"true": True, "false": False}.get(text, text)
