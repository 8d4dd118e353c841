"""An invitation in a mail (RFC 5545, RFC 6047) in one sentence; the file itself stays attached."""

from __future__ import annotations

import re
from datetime import datetime

from connectors.mail import headers

_CHARS = 200_000
_WHAT = {
    "REQUEST": "Invitation",
    "CANCEL": "Cancelled",
    "REPLY": "Answer to an invitation",
    "COUNTER": "Another time is proposed",
    "PUBLISH": "Event",
}
_ANSWERS = {"ACCEPTED": "accepted", "DECLINED": "declined", "TENTATIVE": "perhaps"}
_FORMS = (
    ("%Y%m%dT%H%M%SZ", "%Y-%m-%d %H:%M UTC"),
    ("%Y%m%dT%H%M%S", "%Y-%m-%d %H:%M"),
    ("%Y%m%d", "%Y-%m-%d"),
)
_FOLD = re.compile(r"\r?\n[ \t]")
_LINE = re.compile(r"^([A-Za-z\-]{1,40})((?:;[^:\n]{0,500})?):(.{0,2000})$")


def words(text: str) -> str:
    """Such as "Invitation: Kettle repair, 2024-03-04 10:00 (Europe/Berlin), Shop, from shop@example.com"."""
    found: dict[str, tuple[str, str]] = {}
    answer = ""
    inside = False
    for line in _FOLD.sub("", text[:_CHARS]).splitlines()[:2_000]:
        match = _LINE.match(line)
        if match is None:
            continue
        name, parameters, value = match[1].upper(), match[2], match[3]
        if name == "BEGIN" and value.upper() in ("VEVENT", "VTODO"):
            inside = True
        elif name == "END" and value.upper() in ("VEVENT", "VTODO"):
            break
        elif name == "METHOD" or inside:
            found.setdefault(name, (parameters, value))
            if name == "ATTENDEE" and (said := re.search(r"PARTSTAT=([A-Z\-]+)", parameters.upper())):
                answer = answer or _ANSWERS.get(said[1], "")
    if not inside:
        return ""
    method = found.get("METHOD", ("", "PUBLISH"))[1].strip().upper()
    parts = [_plain(found.get("SUMMARY", ("", ""))[1]) or "no title", _when(*found.get("DTSTART", ("", "")))]
    if method == "REPLY" and answer:
        parts.append(answer)
    parts.append(_plain(found.get("LOCATION", ("", ""))[1]))
    organiser = found.get("ORGANIZER", ("", ""))[1]
    if organiser.lower().startswith("mailto:"):
        parts.append(f"from {headers.shown(organiser[7:])[:120]}")
    return f"{_WHAT.get(method, 'Event')}: " + ", ".join(part for part in parts if part)


def _plain(value: str) -> str:
    text = re.sub(r"\\[nN]", " ", value).replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
    return headers.shown(text)[:200]


def _when(parameters: str, value: str) -> str:
    value = value.strip()
    zone = re.search(r"TZID=\"?([^\";:]{1,60})", parameters)
    for form, shown in _FORMS:
        try:
            said = datetime.strptime(value, form).strftime(shown)  # noqa: DTZ007 - shown as written, with its zone's name
        except ValueError:
            continue
        return f"{said} ({zone[1]})" if zone and not value.endswith("Z") else said
    return ""
