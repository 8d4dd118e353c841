"""Files: sent by upload, by URL or by their id; fetched through getFile. https://core.telegram.org/bots/api#sending-files"""

from __future__ import annotations

import hashlib
import mimetypes
import secrets
from typing import TYPE_CHECKING, Final

from tests.servers.telegram.calls import Call, Upload, method
from tests.servers.telegram.records import Json, Stored, bad

if TYPE_CHECKING:
    from tests.servers.telegram.server import Telegram

PHOTO: Final = 10 * 1024 * 1024  # "10 MB max size for photos, 50 MB for other files"
UPLOAD: Final = 50 * 1024 * 1024
DOWNLOAD: Final = 20 * 1024 * 1024  # getFile: "bots can download files of up to 20MB in size"
URL_PHOTO: Final = (
    5 * 1024 * 1024
)  # by URL: "5 MB max size for photos and 20 MB max for other types of content"
IMAGES: Final = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
FOLDERS: Final = {
    "photo": "photos", "voice": "voice", "video": "videos", "video_note": "video_notes", "audio": "music",
    "animation": "animations", "sticker": "stickers", "document": "documents",
}  # fmt: skip


def keep(telegram: Telegram, kind: str, upload: Upload, *, size: int = 0) -> Stored:
    """size: what it says it has, where a test pretends a large one."""
    digest = hashlib.sha256(upload.content + upload.name.encode()).hexdigest()[:15]
    suffix = mimetypes.guess_extension(upload.mime_type) or ".bin"
    stored = Stored(
        file_id=f"AgAC{kind[:2]}{secrets.token_urlsafe(36)}",
        unique_id=f"AQAD{digest}",
        path=f"{FOLDERS.get(kind, 'documents')}/file_{len(telegram.files)}{suffix}",
        content=upload.content,
        size=size or len(upload.content),
        mime_type=upload.mime_type,
        name=upload.name,
    )
    telegram.files[stored.file_id] = stored
    return stored


def taken(call: Call, kind: str, value: object) -> Stored:
    """What a file argument names: an upload, a URL (fetched before), or a file_id of this bot."""
    if not value or not isinstance(value, str):
        raise bad(f"there is no {kind.replace('_', ' ')} in the request")
    if value.startswith("attach://"):
        upload = call.uploads.get(value.removeprefix("attach://"))
        if upload is None:
            raise bad(f"there is no {kind.replace('_', ' ')} in the request")
        if not upload.content:
            raise bad("file must be non-empty")
        if kind == "photo":
            if len(upload.content) > PHOTO:
                raise bad("file is too big for a photo")
            if not upload.content.startswith(IMAGES):
                raise bad("IMAGE_PROCESS_FAILED")
        return keep(call.telegram, kind, upload)
    stored = call.telegram.files.get(value)
    if stored is None:
        raise bad("wrong file identifier/HTTP URL specified")
    return stored


def shown(stored: Stored) -> Json:
    return {"file_id": stored.file_id, "file_unique_id": stored.unique_id, "file_size": stored.size}


def described(kind: str, stored: Stored) -> Json | list[Json]:
    """The field of a Message that tells of the file. Of a photo the sizes, smallest first."""
    base = shown(stored)
    if kind == "photo":
        small = base | {
            "file_id": stored.file_id + "s",
            "file_unique_id": stored.unique_id + "s",
            "file_size": 1,
        }
        return [small | {"width": 90, "height": 67}, base | {"width": 1280, "height": 960}]
    named = {"file_name": stored.name, "mime_type": stored.mime_type}
    match kind:
        case "voice":
            return base | {"duration": 3, "mime_type": stored.mime_type}
        case "audio":
            return base | {"duration": 60, "performer": "Somebody", "title": "Something"} | named
        case "video" | "animation":
            return base | {"duration": 5, "width": 640, "height": 480} | named
        case "video_note":
            return base | {"duration": 5, "length": 240}
        case "sticker":
            square = {"width": 512, "height": 512, "is_animated": False, "is_video": False}
            return base | square | {"type": "regular", "emoji": "👍", "set_name": "Simulated"}
    return base | named


@method("getFile", "file_id")
def get_file(call: Call) -> Json:
    """https://core.telegram.org/bots/api#getfile: "The link … is valid for at least 1 hour"."""
    telegram, file_id = call.telegram, call.file_id
    if not file_id:
        raise bad("file_id not specified")
    stored = telegram.files.get(file_id)
    if stored is None and file_id.endswith("s"):
        stored = telegram.files.get(file_id[:-1])
    if stored is None:
        raise bad("invalid file_id")
    if stored.size > DOWNLOAD:
        raise bad("file is too big")
    telegram.links[stored.path] = (stored, telegram.now() + 3600)
    return shown(stored) | {"file_path": stored.path}
