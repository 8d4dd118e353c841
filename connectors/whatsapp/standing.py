"""What we ask of WhatsApp: files, how the number stands, and where notifications go.

https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media (download),
.../reference/whatsapp-business-account/subscribed-apps-api, .../webhooks/override (override_callback_uri), and
https://developers.facebook.com/docs/graph-api/reference/app/subscriptions.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote, urlsplit

from connectors import fetching
from connectors.base import Fetched, FetchError, Finding, Wire
from connectors.graph import api, standing
from connectors.whatsapp.sending import number_id
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Media

HOSTS = ("fbsbx.com", "facebook.com", "fbcdn.net", "whatsapp.net")  # lookaside.fbsbx.com today
FILE_BYTES = 100 * 1024 * 1024
# Without a User-Agent the lookaside address refuses (met in practice; no page says so).
USER_AGENT = "Mainstem"
_NEEDED = ("whatsapp_business_messaging", "whatsapp_business_management")
_CURE = "Make a token of a system user, with both WhatsApp permissions."
FIELDS = ("messages", "user_preferences")
_ASKED = (
    "display_phone_number,verified_name,quality_rating,status,code_verification_status,name_status,platform_type,"
    "account_mode,webhook_configuration,health_status"
)


# --------------------------------------------------------------------------------------------------------- files


async def fetch(media: Media, account: Account, wire: Wire) -> Fetched:
    """The id gives an address that lives five minutes; the address wants the token, too. So both are asked for each
    time, and a 404 of the second means: come again, for a new one."""
    try:
        where = api.url(account, media.ref, {"phone_number_id": number_id(account)})
        said = await api.get(wire, account, where)
        headers = {**api.bearer(account), "User-Agent": USER_AGENT}
    except SendError as error:
        again = error.retry or error.code is SendCode.CHANNEL_CONFIG
        if error.provider_code == "100/33":
            again = False  # after 7 days, or never ours
        raise FetchError(f"WhatsApp does not give the file: {error.detail}.", again, error.after_s) from None
    address, size = said.get("url"), said.get("file_size")
    if not isinstance(address, str) or not address:
        raise FetchError("WhatsApp does not say where the file is.", retry=True)
    if isinstance(size, int | str) and str(size).isdigit() and int(size) > FILE_BYTES:
        raise FetchError("The file is larger than WhatsApp itself allows, so it is not fetched.")
    own = urlsplit(str(account.settings.get("api") or api.API)).hostname or ""
    fetched = await fetching.get(wire, address, headers=headers, limit_bytes=FILE_BYTES, hosts=(*HOSTS, own))
    sha = said.get("sha256")
    if isinstance(sha, str) and len(sha) == 64 and hashlib.sha256(fetched.data).hexdigest() != sha.lower():
        raise FetchError("The file did not come whole: it is not the one that WhatsApp names.", retry=True)
    kind = str(said.get("mime_type") or "").partition(";")[0].strip()
    return Fetched(
        data=fetched.data,
        content_type=media.content_type or kind or fetched.content_type,
        name=media.name or fetched.name,
    )


# ----------------------------------------------------------------------------------------------------- how it stands


async def examine(account: Account, wire: Wire) -> tuple[Finding, ...]:
    """The number, the token, the business account's subscription, the app's fields."""
    number = await api.get(wire, account, api.url(account, number_id(account), {"fields": _ASKED}))
    found = _number(number)
    found.append(_hooked(number, account, wire))
    looked = await standing.token(account, wire, _NEEDED, _CURE)
    found, app = found + looked.findings, looked.app
    if waba := str(account.settings.get("waba_id") or ""):
        found.append(await _subscribed(account, wire, waba, app))
    else:
        found.append(
            Finding(
                what="the business account is not looked at",
                wrong="Say waba_id, the WhatsApp Business Account's id, so that its subscription can be seen.",
            )
        )
    if app:
        found += await _fields(account, wire, app)
    return tuple(found)


def _number(said: dict[str, Any]) -> list[Finding]:
    def of(name: str) -> str:
        return " ".join(str(said.get(name) or "").split())[:100]

    found = [Finding(what=f"the number is {of('display_phone_number')}, {of('verified_name')}")]
    status, quality, name = of("status"), of("quality_rating"), of("name_status")
    if status and status != "CONNECTED":
        cure = "Register it, or look in WhatsApp Manager: only a connected number sends and receives."
        found.append(Finding(what=f"the number is {status}", wrong=cure))
    elif status:
        found.append(Finding(what="the number is connected"))
    if quality:
        bad = quality in ("YELLOW", "RED")
        cure = (
            "People block it or call it spam; at RED fewer may be written to. See WhatsApp Manager."
            if bad
            else ""
        )
        found.append(Finding(what=f"its quality is {quality}", wrong=cure))
    if name and name not in ("APPROVED", "AVAILABLE_WITHOUT_REVIEW", "NONE"):
        found.append(
            Finding(what=f"its display name is {name}", wrong="It must be approved before it sends.")
        )
    if of("platform_type") not in ("", "CLOUD_API"):
        found.append(
            Finding(what=f"it lives on {of('platform_type')}", wrong="Register it with the Cloud API.")
        )
    health = said.get("health_status")
    can = health.get("can_send_message") if isinstance(health, dict) else None
    if isinstance(can, str) and can != "AVAILABLE":
        found.append(Finding(what=f"sending is {can}", wrong="WhatsApp Manager says what is in the way."))
    return found


def _hooked(said: dict[str, Any], account: Account, wire: Wire) -> Finding:
    """The number's own address, else the business account's, else the app's. An account that shares the app may have
    the address: what comes there is told apart by the number."""
    places = said.get("webhook_configuration")
    places = places if isinstance(places, dict) else {}
    where = next(
        (
            str(places[one])
            for one in ("phone_number", "whatsapp_business_account", "application")
            if places.get(one)
        ),
        "",
    )
    siblings = {key.partition("/")[2] for key in account.siblings.values()} | {account.name}
    base = f"{wire.public_url}/in/{account.connector}/"
    cure = (
        f"run `mainstem channel hook {account.key}`, or enter {wire.inbound(account)} in the app's dashboard"
    )
    if not where:
        return Finding(what="WhatsApp does not say where notifications go", wrong=f"Perhaps nowhere: {cure}.")
    if where in {base + quote(name, safe="") for name in siblings}:
        return Finding(what=f"notifications go to {where}")
    host = urlsplit(where).hostname or "elsewhere"
    return Finding(what=f"notifications go to {host}", wrong=f"They should come here: {cure}.")


async def _subscribed(account: Account, wire: Wire, waba: str, app: str) -> Finding:
    said = (await api.get(wire, account, api.url(account, f"{waba}/subscribed_apps"))).get("data")
    apps = [
        one["whatsapp_business_api_data"]
        for one in (said if isinstance(said, list) else ())
        if isinstance(one, dict) and isinstance(one.get("whatsapp_business_api_data"), dict)
    ]
    if any(not app or str(one.get("id")) == app for one in apps):
        return Finding(what="the app is subscribed to the business account")
    cure = f"Nothing comes in: run `mainstem channel hook {account.key}`."
    return Finding(what="the app is not subscribed to the business account", wrong=cure)


async def _fields(account: Account, wire: Wire, app: str) -> list[Finding]:
    """Which fields the app's webhook has: asked with the app's own token, which is its id and its secret."""
    secret = next(iter(account.secrets.get("app_secret", ())), "")
    try:
        said = (
            await api.get(wire, account, api.url(account, f"{app}/subscriptions"), f"{app}|{secret}")
        ).get("data")
    except SendError as error:
        return [Finding(what=f"the webhook's fields could not be looked at: {error.detail}")]
    ours = next(
        (
            one
            for one in (said if isinstance(said, list) else ())
            if isinstance(one, dict) and one.get("object") == "whatsapp_business_account"
        ),
        {},
    )
    fields = ours.get("fields")
    names = {
        str(one.get("name") if isinstance(one, dict) else one)
        for one in (fields if isinstance(fields, list) else ())
    }
    missing = [one for one in FIELDS if one not in names]
    if missing:
        cure = "Subscribe to them in the app's dashboard: WhatsApp, Configuration, Webhook fields."
        return [Finding(what=f"the webhook lacks {', '.join(missing)}", wrong=cure)]
    return [Finding(what="the webhook has the fields it needs")]


async def hook(account: Account, wire: Wire) -> str:
    """Subscribe the app to the business account, with our address in place of the app's. Meta calls it at once, with
    the verify token. Raises SendError."""
    waba = str(account.settings.get("waba_id") or "")
    if not waba:
        raise SendError(
            SendCode.CHANNEL_CONFIG,
            "say waba_id, the WhatsApp Business Account's id: it is what is subscribed",
            whole_account=True,
        )
    ours = wire.inbound(account)
    word = next(iter(account.secrets.get("verify_token", ())), "")
    what = {"override_callback_uri": ours, "verify_token": word}
    said = await api.put(wire, account, api.url(account, f"{waba}/subscribed_apps"), what)
    if said.get("success") is not True:
        raise SendError(SendCode.RESPONSE_CONTENT, "WhatsApp does not say that it is subscribed")
    return (
        f"WhatsApp now sends the messages of the business account {waba} to {ours}. What it sends to the app's own "
        f"address alone (user_preferences) needs that address in the dashboard, too."
    )
