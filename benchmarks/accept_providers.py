"""What benchmarks/accept.py sends besides signed JSON: Twilio's SMS, Telegram's updates, WhatsApp's batches of 100.

Bodies, headers and signatures are those of the strict stand-ins in tests/servers, so of the providers' pages; a text of
150 characters, from one of 2,000 people.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from tests.servers.graph.door import wire
from tests.servers.twilio.signing import signature

TEXT = ("My parcel has not come. " * 7)[:150]
CUSTOMERS = 2_000
BATCH = 100  # messages in one request of WhatsApp's
SMS, TELEGRAM, WHATSAPP = "sms_twilio/bench", "telegram/bench", "whatsapp/bench"
TWILIO_TOKEN, APP_SECRET, TELEGRAM_SECRET = "0" * 32, "1" * 32, "2" * 32
ACCOUNT_SID, OURS, NUMBER_ID, BOT_ID = "AC" + "5" * 32, "+14155550100", "5100000002", 5100000001
ENVIRONMENT = {
    "BENCH_TWILIO": TWILIO_TOKEN,
    "BENCH_APP": APP_SECRET,
    "BENCH_WORD": "word",
    "BENCH_META": "EAA" + "3" * 32,
    "BENCH_BOT": f"{BOT_ID}:AA{'4' * 32}",
    "BENCH_HOOK": TELEGRAM_SECRET,
}
_CHANNELS = f"""
  {SMS}: {{title: SMS, address: "{OURS}", settings: {{account_sid: {ACCOUNT_SID}, backfill_s: 0}},
    secrets: {{auth_token: BENCH_TWILIO}}}}
  {TELEGRAM}: {{title: Telegram, secrets: {{token: BENCH_BOT, webhook: BENCH_HOOK}}}}
  {WHATSAPP}: {{title: WhatsApp, settings: {{phone_number_id: "{NUMBER_ID}"}},
    secrets: {{app_secret: BENCH_APP, token: BENCH_META, verify_token: BENCH_WORD}}}}
"""
_numbers = count(1)

Made = tuple[list[tuple[str, str]], bytes]  # (account, event key) of each message, and the whole request


def add_accounts(config: Path) -> None:
    """To a copy of the configuration that ships, whose accounts are the last thing in their file."""
    with (config / "channels.yaml").open("a") as file:
        file.write(_CHANNELS)


def sms(port: int, at: int) -> Made:
    """https://www.twilio.com/docs/messaging/guides/webhook-request"""
    number = next(_numbers)
    sid = f"SM{number:032x}"
    said = {
        "ToCountry": "US", "ToState": "CA", "ToCity": "", "ToZip": "", "FromCountry": "US", "FromState": "NY",
        "FromCity": "NEW YORK", "FromZip": "10001", "Body": TEXT, "NumSegments": "1", "AccountSid": ACCOUNT_SID,
        "ApiVersion": "2010-04-01", "From": f"+1415555{number % CUSTOMERS:04}", "To": OURS, "NumMedia": "0",
        "MessageSid": sid, "SmsSid": sid, "SmsMessageSid": sid, "SmsStatus": "received",
    }  # fmt: skip
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": "TwilioProxy/1.1",
        "I-Twilio-Idempotency-Token": str(uuid.UUID(int=number)),
        "X-Home-Region": "us1",
        "X-Twilio-Signature": signature(TWILIO_TOKEN, f"http://127.0.0.1:{port}/in/{SMS}", said),
    }
    return [(SMS, sid)], _request(SMS, urlencode(said).encode(), headers)


def telegram(port: int, at: int) -> Made:
    """https://core.telegram.org/bots/api#update"""
    number = next(_numbers)
    person = 700_000_000 + number % CUSTOMERS
    about = {"id": person, "first_name": "Ann", "username": f"ann{person}"}
    message = {
        "message_id": number,
        "from": {**about, "is_bot": False, "language_code": "en"},
        "chat": {**about, "type": "private"},
        "date": at,
        "text": TEXT,
    }
    body = json.dumps({"update_id": 100_000_000 + number, "message": message}, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "X-Telegram-Bot-Api-Secret-Token": TELEGRAM_SECRET,
    }
    return [(TELEGRAM, f"{BOT_ID}:{person}:{number}")], _request(TELEGRAM, body, headers)


def whatsapp(port: int, at: int) -> Made:
    """A hundred messages of as many people, an entry each; phone and business-scoped id both stand there, as they do
    since 2026."""
    entries, keys = [], []
    for _ in range(BATCH):
        number = next(_numbers)
        phone, scoped = f"1415555{number % CUSTOMERS:04}", f"US.1{number % CUSTOMERS:019}"
        wamid = f"wamid.{number:044x}"
        keys.append((WHATSAPP, wamid))
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": OURS[1:], "phone_number_id": NUMBER_ID},
            "contacts": [{"profile": {"name": "Ann"}, "wa_id": phone, "user_id": scoped}],
            "messages": [
                {
                    "from": phone, "from_user_id": scoped, "id": wamid, "timestamp": str(at), "type": "text",
                    "text": {"body": TEXT},
                }
            ],
        }  # fmt: skip
        entries.append({"id": "5100000003", "changes": [{"value": value, "field": "messages"}]})
    body = wire({"object": "whatsapp_business_account", "entry": entries})
    proof = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Webhooks/1.0",
        "X-Hub-Signature-256": f"sha256={proof}",
    }
    return keys, _request(WHATSAPP, body, headers)


KINDS: Sequence[tuple[str, Callable[[int, int], Made], int]] = (
    # what it is called, what makes one, how many requests a round has
    ("sms", sms, 2_000),
    ("telegram", telegram, 2_000),
    ("whatsapp", whatsapp, 20),
)


def _request(account: str, body: bytes, headers: dict[str, str]) -> bytes:
    told = {"Host": "hub.example.com", "Accept": "*/*", **headers, "Content-Length": len(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST /in/{account} HTTP/1.1\r\n{lines}\r\n".encode() + body
