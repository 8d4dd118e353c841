"""The simulated providers' accounts, as `mainstem up --demo` lays them over the folder's configuration, and one
ready-made reply that they have approved: a conversation of theirs goes on though its window is closed.

All that is known of them (ports, ids, secrets) follows from what `up` chose and every child finds in one variable. So
nothing needs to be waited for before the configuration is applied, no secret stands in a log, and stand-ins that are
started again are the same. The user's files are not touched: what is added stands in the text that is applied.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.errors import ConfigError

if TYPE_CHECKING:
    from hub.config import Account, Config

VARIABLE = "MAINSTEM_SIMULATED"  # in the environment of the children of `up --demo`
NAME = "simulated"  # of every account of theirs: telegram/simulated
ROOT = Path(__file__).parents[1]

# Numbers that nobody has: 555-01xx is kept for stories (nationalnanpa.com). Ids stay the same, so that the customers of
# the last demo are met again.
SMS, WHATSAPP_TWILIO, WHATSAPP = "+14155550100", "+14155550111", "+14155550112"
ACCOUNT_SID = "AC" + "51" * 16
BOT_ID, NUMBER_ID, WABA_ID, PAGE_ID, SHOP_ID = (
    5100000001,
    "5100000002",
    "5100000003",
    "5100000004",
    "5100000005",
)
# The text that WhatsApp has approved; Meta knows it by its name, Twilio by its ContentSid.
APPROVED = "Hello {1}, there is news about your question. Shall we go on here?"
TEMPLATE, CONTENT_SID = "news", "HX" + "51" * 16


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """One run's stand-ins: their ports on the loopback, the port by which the demo asks for a turn, and a seed."""

    twilio: int
    telegram: int
    graph: int
    control: int
    seed: str = field(repr=False)

    @classmethod
    def packed(cls, environ: Mapping[str, str]) -> Simulated | None:
        """What `up --demo` said; None without it."""
        text = environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None

    def secret(self, purpose: str) -> str:
        """Made up, the same for this run: 32 hexadecimal digits."""
        return hmac.new(self.seed.encode(), purpose.encode(), hashlib.sha256).hexdigest()[:32]

    @property
    def bot_token(self) -> str:
        return f"{BOT_ID}:AA{self.secret('bot')}"

    def api(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"

    def has(self, account: Account | None) -> bool:
        """Is this one of these accounts? One of the user's by the same name is not."""
        api = account.settings.get("api") if account is not None else None
        return api in {self.api(port) for port in (self.twilio, self.telegram, self.graph)}

    def accounts(self) -> dict[str, dict[str, Any]]:
        """connector -> what channels.yaml would say of its account; `secrets` with their values."""
        twilio = {"api": self.api(self.twilio), "account_sid": ACCOUNT_SID, "backfill_s": 0}
        token = {"auth_token": self.secret("twilio")}
        graph = {"api": self.api(self.graph)}
        meta = {"app_secret": self.secret("app"), "verify_token": self.secret("verify")}
        return {
            "sms_twilio": {
                "title": "SMS (simulated)", "address": SMS, "settings": twilio, "secrets": token,
            },
            "whatsapp_twilio": {
                "title": "WhatsApp by Twilio (simulated)", "address": WHATSAPP_TWILIO, "settings": twilio,
                "secrets": token,
            },
            "whatsapp": {
                "title": "WhatsApp (simulated)", "address": WHATSAPP,
                "settings": graph | {"phone_number_id": NUMBER_ID, "waba_id": WABA_ID},
                "secrets": meta | {"token": f"EAA{self.secret('whatsapp')}"},
            },
            "telegram": {
                "title": "Telegram (simulated)", "settings": {"api": self.api(self.telegram)},
                "secrets": {"token": self.bot_token, "webhook": self.secret("telegram")},
            },
            "messenger": {
                "title": "Messenger (simulated)", "settings": graph | {"page_id": PAGE_ID},
                "secrets": meta | {"token": f"EAA{self.secret('page')}"},
            },
            "instagram": {
                "title": "Instagram (simulated)",
                "settings": graph | {"account_id": SHOP_ID, "username": "simulated.shop"},
                "secrets": meta | {"token": f"EAA{self.secret('shop')}"},
            },
        }  # fmt: skip

    def environment(self) -> dict[str, str]:
        """For every process of this demo: what it is, its secrets, and leave to call this machine."""
        found = {
            _variable(connector, purpose): value
            for connector, account in self.accounts().items()
            for purpose, value in account["secrets"].items()
        }
        return found | {VARIABLE: json.dumps(asdict(self)), "MAINSTEM_ALLOW_PRIVATE_TARGETS": "true"}


def fresh(port: Any) -> Simulated:
    """New secrets, and free ports by `port()`."""
    return Simulated(twilio=port(), telegram=port(), graph=port(), control=port(), seed=secrets.token_hex(16))


def missing() -> str:
    """Why there are no simulated providers here, in one sentence; "" where there are."""
    if (ROOT / "tests" / "servers" / "twilio" / "__init__.py").is_file():
        return ""
    return (
        "The simulated providers come with the source tree, which is not here; the demo goes on without them."
    )


def key(connector: str) -> str:
    return f"{connector}/{NAME}"


def others(found: Iterable[Account], environ: Mapping[str, str]) -> list[Account]:
    """Those that no demo laid over the user's: what is true of them out there can be asked."""
    simulated = Simulated.packed(environ)
    return [account for account in found if simulated is None or not simulated.has(account)]


def laid_over(files: Mapping[str, str], simulated: Simulated) -> dict[str, str]:
    """The folder's files with the simulated accounts and their reply; what the user has by the same name stays his.

    Added at the end of `accounts` and `replies`, one a line, so that lines keep their numbers. Raises ConfigError where
    the folder's own text would not hold, Unfit where nothing can be added to it.
    """
    from connectors import CONNECTORS
    from hub.configfiles import load, read

    own = load(files)
    brand = next(iter(own.brands), "")
    wanted = {
        key(name): _account(name, said, brand)
        for name, said in simulated.accounts().items()
        if name in CONNECTORS and key(name) not in own.accounts
    }
    added = dict(files)
    for file, what, entries in (
        ("channels.yaml", "accounts", wanted),
        ("replies.yaml", "replies", _replies(own, wanted)),
    ):
        added[file] = _added(files.get(file, ""), what, entries)
        config, faults, _ = read(added)
        if faults or set(getattr(config, what)) != {*getattr(own, what), *entries}:
            raise Unfit(
                f"The simulated providers are left out: write the {what} of config/{file} one below the other."
            )
    return added


class Unfit(Exception):
    """The user's file is written so that nothing can be added; one sentence."""


def over(files: dict[str, str], environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """(the files to apply, what is to be said of it): the same, and nothing, where no demo runs."""
    simulated = Simulated.packed(environ)
    if simulated is None:
        return files, ""
    try:
        return laid_over(files, simulated), ""
    except Unfit as error:
        return files, str(error)
    except ConfigError:
        return files, ""  # whoever applies them says what is wrong


def _account(connector: str, said: Mapping[str, Any], brand: str) -> dict[str, Any]:
    names = {purpose: _variable(connector, purpose) for purpose in said["secrets"]}
    return {**said, "brand": brand, "secrets": names}


def _replies(own: Config, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    approved = {
        key("whatsapp"): {"name": TEMPLATE, "language": "en_US"},
        key("whatsapp_twilio"): {"name": CONTENT_SID},
    }
    templates = {account: entry for account, entry in approved.items() if account in wanted}
    if not templates or NAME in own.replies:
        return {}
    return {NAME: {"title": "News (simulated)", "text": APPROVED, "templates": templates}}


def _variable(connector: str, purpose: str) -> str:
    return f"SIMULATED_{connector}_{purpose}".upper()


def _added(text: str, what: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The file's text with the entries at the end of what stands below `what`; where it cannot be done, `read` sees."""
    lines = text.splitlines()
    at = next((n for n, line in enumerate(lines) if re.match(rf"{what}:\s*(#.*)?$", line)), None)
    if at is None:
        lines.append(f"{what}:")
        at = len(lines) - 1
    below = [n for n in range(at + 1, len(lines)) if _says(lines[n])]
    first = next(iter(below), None)
    indent = len(lines[first]) - len(lines[first].lstrip()) if first is not None else 0
    end = next((n for n in below if not lines[n].startswith(" ")), len(lines))
    new = [
        f"{' ' * (indent or 2)}{name}: {json.dumps(said, ensure_ascii=False)}"
        for name, said in entries.items()
    ]
    return "\n".join([*lines[:end], *new, *lines[end:]]) + "\n"


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
