"""A WhatsApp Business Account: its templates, its numbers and the apps that are subscribed to it.

developers.facebook.com/documentation/business-messaging/whatsapp/reference/whatsapp-business-account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.servers.graph.account import Account, Call
from tests.servers.graph.door import Told
from tests.servers.graph.errors import Json, missing
from tests.servers.graph.templates import Template

if TYPE_CHECKING:
    from tests.servers.graph.server import Graph
    from tests.servers.graph.whatsapp import Number

SHOWN = (
    "verified_name",
    "code_verification_status",
    "display_phone_number",
    "quality_rating",
    "platform_type",
    "throughput",
)


class Waba(Account):
    """A WhatsApp Business Account: its token acts for all its numbers."""

    platform = "whatsapp"
    object: ClassVar[str] = "whatsapp_business_account"
    scopes: ClassVar[list[str]] = ["whatsapp_business_management", "whatsapp_business_messaging"]

    def __init__(self, graph: Graph, *, id: str = "", token: str = "") -> None:  # noqa: A002
        super().__init__(graph, id or graph.ids.number(), token)
        self.templates: list[Template] = []
        self.numbers: list[Number] = []
        self.apps = True

    def template(
        self,
        name: str,
        body: str,
        *,
        language: str = "en_US",
        category: str = "UTILITY",
        status: str = "APPROVED",
        header: str = "",
        footer: str = "",
        buttons: tuple[tuple[str, str, str], ...] = (),
    ) -> Template:
        """See `templates.Template`."""
        made = Template(
            id=self.graph.ids.number(),
            name=name,
            language=language,
            body=body,
            category=category,
            status=status,
            header=header,
            footer=footer,
            buttons=buttons,
        )
        self.templates.append(made)
        return made

    async def call(self, call: Call) -> Json:
        match (call.method, call.edge):
            case ("GET", ""):
                node: Json = {"id": self.id, "name": "Acme", "currency": "USD", "timezone_id": "1"}
                return self.picked(node, call, ("name",))
            case ("GET", "subscribed_apps"):
                app = {"link": "https://www.example.com/", "name": "Mainstem", "id": self.graph.app_id}
                return {"data": [{"whatsapp_business_api_data": app}] if self.apps else []}
            case ("POST" | "DELETE", "subscribed_apps"):
                self.apps = call.method == "POST"
                return {"success": True}
            case ("GET", "message_templates"):
                found = [
                    one.shown
                    for one in self.templates
                    if call.given.get("name") in (None, one.name)
                    and call.given.get("status") in (None, one.status)
                ]
                return {"data": found, "paging": {"cursors": {"before": "MAZDZD", "after": "MjQZD"}}}
            case ("GET", "phone_numbers"):
                return {"data": [self.picked(one.node, call, SHOWN) for one in self.numbers]}
        raise missing(call.node, call.method.lower())

    async def tell_account(self, fieldname: str, value: Json) -> Told:
        """An event of the account itself: message_template_status_update, account_update,
        phone_number_quality_update …"""
        entry = {"id": self.id, "changes": [{"value": value, "field": fieldname}]}
        return await self.tell("", fieldname, entry)
