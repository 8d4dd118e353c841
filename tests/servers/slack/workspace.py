"""What a workspace holds: people, channels, messages, files and open views, as Slack's objects have them.

https://docs.slack.dev/reference/objects
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


class Ids:
    """Ids of Slack's look, never twice the same and the same in every run."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def new(self, prefix: str) -> str:
        number, letters = next(self._count) * 2_654_435_761 % 2**40, ""
        for _ in range(8):
            number, digit = divmod(number, len(_ALPHABET))
            letters += _ALPHABET[digit]
        return f"{prefix}0{letters}"


@dataclass
class User:
    """https://docs.slack.dev/reference/objects/user-object"""

    id: str
    name: str
    team_id: str
    email: str | None = None
    guest: bool | str = False  # True: in several channels (is_restricted); "single": is_ultra_restricted too
    bot: bool = False
    stranger: bool = False
    deleted: bool = False
    confirmed: bool = True
    updated: int = 0

    def shown(self, *, with_email: bool) -> Json:
        profile: Json = {"real_name": self.name, "display_name": self.name, "team": self.team_id}
        if with_email and self.email:
            profile["email"] = self.email
        user: Json = {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.username,
            "deleted": self.deleted,
            "profile": profile,
            "is_bot": self.bot,
            "is_app_user": False,
            "updated": self.updated,
        }
        if self.deleted:
            return user
        user |= {
            "color": "9f69e7",
            "real_name": self.name,
            "tz": "Europe/Berlin",
            "tz_label": "Central European Time",
            "tz_offset": 3600,
            "is_admin": False,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": bool(self.guest),
            "is_ultra_restricted": self.guest == "single",
            "is_email_confirmed": self.confirmed,
            "who_can_share_contact_card": "EVERYONE",
        }
        if self.stranger:
            user["is_stranger"] = True
        return user

    @property
    def username(self) -> str:
        return self.name.lower().replace(" ", ".")


@dataclass
class Channel:
    """https://docs.slack.dev/reference/objects/conversation-object. messages: by ts, in order."""

    id: str
    name: str
    private: bool = False
    im: str | None = None
    archived: bool = False
    members: list[str] = field(default_factory=list)
    messages: dict[str, Json] = field(default_factory=dict)
    read_only: bool = False
    created: int = 1_700_000_000

    @property
    def type(self) -> str:
        return "im" if self.im else "group" if self.private else "channel"

    def shown(self, bot: str, team: str) -> Json:
        if self.im:
            return {
                "id": self.id,
                "is_im": True,
                "user": self.im,
                "created": self.created,
                "is_archived": False,
            }
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.private,
            "is_group": False,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.private,
            "created": self.created,
            "is_archived": self.archived,
            "is_general": False,
            "is_shared": False,
            "is_ext_shared": False,
            "is_org_shared": False,
            "is_member": bot in self.members,
            "context_team_id": team,
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
            "num_members": len(self.members),
        }


@dataclass
class File:
    """https://docs.slack.dev/reference/objects/file-object. content: None until it was uploaded."""

    id: str
    name: str
    length: int
    user: str
    title: str = ""
    mimetype: str = "application/octet-stream"
    content: bytes | None = None
    complete: bool = False
    deleted: bool = False
    channels: list[str] = field(default_factory=list)
    ticket: str = field(default_factory=lambda: secrets.token_hex(16))

    def shown(self, base: str, team: str, *, private: bool = False) -> Json:
        extension = self.name.rpartition(".")[2] if "." in self.name else "binary"
        url = f"{base}/files-pri/{team}-{self.id}"
        return {
            "id": self.id,
            "created": 1_700_000_000,
            "timestamp": 1_700_000_000,
            "name": self.name,
            "title": self.title or self.name,
            "mimetype": self.mimetype,
            "filetype": extension,
            "pretty_type": extension.upper(),
            "user": self.user,
            "user_team": team,
            "editable": False,
            "size": self.length,
            "mode": "hosted",
            "is_external": False,
            "external_type": "",
            "is_public": not private,
            "public_url_shared": False,
            "display_as_bot": False,
            "username": "",
            "url_private": f"{url}/{self.name}",
            "url_private_download": f"{url}/download/{self.name}",
            "permalink": f"https://acme.slack.com/files/{self.user}/{self.id}/{self.name}",
            "is_starred": False,
            "has_rich_preview": False,
            "file_access": "visible",
            "channels": list(self.channels),
        }


@dataclass
class View:
    """https://docs.slack.dev/reference/views. `shown` is what the API returns and what interactions carry."""

    shown: Json
    user: str
    values: dict[str, dict[str, Json]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.shown["id"])

    @property
    def hash(self) -> str:
        return str(self.shown["hash"])

    @property
    def blocks(self) -> list[Json]:
        return list(self.shown["blocks"])

    @property
    def private_metadata(self) -> str:
        return str(self.shown["private_metadata"])

    @property
    def callback_id(self) -> str:
        return str(self.shown["callback_id"])

    @property
    def title(self) -> str:
        return str((self.shown.get("title") or {}).get("text", ""))

    @property
    def external_id(self) -> str:
        return str(self.shown["external_id"])


@dataclass
class Trigger:
    """https://docs.slack.dev/interactivity/handling-user-interaction#modal_responses: three seconds, once."""

    user: str
    born: float
    view: str | None = None
    used: bool = False


class Stamps:
    """Message timestamps: seconds with six decimals, each later than the one before."""

    def __init__(self) -> None:
        self.wall: Callable[[], float] = time.time
        self._last = 0

    def new(self, offset: float = 0.0) -> str:
        self._last = max(self._last + 100, int((self.wall() + offset) * 1_000_000))
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
