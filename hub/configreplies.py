"""replies.yaml: texts that agents insert, those that are given without anybody's doing, and what providers approved."""

from __future__ import annotations

from collections.abc import Collection

from hub import configtemplates
from hub.config import Auto, AutoWhen, CannedReply
from hub.configrouting import Names
from hub.yamlfile import Section

REPLY_CHARS = 20_000
CHOICE_CHARS = (
    72  # more than any channel shows on a button; what a channel cannot take goes out as a numbered list
)


def reply(key: str, section: Section, names: Names, accounts: Collection[str]) -> CannedReply:
    section.need("text")
    text = section.text("text", limit=REPLY_CHARS).strip()
    places = sorted({int(number) for number in configtemplates.PLACE.findall(text)})
    if places != list(range(1, len(places) + 1)):
        section.fault("text", f"{section.what}: the places to fill are {{1}}, {{2}} and so on, none left out")
    one = CannedReply(
        key=key,
        title=section.text("title", key),
        text=text,
        queues=section.refers("queues", "queue", names.queues),
        auto=_auto(section, names, accounts),
        places=len(places),
        approved=configtemplates.approved(section, accounts, len(places)),
        choices=section.words("choices", limit=CHOICE_CHARS),
    )
    if one.auto is not None and places:
        section.fault("auto", f"{section.what}: nobody is there to fill the places of its text")
    section.done()
    return one


def _auto(section: Section, names: Names, accounts: Collection[str]) -> Auto | None:
    below = section.section("auto")
    if below is None:
        return None
    below.need("when")
    below.need("accounts")
    when = below.one_of("when", AutoWhen.FIRST_CONTACT, {str(one): one for one in AutoWhen})
    auto = Auto(
        when=when,
        accounts=below.refers("accounts", "account", accounts),
        calendar=below.refer("calendar", "calendar", names.calendars) or "",
    )
    if when is AutoWhen.OUT_OF_HOURS:
        below.need("calendar")
    elif auto.calendar:
        below.fault("calendar", f'{below.what}: "calendar" belongs to {AutoWhen.OUT_OF_HOURS} alone')
    below.done()
    return auto
