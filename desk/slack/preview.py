"""A page that resembles Slack closely enough to judge cards, modals and Home by. Pure: blocks in, HTML out.

What Slack parses is parsed here (mrkdwn), what it does not parse is not, so that a hole in the escaping is seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from desk import words
from desk.slack import sample, sample_views
from desk.slack.blocks import Block, Post, View
from desk.slack.sample import Shot
from desk.slack.text import emoji, unescape

CSS = (Path(__file__).parent / "preview.css").read_text(encoding="utf-8")


def whole(*, dark: bool = False) -> str:
    """The page with everything on it, of the sample's made-up desk."""
    return page(sample_views.shots(), sample.NOW, dark=dark)


def page(shots: Sequence[Shot], now: datetime, *, dark: bool = False) -> str:
    """One page. Each shot stands in an element with its key as id."""
    drawn = Markup("").join(_shot(one, now) for one in shots)
    return str(
        Markup(
            '<!doctype html><html lang="en" class="{}"><head><meta charset="utf-8">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            "<title>Slack preview</title><style>{}</style></head><body>{}</body></html>"
        ).format("dark" if dark else "light", Markup(CSS), drawn)  # noqa: S704 - the file beside this one
    )


def _shot(one: Shot, now: datetime) -> Markup:
    if one.view is not None:
        body = _view(one.view, now)
    elif one.kind == "thread":
        below = Markup("").join(_message(post, now) for post in one.posts[1:])
        count = len(one.posts) - 1
        body = Markup(
            '<div class="side"><div class="channel"><div class="bar"># billing</div>{}'
            '<div class="replies">{} replies</div></div>'
            '<div class="pane"><div class="bar">Thread <span># billing</span></div>{}</div></div>'
        ).format(_message(one.posts[0], now), count, below)
    else:
        body = Markup('<div class="channel">{}</div>').format(
            Markup("").join(_message(post, now) for post in one.posts)
        )
    return Markup('<section class="shot"><h1>{}</h1><div id="{}">{}</div></section>').format(
        one.title, one.key, body
    )


def _message(post: Post, now: datetime) -> Markup:
    return Markup(
        '<article class="message"><div class="avatar">M</div><div class="body"><p class="who"><b>Mainstem</b>'
        '<span class="app">APP</span><span class="time">{:%H:%M}</span></p>{}</div></article>'
    ).format(now, _blocks(post.blocks, now))


def _view(view: View, now: datetime) -> Markup:
    if view["type"] == "home":
        return Markup(
            '<div class="home"><div class="bar">Mainstem</div>'
            '<div class="tabs"><b>Home</b> Messages About</div>{}</div>'
        ).format(_blocks(view["blocks"], now))
    buttons = Markup('<span class="button">{}</span>').format(view["close"]["text"])
    if "submit" in view:
        buttons += Markup('<span class="button primary">{}</span>').format(view["submit"]["text"])
    return Markup(
        '<div class="modal"><div class="top"><b>{}</b><span>✕</span></div><div class="inside">{}</div>'
        '<div class="foot">{}</div></div>'
    ).format(view["title"]["text"], _blocks(view["blocks"], now), buttons)


def _blocks(blocks: Iterable[Block], now: datetime) -> Markup:
    return Markup("").join(_BLOCKS[block["type"]](block, now) for block in blocks)


# ------------------------------------------------------------------------------------------------------ blocks


def _section(block: Block, now: datetime) -> Markup:
    side = _element(block["accessory"], now) if "accessory" in block else Markup("")
    return Markup('<div class="section"><div>{}</div><div>{}</div></div>').format(
        _text(block["text"], now), side
    )


def _context(block: Block, now: datetime) -> Markup:
    inside = Markup("").join(Markup("<span>{}</span>").format(_text(one, now)) for one in block["elements"])
    return Markup('<div class="context">{}</div>').format(inside)


def _header(block: Block, now: datetime) -> Markup:
    return Markup('<h2 class="header">{}</h2>').format(_text(block["text"], now))


def _actions(block: Block, now: datetime) -> Markup:
    inside = Markup("").join(_element(one, now) for one in block["elements"])
    return Markup('<div class="actions">{}</div>').format(inside)


def _input(block: Block, now: datetime) -> Markup:
    optional = Markup(" <i>(optional)</i>") if block.get("optional") else ""
    hint = Markup('<div class="hint">{}</div>').format(block["hint"]["text"]) if "hint" in block else ""
    return Markup('<div class="input"><label>{}{}</label>{}{}</div>').format(
        block["label"]["text"], optional, _element(block["element"], now), hint
    )


def _rich(block: Block, now: datetime) -> Markup:
    parts = []
    for one in block["elements"]:
        inside = Markup("").join(_leaf(leaf, now) for leaf in one["elements"])
        parts.append(Markup('<div class="{}">{}</div>').format(one["type"], inside))
    return Markup('<div class="rich">{}</div>').format(Markup("").join(parts))


_BLOCKS: dict[str, Callable[[Block, datetime], Markup]] = {
    "section": _section,
    "context": _context,
    "header": _header,
    "actions": _actions,
    "input": _input,
    "rich_text": _rich,
    "divider": lambda block, now: Markup("<hr>"),
}
_STYLES = {"bold": "b", "italic": "em", "strike": "s", "code": "code"}


def _leaf(one: Block, now: datetime) -> Markup:
    if one["type"] == "date":
        return escape(_date(one["timestamp"], one["format"], now))
    text = escape(one["text"])
    if one["type"] == "link":
        return Markup('<a href="{}">{}</a>').format(one["url"], text)
    for style in one.get("style") or ():
        text = Markup("<{0}>{1}</{0}>").format(Markup(_STYLES[style]), text)  # noqa: S704 - one of four words
    return text


# ------------------------------------------------------------------------------------------------------ elements


def _element(one: Block, now: datetime) -> Markup:
    kind = one["type"]
    if kind == "button":
        return Markup('<span class="button {}">{}</span>').format(
            one.get("style", ""), _text(one["text"], now)
        )
    if kind == "overflow":
        options = Markup("").join(Markup("<li>{}</li>").format(o["text"]["text"]) for o in one["options"])
        return Markup('<span class="button more">⋯<ul>{}</ul></span>').format(options)
    if kind in ("static_select", "external_select"):
        chosen = one.get("initial_option")
        text = chosen["text"]["text"] if chosen else one["placeholder"]["text"]
        return Markup('<span class="select {}">{}<i>⌄</i></span>').format("" if chosen else "empty", text)
    if kind == "multi_static_select":
        text = " · ".join(f"{o['text']['text']} ✕" for o in one.get("initial_options", ()))
        return Markup('<span class="select {}">{}<i>⌄</i></span>').format(
            "" if text else "empty", text or one["placeholder"]["text"]
        )
    if kind == "plain_text_input":
        text = one.get("initial_value") or (one.get("placeholder") or {}).get("text", "")
        state = "empty" if not one.get("initial_value") else ""
        lines = "many" if one.get("multiline") else ""
        return Markup('<div class="box {} {}">{}</div>').format(lines, state, text)
    if kind == "datetimepicker":
        return Markup(
            '<span class="select empty">Select a date<i>⌄</i></span> <span class="select empty">Time<i>⌄</i></span>'
        )
    if kind == "file_input":
        return Markup('<div class="files">Drop files here or <span class="button">Choose files</span></div>')
    raise ValueError(f"the preview cannot draw a {kind}")


def _text(one: Mapping[str, Any], now: datetime) -> Markup:
    return mrkdwn(one["text"], now) if one["type"] == "mrkdwn" else escape(one["text"])


# ------------------------------------------------------------------------------------------------------ mrkdwn

_TOKEN = re.compile(
    r"<([^<>]+)>"
    r"|`([^`\n]+)`"
    r"|(?<![\w*])\*([^*\n]+)\*(?![\w*])"
    r"|(?<![\w_])_([^_\n]+)_(?![\w_])"
    r"|(?<![\w~])~([^~\n]+)~(?![\w~])"
    r"|:([a-z0-9_+-]+):"
)


def mrkdwn(text: str, now: datetime) -> Markup:
    """As Slack shows it: mentions and links come alive, and so would a customer's, were they not escaped."""
    out, at = [], 0
    for found in _TOKEN.finditer(text):
        out.append(escape(unescape(text[at : found.start()])))
        angle, code, bold, italic, strike, short = found.groups()
        if angle is not None:
            out.append(_angle(angle, now))
        elif short is not None:
            out.append(Markup('<span class="emoji">{}</span>').format(emoji(short)))
        elif code is not None:
            out.append(Markup("<code>{}</code>").format(unescape(code)))
        else:
            tag = "b" if bold is not None else "em" if italic is not None else "s"
            inner = mrkdwn(bold or italic or strike or "", now)
            out.append(Markup("<{0}>{1}</{0}>").format(Markup(tag), inner))  # noqa: S704 - one of three words
        at = found.end()
    out.append(escape(unescape(text[at:])))
    return Markup("").join(out)


def _angle(inside: str, now: datetime) -> Markup:
    target, _, label = inside.partition("|")
    if target.startswith("!date^"):
        _, stamp, form, *_ = target.split("^")
        return escape(_date(int(stamp), form, now))
    if target[:1] in "@#!":
        return Markup('<span class="mention">{}</span>').format(_NAMES.get(target, target))
    return Markup('<a href="{}">{}</a>').format(unescape(target), unescape(label or target))


_NAMES = {
    **{f"@{one.slack}": f"@{one.name}" for one in sample.CONFIG.agents.values()},
    "#C0BILLING": "#billing",
}


def _date(stamp: int, form: str, now: datetime) -> str:
    """As a reader in UTC sees it."""
    at = datetime.fromtimestamp(stamp, UTC)
    days = (at.date() - now.date()) / timedelta(days=1)
    day = {0: "today", -1: "yesterday", 1: "tomorrow"}.get(int(days), f"{at:%b %d, %Y}")
    away = (now - at).total_seconds()
    relative = f"{words.span(away)} ago" if away >= 0 else f"in {words.span(-away)}"
    tokens = {"date_short_pretty": day, "time": f"{at:%H:%M}", "time_secs": f"{at:%H:%M:%S}", "ago": relative}
    for token, value in tokens.items():
        form = form.replace("{" + token + "}", value)
    return form
