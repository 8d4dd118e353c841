"""What hangs below a card: messages, replies with what became of them, notes; and the questions asked there.

Pure. Strangers' words stand in rich_text and plain_text elements only, where Slack parses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from crm_store.carried import PUBLIC_FORMS
from crm_store.cited import Cited
from crm_store.delivery_states import TRIED_AGAIN
from crm_store.timeline import Delivery, Entry
from desk import words
from desk.kinds import UNSHOWABLE, kind_of
from desk.safe import filename
from desk.slack import names
from desk.slack.blocks import (
    FALLBACK_CHARS,
    MESSAGE_BLOCKS,
    MESSAGE_BYTES,
    Block,
    Post,
    actions,
    button,
    context,
    cut,
    leaf,
    plain,
    quote,
    quoted,
    rich,
    section,
)
from desk.slack.blocks import words as say
from desk.slack.text import escape, line, shown, when
from hub.config import Config
from hub.errors import SendCode
from hub.urn import display

TEXT_BYTES = MESSAGE_BYTES - 2500  # of a message's own text; the rest is for what stands around it

ICONS = {
    "held": ":hourglass_flowing_sand:",
    "queued": ":hourglass_flowing_sand:",
    "sending": ":hourglass_flowing_sand:",
    "sent": ":white_check_mark:",
    "delivered": ":white_check_mark:",
    "read": ":eyes:",
    "failed": ":warning:",
    "cancelled": ":leftwards_arrow_with_hook:",
    "opted_out": ":no_entry:",
    "unknown": ":grey_question:",
}
_LATE_S = 300
_TROUBLE = ("failed", "unknown", "opted_out")


def fallback(*parts: str) -> str:
    """What a notification says: one line, cut, escaped."""
    return escape(line(" ".join(part for part in parts if part), FALLBACK_CHARS)) or "…"


def message(entry: Entry, config: Config, *, url: str = "", text: bool = True) -> Post:
    """What the customer wrote. text False: the card shows that already, and here are the files that came with it."""
    name = words.called(entry.sender_name, entry.urn)
    form = "" if entry.form == "message" else f" · {line(entry.form, 20)}"
    form += ", in public" if entry.form in PUBLIC_FORMS else ""
    small = []
    # Slack shows when it was posted; where that is much later, the message says when it was written.
    if (entry.received_at - entry.at).total_seconds() > _LATE_S:
        small.append(f"written {when(entry.at)}")
    small += ["automatic"] if entry.automatic else []
    small += ["tapped"] if kind_of(entry).tapped else []
    small += doubt(entry)
    if entry.participants:
        small.append(f"also to {escape(line(', '.join(display(urn) for urn in entry.participants), 300))}")
    if entry.quoted:
        small.append(f"<{url}#m{entry.id}|what it quotes>" if url else "what it quotes is in the web desk")
    blocks = [rich(say(leaf(line(name, 80), "bold"), leaf(f" by {words.channel(entry.account)}{form}")))]
    blocks += _body(entry, url) if text else files(entry)
    blocks += [context(" · ".join(small))] if small else []
    said = entry.text or ((entry.attachments or entry.expected) and "sent a file") or entry.subject or ""
    return Post(fallback(f"{line(name, 60)}:", said or "(no text)"), tuple(blocks))


def doubt(entry: Entry) -> list[str]:
    """That nothing shows that the message came from whose address it bears; mrkdwn of ours."""
    if entry.claimed:
        return ["*sender not proved*: the address is theirs, but nothing shows that they wrote this"]
    if entry.direction == "in" and words.is_mail(entry.account) and not words.proved(entry.proof):
        return ["*sender not proved*: anybody can write under this address"]
    return []


def note(entry: Entry, config: Config, *, url: str = "") -> Post:
    """A note of a colleague's that was written elsewhere; removed, or sent on as a reply, it says so."""
    by = words.who(config, entry.by)
    if entry.deleted:
        return Post(
            fallback(f"Note by {by}:", "removed"), (context(f":lock: A note by {escape(by)} was removed."),)
        )
    told = f":lock: Note by {escape(by)}. Customers never see notes."
    if entry.sent_as:
        told = f":outbox_tray: Note by {escape(by)}, sent to the customer."
    blocks = [*_body(entry, url), context(told)]
    return Post(fallback(f"Note by {by}:", entry.text), tuple(blocks))


def _body(entry: Entry, url: str) -> list[Block]:
    """Subject, text, fields of a form, files."""
    kind = kind_of(entry)
    blocks: list[Block] = [cites(entry.cites)] if entry.cites is not None else []
    if entry.subject:
        blocks.append(rich(say(leaf(line(entry.subject, 200), "bold"))))
    if entry.deleted and not entry.text:
        blocks.append(context("_Deleted by its author._"))
    elif seen(entry.text) and entry.deleted:
        blocks.append(rich(quoted(leaf(cut(shown(entry.text), TEXT_BYTES), "strike"))))
    elif seen(entry.text):
        blocks.append(quote(entry.text, TEXT_BYTES))
    elif not (entry.attachments or entry.expected or entry.fields):
        blocks.append(context("_No text._"))
    if kind.fields:
        blocks.append(_fields(kind.fields, 2000 if entry.text else TEXT_BYTES))
    if kind.map:
        blocks.append(context(f":round_pushpin: <{kind.map}|On the map>"))
    blocks += files(entry)
    if entry.raw and entry.text.startswith(UNSHOWABLE):
        where = f"<{url}#m{entry.id}|in the web desk>" if url else "in the web desk"
        blocks.append(context(f"A lead finds the raw request {where}."))
    if len(shown(entry.text).encode()) > TEXT_BYTES:
        rest = f"<{url}|All of it is in the web desk.>" if url else "All of it is in the web desk."
        blocks.append(context(f"This is the beginning. {rest}"))
    return blocks


def cites(cited: Cited) -> Block:
    """The earlier message that this one quotes."""
    if cited.id is None:
        return context("_Quotes a message that is not here._")
    who = "we" if cited.direction == "out" else line(cited.sender_name, 40) or "they"
    said = "(taken back)" if cited.deleted else line(cited.text, 160) or "a file"
    return context(":leftwards_arrow_with_hook:", plain(f"{who}: {said}", 240))


def carried(delivery: Delivery) -> list[str]:
    """How a reply went, beside its words; mrkdwn of ours."""
    with_it, told = delivery.carries, []
    if with_it.template is not None:
        language = f" ({escape(line(with_it.template.language, 12))})" if with_it.template.language else ""
        told.append(f"as the template “{escape(line(with_it.template.name, 60))}”{language}")
    told += ["*in public*: everybody can read it"] if with_it.public else []
    if with_it.choices:
        told.append(f"to tap: {escape(line(' · '.join(with_it.choices), 300))}")
    return told


def seen(text: str) -> bool:
    """Is there anything in it that a reader can see?"""
    return any(c.isprintable() and not c.isspace() and c not in _ZERO for c in text)


_ZERO = "\u115f\u1160\u3164\uffa0\u2800\u034f"  # printable by the tables, and nothing to be seen


def _fields(fields: Iterable[tuple[str, str]], bytes_left: int) -> Block:
    """A form's fields, as a list."""
    leaves: list[Block] = []
    for name, value in list(fields)[:50]:
        for one in (leaf(f"{line(name, 60)}: ", "bold"), leaf(f"{cut(shown(value), 500)}\n")):
            bytes_left -= len(one["text"].encode())
            if bytes_left < 0:
                return rich(quoted(*leaves, leaf("…")))
            leaves.append(one)
    return rich(quoted(*leaves))


def files(entry: Entry) -> list[Block]:
    """Their names; the files themselves are put into the thread beside it, or lie in the web desk. And what of those
    that are not here."""
    attached = entry.attachments
    missing = [
        context(":hourglass:" if one.coming else ":warning:", plain(words.missing(one), 400))
        for one in entry.expected[:8]
    ]
    if not attached:
        return missing
    names_ = [f"{filename(one.name)} ({words.size(one.size_bytes)})" for one in attached[:8]]
    more = f" and {len(attached) - 8} more" if len(attached) > 8 else ""
    return [context(":paperclip:", plain(", ".join(names_) + more, 1200)), *missing]


# ------------------------------------------------------------------------------------------------------ receipts


def needs_somebody(delivery: Delivery) -> bool:
    return delivery.asks or delivery.state in _TROUBLE


def undo_open(delivery: Delivery, now: datetime | None) -> bool:
    """Can it still be taken back?"""
    waits = delivery.state in ("held", "queued") and not delivery.asks
    return waits and now is not None and delivery.due_at > now


def receipt(
    entry: Entry, config: Config, now: datetime | None, *, typed: bool = False, url: str = ""
) -> Post:
    """A reply and what became of it: one message that is redrawn as its delivery goes on.

    typed: the reply's text stands in the thread already. The Undo button is drawn while it can be used; whoever keeps
    the post draws it again when that time has run out.
    """
    delivery = entry.delivery
    if delivery is None:
        raise ValueError("a receipt is of a delivery")
    by = words.who(config, entry.by)
    blocks: list[Block] = []
    if not typed:
        blocks += [
            rich(say(leaf(by, "bold"), leaf(f" by {words.channel(delivery.account)}"))),
            *_body(entry, url),
        ]
    if told := carried(delivery):
        blocks.append(context(" · ".join(told)))
    blocks += _state(delivery, now)
    blocks += _revised(entry, delivery)
    state = "Waits for your word" if delivery.asks else words.DELIVERIES[delivery.state][0]
    return Post(fallback(f"{state}:", entry.text or "a file"), tuple(blocks))


def _state(delivery: Delivery, now: datetime | None) -> list[Block]:
    word, meaning, _ = words.DELIVERIES[delivery.state]
    where = escape(words.channel(delivery.account))
    ref = str(delivery.id)
    if delivery.asks:
        return [
            section(f":raised_hand: *Waits for your word.* {words.delivery_code(delivery.code)}"),
            actions(
                button("Send it anyway", names.CONFIRM, ref, "primary"),
                button("Take it back", names.UNDO, ref),
            ),
        ]
    if delivery.state in _TROUBLE:
        return _trouble(delivery)
    text = f"{ICONS[delivery.state]} *{word}*"
    if undo_open(delivery, now):
        text += f" by {where}."
        return [section(text, button("Undo", names.UNDO, ref))]
    if delivery.state == "queued" and delivery.code == TRIED_AGAIN:
        text += f" by {where}. It did not arrive: {escape(line(delivery.detail, 200))}."
    elif delivery.state == "queued" and delivery.code:
        text += f" by {where}. {words.delivery_code(delivery.code)} It goes out by itself once that is over."
    elif delivery.sent_at is not None:
        text += f" by {where} · {when(delivery.sent_at, '{time}')}"
    else:
        text += f" by {where}. {meaning}" if delivery.state != "cancelled" else f". {meaning}"
    return [context(text)]


def _trouble(delivery: Delivery) -> list[Block]:
    """What went wrong, in words, and what can be done about it."""
    word, meaning, _ = words.DELIVERIES[delivery.state]
    where = escape(words.channel(delivery.account))
    ref = str(delivery.id)
    cause = words.delivery_code(delivery.code) or meaning
    blocks: list[Block] = [section(f"{ICONS[delivery.state]} *{word}* by {where}. {cause}")]
    if delivery.detail:
        code = f" ({line(delivery.provider_code, 40)})" if delivery.provider_code else ""
        blocks.append(context(plain(f"The provider said: “{line(delivery.detail, 200)}”{code}", 400)))
    other = button("Use another channel", names.OTHER_CHANNEL, ref)
    if delivery.state == "unknown":
        buttons = [
            button("It was sent", names.COUNTS_AS_SENT, ref),
            button("Send again", names.SEND_AGAIN, ref),
            button("Give up", names.GIVE_UP, ref),
        ]
    elif delivery.state == "opted_out" or delivery.code in (SendCode.OPTED_OUT, SendCode.WINDOW_CLOSED):
        buttons = [other]
    else:
        buttons = [button("Retry", names.RETRY, ref), other]
    return [*blocks, actions(*buttons)]


def _revised(entry: Entry, delivery: Delivery) -> list[Block]:
    """What became of the last change of a reply that had gone out."""
    last = next((one for one in reversed(entry.revisions) if one.state != "dropped"), None)
    if last is None:
        return []
    word, meaning, tone = words.revision(last)
    if tone != "bad":
        return [context(f":pencil2: *{word}.* {meaning}")]
    blocks: list[Block] = [
        section(f":warning: *{word}.* {meaning} {words.delivery_code(last.code)}".rstrip())
    ]
    blocks += [context(plain(f"The provider said: “{line(last.detail, 200)}”"))] if last.detail else []
    buttons = [
        button("Send a correction", names.CORRECT, str(delivery.id)),
        button("Let it stand", names.LET_STAND, str(delivery.id)),
    ]
    return [*blocks, actions(*buttons)]


# ------------------------------------------------------------------------------------------------------ questions


def to_whom(post: Post, slack_id: str) -> Post:
    """The same post, telling somebody: their mention above it. An update of a post tells nobody."""
    said = f"<@{slack_id}>"
    blocks = (context(said), *post.blocks)[:MESSAGE_BLOCKS]
    return replace(post, text=f"{said} {post.text}", blocks=blocks)


def ask_send(place: str, ts: str, text: str, by: str) -> Post:
    """Ephemeral, to the assignee who typed in the thread: is it for the customer? by: the channel it would take."""
    value = f"{place}:{ts}"
    return Post(
        "Send this to the customer?",
        (
            section(":lock: Kept as a note. *Send it to the customer?*"),
            quote(text, 600),
            actions(
                button(f"Send by {by}", names.SEND_TYPED, value, "primary"),
                button("Keep internal", names.KEEP_INTERNAL, value),
            ),
        ),
    )


def ask_correction(delivery_id: int, text: str, by: str) -> Post:
    """Ephemeral, to who edited or deleted what was sent already where the channel cannot follow. text: as it is now;
    empty: deleted."""
    ref = str(delivery_id)
    body = [quote(text, 600)] if text else []
    return Post(
        "The customer still sees the first text. Send a correction?",
        (
            section(
                f"{escape(by)} cannot change what was sent: *the customer still sees the first text.* "
                "Send a correction?"
            ),
            *body,
            actions(
                button("Send a correction", names.CORRECT, ref, "primary"),
                button("Let it stand", names.LET_STAND, ref),
            ),
        ),
    )  # fmt: skip
