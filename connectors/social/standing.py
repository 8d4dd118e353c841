"""What we ask of Meta besides sending: files, names, how the account stands, and that the app be told of it.

https://developers.facebook.com/docs/graph-api/reference/page/subscribed_apps and
https://developers.facebook.com/docs/instagram-platform/webhooks ("Enable subscriptions"). The address itself is entered
in the app's dashboard; what an account can be asked is which fields of it the app gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from connectors import clean, fetching
from connectors.base import Fetched, Finding, Wire
from connectors.graph import api, standing
from connectors.social.content import HOSTS
from connectors.social.sending import person
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Media

_NO_PROFILE = ("100", "230", "9010", "2018218")
_NAME_CHARS = 200
FILE_BYTES = 100 * 1024 * 1024  # ours: Meta documents none for what customers send


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Who is asked. node: of the subscription; looks: the fields of `node` that say who it is. fields: what we read.
    person: the fields of a customer that are a name, the best first.
    perhaps: those of `fields` that some accounts do not have. scopes: permissions without which nothing works; further:
    those for what is said in public. debugs: a token can be looked at (not at graph.instagram.com)."""

    node: str
    host: str
    looks: str
    person: tuple[str, ...]
    fields: tuple[str, ...]
    perhaps: tuple[str, ...]
    scopes: tuple[str, ...]
    further: tuple[str, ...]
    debugs: bool


async def fetch(media: Media, account: Account, wire: Wire) -> Fetched:
    """The address carries its own proof, so no token goes along; it ends after some days."""
    own = account.settings.get("api")
    host = (urlsplit(own).hostname or "",) if isinstance(own, str) else ()
    fetched = await fetching.get(wire, media.ref, limit_bytes=FILE_BYTES, hosts=(*HOSTS, *host))
    return Fetched(
        data=fetched.data,
        content_type=media.content_type or fetched.content_type,
        name=media.name or fetched.name,
    )


async def called(urn: str, account: Account, wire: Wire, place: Place) -> str:
    """A customer's name. https://developers.facebook.com/documentation/business-messaging/messenger-platform/identity/
    user-profile ("error code 2018218 ... No profile available for this user") and .../instagram-platform/
    instagram-api-with-instagram-login/messaging-api/user-profile ("User consent is required", whose code, 230, is not
    documented; met in practice, as 9010 for somebody whom Instagram does not find)."""
    where = api.url(account, person(urn, account), {"fields": ",".join(place.person)}, host=place.host)
    try:
        said = await api.get(wire, account, where)
    except SendError as error:
        if (error.provider_code or "").partition("/")[0] in _NO_PROFILE:
            return ""
        raise
    names = (clean.line(str(said.get(field) or ""), _NAME_CHARS) for field in place.person)
    return next((name for name in names if name), "")


async def who(account: Account, wire: Wire, place: Place) -> api.Json:
    return await api.get(
        wire, account, api.url(account, place.node, {"fields": place.looks}, host=place.host)
    )


async def examine(account: Account, wire: Wire, place: Place) -> list[Finding]:
    """The token's permissions, and the fields of which the app is told."""
    found = await _token(account, wire, place) if place.debugs else []
    where = api.url(account, f"{place.node}/subscribed_apps", host=place.host)
    said = (await api.get(wire, account, where)).get("data")
    apps = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    held = {
        str(field)
        for one in apps
        if isinstance(listed := one.get("subscribed_fields"), list)
        for field in listed
    }
    cure = f"run `mainstem channel hook {account.key}`"
    missing = [field for field in place.fields if field not in held]
    lost = [field for field in missing if field not in place.perhaps]
    if not apps:
        found.append(Finding(what="the app is not told of anything", wrong=f"Nothing comes in: {cure}."))
    elif lost:
        found.append(
            Finding(what=f"the app is not told of {', '.join(lost)}", wrong=f"These are lost: {cure}.")
        )
    elif missing:
        found.append(Finding(what=f"the app is told of all but {', '.join(missing)}"))
    else:
        found.append(Finding(what="the app is told of all that is read here"))
    ours = wire.inbound(account)
    found.append(Finding(what=f"in the app's dashboard the address must be {ours}, or a sibling's"))
    return found


async def _token(account: Account, wire: Wire, place: Place) -> list[Finding]:
    cure = "Give the app these permissions, and make a new token."
    looked = await standing.token(account, wire, place.scopes, cure, host=place.host)
    found, held = looked.findings, looked.held
    if held is not None and (public := [one for one in place.further if one not in held]):
        found.append(Finding(what=f"without {', '.join(public)} comments cannot be read or answered"))
    return found


async def hook(account: Account, wire: Wire, place: Place) -> str:
    """Tell the app of the fields that are read here. Twice is harmless. Raises SendError."""
    where = api.url(account, f"{place.node}/subscribed_apps", host=place.host)
    asked = place.fields
    try:
        said = await api.put(wire, account, where, {"subscribed_fields": ",".join(asked)})
    except SendError as error:
        if error.code is not SendCode.MESSAGE_INVALID or not place.perhaps:
            raise
        asked = tuple(field for field in asked if field not in place.perhaps)
        said = await api.put(wire, account, where, {"subscribed_fields": ",".join(asked)})
    if said.get("success") not in (True, "true"):
        raise SendError(SendCode.RESPONSE_CONTENT, "Meta does not say that the app is subscribed")
    return (
        f"Meta now tells the app of {', '.join(asked)}. Where it tells it is entered in the app's dashboard: "
        f"{wire.inbound(account)}, with the verify token."
    )
