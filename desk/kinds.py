"""What customers send besides text, as both desks show it: by the fields that connectors/said.py writes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crm_store.timeline import Entry

TAPPED: Final = "tapped"
UNSHOWABLE: Final = "(Something that cannot be shown here"  # as connectors/said.unsupported begins
# Their words stand in the text already.
_PLACE = ("latitude", "longitude", "place", "address")
_CARD = ("contact", "contact phones", "contact mails")
_MAP = (
    "https://www.openstreetmap.org/?mlat={0}&mlon={1}#map=16/{0}/{1}"  # a link; nothing is loaded from there
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """map: where a location can be looked at. tapped: they tapped an answer that we had offered. fields: the rest."""

    map: str = ""
    tapped: bool = False
    fields: tuple[tuple[str, str], ...] = ()


def kind_of(entry: Entry) -> Kind:
    known = dict(entry.fields)
    where = _map(known.get("latitude"), known.get("longitude"))
    hidden = (
        *(_PLACE if where else ()),
        *((TAPPED,) if _is_tap(entry) else ()),
        *(_CARD if "contact" in known and known["contact"] in entry.text else ()),
    )
    return Kind(
        map=where,
        tapped=_is_tap(entry),
        fields=tuple((name, value) for name, value in entry.fields if name not in hidden),
    )


def _is_tap(entry: Entry) -> bool:
    """A form may have a field of that name; a tap is a message, and its words are what stood on the button."""
    return entry.direction == "in" and entry.form == "message" and any(n == TAPPED for n, _ in entry.fields)


def _map(latitude: str | None, longitude: str | None) -> str:
    try:
        north, east = float(latitude or ""), float(longitude or "")
    except ValueError:
        return ""
    if not (-90 <= north <= 90 and -180 <= east <= 180):
        return ""
    return _MAP.format(f"{north:.6f}".rstrip("0").rstrip("."), f"{east:.6f}".rstrip("0").rstrip("."))
