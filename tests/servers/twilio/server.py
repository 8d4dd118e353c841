"""The account and its front door. https://www.twilio.com/docs/usage/requests-to-twilio"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from tests.servers.local import Asked, Local, Order
from tests.servers.twilio import content, rest, sending
from tests.servers.twilio.customer import Customer, File, inbound
from tests.servers.twilio.errors import ApiError
from tests.servers.twilio.hooks import deliver, replies
from tests.servers.twilio.records import (
    API,
    Delivery,
    Hook,
    Medium,
    Message,
    Number,
    Refused,
    Sender,
    Service,
    Template,
    new_sid,
)
from tests.servers.twilio.reports import Reports
from tests.servers.twilio.segments import segments

_SID = "[A-Z]{2}[0-9a-zA-Z]{32}"
ROUTES: Final = (
    ("POST", r"/Messages\.json", "messages.create"),
    ("GET", r"/Messages\.json", "messages.list"),
    ("GET", rf"/Messages/(?P<sid>{_SID})\.json", "messages.fetch"),
    ("POST", rf"/Messages/(?P<sid>{_SID})\.json", "messages.change"),
    ("DELETE", rf"/Messages/(?P<sid>{_SID})\.json", "messages.delete"),
    ("GET", rf"/Messages/(?P<sid>{_SID})/Media\.json", "media.list"),
    ("GET", rf"/Messages/(?P<sid>{_SID})/Media/(?P<media>{_SID})(?P<json>\.json)?", "media.download"),
    ("DELETE", rf"/Messages/(?P<sid>{_SID})/Media/(?P<media>{_SID})(\.json)?", "media.delete"),
    ("GET", r"\.json", "account.fetch"),
    ("GET", r"/IncomingPhoneNumbers\.json", "numbers.list"),
    ("GET", rf"/IncomingPhoneNumbers/(?P<sid>{_SID})\.json", "numbers.fetch"),
    ("POST", rf"/IncomingPhoneNumbers/(?P<sid>{_SID})\.json", "numbers.change"),
)  # fmt: skip


CONTENT: Final = (
    ("POST", "/v1/Content", "content.create"),
    ("GET", "/v1/Content", "content.list"),
    ("GET", rf"/v1/Content/(?P<sid>{_SID})", "content.fetch"),
    ("DELETE", rf"/v1/Content/(?P<sid>{_SID})", "content.delete"),
    ("GET", rf"/v1/Content/(?P<sid>{_SID})/ApprovalRequests", "content.approval"),
)  # fmt: skip


class Twilio(Local):
    """sent: every message that was taken. refused: every send that was not. deliveries: every inbound webhook.

    rate: creates in a second that are taken before 20429 (None: all). queue_limit: messages of one number that may
    stand queued before 21611. no_permission: prefixes of countries that are not switched on. trial: only to `verified`.
    media_auth: whether media need the password (they do, of themselves).
    """

    def __init__(
        self,
        *,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.account_sid = account_sid or new_sid("AC")
        self.auth_token = auth_token or secrets.token_hex(16)
        self.api_key, self.api_secret = api_key or new_sid("SK"), api_secret or secrets.token_hex(16)
        self.channel_sid = new_sid("XE")
        self.account_status = "active"
        self.opened_at = self.now()
        self.cdn = ""
        self.numbers: dict[str, Number] = {}
        self.senders: dict[str, Sender] = {}
        self.services: dict[str, Service] = {}
        self.templates: dict[str, Template] = {}
        self.others: set[str] = set()  # numbers of other accounts
        self.messages: dict[str, Message] = {}
        self.sent: list[Message] = []
        self.refused: list[Refused] = []
        self.deliveries: list[Delivery] = []
        self.replied: list[Message] = []  # by TwiML, or by a careless text/plain
        self.alerts: list[tuple[int, str]] = []
        self.faults: list[str] = []
        self.stopped: set[tuple[str, str]] = set()
        self.windows: dict[tuple[str, str], float] = {}
        self.talked: set[tuple[str, str]] = set()
        self.dooms: dict[str, int] = {}
        self.refusals: dict[str, int] = {}
        self.unreachable: set[str] = set()
        self.no_permission: tuple[str, ...] = ()
        self.trial = False
        self.verified: set[str] = set()
        self.rate: int | None = None
        self.queue_limit = 1_000_000
        self.media_auth = True
        self.reports = Reports(self)
        self._creates: deque[float] = deque()
        self._tickets: dict[str, Medium] = {}

    async def opened(self) -> None:
        self.cdn = await self.listen(self._cdn)

    # ------------------------------------------------------------------------------------------------- the account

    def number(
        self, phone: str, *, sms_url: str = "", sms_fallback_url: str = "", sms: bool = True, mms: bool = True,
        status_callback: str = "", method: str = "POST",
    ) -> Number:  # fmt: skip
        hook = Hook(url=sms_url, fallback_url=sms_fallback_url, method=method)
        self.numbers[phone] = Number(
            phone=phone, hook=hook, sms=sms, mms=mms, status_callback=status_callback, created=self.now()
        )
        return self.numbers[phone]

    def sender(
        self, phone: str, *, url: str = "", fallback_url: str = "", status_callback: str = ""
    ) -> Sender:
        """A WhatsApp sender of the account."""
        address = f"whatsapp:{phone.removeprefix('whatsapp:')}"
        hook = Hook(url=url, fallback_url=fallback_url)
        self.senders[address] = Sender(address=address, hook=hook, status_callback=status_callback)
        return self.senders[address]

    def service(
        self, *members: Number | Sender, url: str = "", fallback_url: str = "", status_callback: str = "",
        defer: bool = False, opt_out: bool = True,
    ) -> Service:  # fmt: skip
        service = Service(
            addresses=[one.phone if isinstance(one, Number) else one.address for one in members],
            hook=Hook(url=url, fallback_url=fallback_url),
            status_callback=status_callback, defer=defer, opt_out=opt_out,
        )  # fmt: skip
        self.services[service.sid] = service
        return service

    def template(
        self, body: str, *, kind: str = "twilio/text", approved: bool = True,
        choices: tuple[tuple[str, str], ...] = (), name: str = "",
    ) -> Template:  # fmt: skip
        template = Template(body=body, kind=kind, approved=approved, choices=choices, name=name)
        self.templates[template.sid] = template
        return template

    def customer(self, phone: str, name: str = "") -> Customer:
        return Customer(self, phone, name)

    def refuse(self, to: str, code: int) -> None:
        """Every send to `to` is answered with `code`; 0: no longer."""
        self.refusals[to] = code

    def doom(self, to: str, code: int) -> None:
        """Every message to `to` is taken, and fails afterwards with `code`; 0: no longer."""
        self.dooms[to] = code

    def service_of(self, address: str) -> Service | None:
        return next((one for one in self.services.values() if address in one.addresses), None)

    def callback_of(self, sender: str, service: Service | None) -> str:
        """A message without a StatusCallback of its own uses the service's, or a WhatsApp sender's."""
        if service is not None:
            return service.status_callback
        return self.senders[sender].status_callback if sender in self.senders else ""

    def stopped_by(self, sender: str, to: str, service: Service | None) -> bool:
        of = service or self.service_of(sender)
        return (of.sid if of is not None else sender, to) in self.stopped

    def queue_of(self, sender: str) -> int:
        return sum(one.from_ == sender and one.status in ("accepted", "queued") for one in self.sent)

    # ------------------------------------------------------------------------------------------------ the other way

    async def receives(
        self, sender: str, to: str, params: dict[str, str], files: Sequence[File] = ()
    ) -> Delivery:
        """A message comes in: it stands in the list, and the webhook of the service or the number is called."""
        service = self.service_of(to)
        own = self.numbers[to].hook if to in self.numbers else self.senders[to].hook
        hook = service.hook if service is not None and not service.defer else own
        self.talked.add((to, sender))
        message, delivery = inbound(
            self, sender, to, params, files, hook, service.sid if service is not None else ""
        )
        self.messages[message.sid] = message
        self.deliveries.append(delivery)
        await deliver(self, delivery)
        for text in replies(self, delivery) if delivery.ok else ():
            reply = Message(
                account_sid=self.account_sid, from_=to, to=sender, body=text, direction="outbound-reply",
                status="sent", created=self.now(), sent_at=self.now(), num_segments=segments(text), sid=new_sid("SM"),
            )  # fmt: skip
            self.messages[reply.sid] = reply
            self.replied.append(reply)
        return delivery

    async def redeliver(self, delivery: Delivery, *, new_token: bool = False) -> Delivery:
        """The same webhook once more, as a retry whose first answer was lost: same parameters, same token."""
        again = Delivery(
            kind=delivery.kind, hook=delivery.hook, params=delivery.params,
            token=new_sid("") if new_token else delivery.token,
        )  # fmt: skip
        return await deliver(self, again)

    # ----------------------------------------------------------------------------------------------------- the door

    async def understand(self, request: web.Request) -> Asked:
        form = await rest.form_of(request)
        found = self._route(request.method, request.path)
        return Asked(
            operation=found[0] if found else "",
            to=next(iter(form.get("To", [""]))),
            method=request.method,
            path=request.path,
            params=form,
            headers={k.lower(): v for k, v in request.headers.items()},
        )

    def _route(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        base = f"/{API}/Accounts/{self.account_sid}"
        for wanted, pattern, operation in ROUTES:
            if method == wanted and (found := re.fullmatch(re.escape(base) + pattern, path)):
                return operation, found.groupdict()
        for wanted, pattern, operation in CONTENT:
            if method == wanted and (found := re.fullmatch(pattern, path)):
                return operation, found.groupdict()
        return None

    def error(self, order: Order) -> web.Response:
        failed = ApiError(
            order.code or (20429 if order.status == 429 else 20500), status=order.status, message=order.message,
            retry_after=order.retry_after,
        )  # fmt: skip
        return failed.response()

    async def answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        try:
            found = self._route(request.method, request.path)
            if found is None or found[0] != "media.download" or self.media_auth:
                self._authorize(request)
            if found is None:
                raise ApiError(20404, request.path)
            if found[0] == "messages.create":
                return await self._create(asked.params)
            if found[0] == "content.create":
                return content.create(self, await rest.json_of(request))
            return self._plain(found[0], found[1], asked.params)
        except ApiError as failed:
            if asked.operation == "messages.create":
                self.refused.append(Refused(code=failed.code, to=asked.to, params=asked.params))
            return failed.response()

    def _plain(self, operation: str, ids: dict[str, Any], params: dict[str, list[str]]) -> web.Response:
        sid, media = ids.get("sid", ""), ids.get("media", "")
        match operation:
            case "content.list":
                return content.list_all(self)
            case "content.fetch":
                return content.fetch(self, sid)
            case "content.delete":
                return content.delete(self, sid)
            case "content.approval":
                return content.approval(self, sid)
            case "messages.list":
                return rest.list_messages(self, params)
            case "messages.fetch":
                return rest.fetch_message(self, sid)
            case "messages.change":
                return rest.change_message(self, sid, params)
            case "messages.delete":
                return rest.delete_message(self, sid)
            case "media.list":
                return rest.list_media(self, sid, params)
            case "media.download":
                return rest.medium(self, sid, media, as_json=bool(ids.get("json")))
            case "media.delete":
                return rest.delete_medium(self, sid, media)
            case "account.fetch":
                return rest.account(self)
            case "numbers.list":
                return rest.list_numbers(self, params)
            case "numbers.fetch":
                return rest.fetch_number(self, sid)
        return rest.change_number(self, sid, params)

    async def _create(self, form: dict[str, list[str]]) -> web.Response:
        self._throttle()
        message = sending.create(self, form)
        message.history.append(message.status)
        self.messages[message.sid] = message
        self.sent.append(message)
        shown = message.shown()  # as it was taken, whatever is reported of it before the answer
        self.talked.add((message.from_, message.to))
        await self._goes_out(message)
        return rest.created(shown)

    async def _goes_out(self, message: Message) -> None:
        if self.reports.early:
            await self._lives_on(message)
        else:
            self.background(self._lives_on(message))

    async def _lives_on(self, message: Message) -> None:
        code = await self._fetched(message) or sending.later_failure(self, message)
        if code:
            status = "undelivered" if 30000 <= code < 40000 else "failed"
            await self.reports.say(message.sid, status, code=code)
        elif self.reports.auto:
            await self.reports.say(message.sid, *self.reports.auto)

    async def _fetched(self, message: Message) -> int:
        """Twilio gets the media from where we said, without a password; what it cannot get fails the message.

        That 11200 and 63019 are told of a medium that cannot be had is our reading of their pages.
        """
        whatsapp = message.to.startswith("whatsapp:")
        for url in message.media_urls:
            heard = await self.call("GET", url, body=None, headers={"User-Agent": "TwilioProxy/1.1"})
            if not heard.ok:
                self.alerts.append((11200, f"{heard.problem or heard.status} for {url}"))
                return 63019 if whatsapp else 11200
            kind = heard.headers.get("content-type", "").partition(";")[0]
            message.media.append(Medium(content_type=kind, content=heard.body, created=self.now()))
        most = sending.MEDIA_BYTES_WHATSAPP if whatsapp else sending.MEDIA_BYTES
        return 11751 if sum(len(one.content) for one in message.media) > most else 0

    def _throttle(self) -> None:
        if self.rate is None:
            return
        while self._creates and self._creates[0] <= self.now() - 1:
            self._creates.popleft()
        if len(self._creates) >= self.rate:
            raise ApiError(20429, retry_after=1)
        self._creates.append(self.now())

    def _authorize(self, request: web.Request) -> None:
        """https://www.twilio.com/docs/api/errors/20003"""
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            user = password = ""
        pairs = {self.account_sid: self.auth_token, self.api_key: self.api_secret}
        good = user in pairs and hmac.compare_digest(pairs[user].encode(), password.encode())
        if kind != "Basic" or not good or self.account_status != "active":
            raise ApiError(20003)

    # ------------------------------------------------------------------------------------------------------- the CDN

    def cdn_address(self, medium: Medium) -> str:
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = medium
        return (
            f"{self.cdn}/{self.account_sid}/{medium.sid}?Signature={ticket}&Expires={int(self.now()) + 14400}"
        )

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        """Another host: no password belongs there (a signed address with one is refused, as S3 does; our reading)."""
        asked = Asked(
            operation="cdn", to="", method=request.method, path=request.path, params=dict(request.query),
            headers={k.lower(): v for k, v in request.headers.items()},
        )  # fmt: skip
        self.requests.append(asked)
        if order := self._order(asked):
            return web.Response(status=order.status or 503, text="unavailable")
        medium = self._tickets.get(request.query.get("Signature", ""))
        if "Authorization" in request.headers:
            self.faults.append("the account's password was given to the media host")
            return web.Response(status=400, text="InvalidArgument: Only one auth mechanism allowed")
        if medium is None or int(request.query.get("Expires", "0")) < self.now():
            return web.Response(status=403, text="AccessDenied")
        return web.Response(body=medium.content, headers={"Content-Type": medium.content_type})
