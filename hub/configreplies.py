"""replies.yaml: texts that agents insert, those that are given without anybody's doing, and what providers approved."""

from __future__ import annotations

import re
from collections.abc import Collection

from hub.config import ApprovedText, Auto, AutoWhen, CannedReply
from hub.configrouting import Names
from hub.yamlfile import Keys, Section, clip, near

REPLY_CHARS = 20_000
CHOICE_CHARS = (
    72  # more than any channel shows on a button; what a channel cannot take goes out as a numbered list
)
_PLACE = re.compile(r"\{(\d{1,2})\}")


def reply(key: str, section: Section, names: Names, accounts: Collection[str]) -> CannedReply:
    section.need("text")
    text = section.text("text", limit=REPLY_CHARS).strip()
    places = sorted({int(number) for number in _PLACE.findall(text)})
    if places != list(range(1, len(places) + 1)):
        section.fault("text", f"{section.what}: the places to fill are {{1}}, {{2}} and so on, none left out")
    one = CannedReply(
        key=key,
        title=section.text("title", key),
        text=text,
        queues=section.refers("queues", "queue", names.queues),
        auto=_auto(section, names, accounts),
        places=len(places),
        approved=_approved(section, accounts),
        choices=section.words("choices", limit=CHOICE_CHARS),
    )
    if one.auto is not None and places:
        section.fault("auto", f"{section.what}: nobody is there to fill the places of its text")
    section.done()
    return one


def _approved(section: Section, accounts: Collection[str]) -> dict[str, ApprovedText]:
    """`templates`: an account, or a connector for all of its accounts, -> the name, or {name, language}."""
    below = section.section("templates")
    if below is None:
        return {}
    known = {*accounts, *(account.partition("/")[0] for account in accounts)}
    found: dict[str, ApprovedText] = {}
    for where in below.node.entries:
        if where not in known:
            below.fault(where, f'no account or channel "{clip(where)}"{near(where, known)}')
        if isinstance(below.get(where), Keys):
            inner = below.section(where)
            if inner is not None:
                inner.need("name")
                found[where] = ApprovedText(
                    name=inner.text("name"), language=inner.text("language", limit=20)
                )
                inner.done()
        else:
            found[where] = ApprovedText(name=below.text(where))
    below.done()
    return found


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
