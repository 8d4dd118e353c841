"""What hangs below a message that was changed, deleted or reacted to. Pure.

Strangers' words stand in rich_text and plain_text elements only, where Slack parses nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from difflib import SequenceMatcher

from desk.slack.blocks import Block, Post, context, cut, leaf, plain, quote, quoted, rich
from desk.slack.blocks import words as say
from desk.slack.text import line, shown
from desk.slack.thread import TEXT_BYTES, fallback, seen

DIFF_WORDS = 120  # words and spaces, of which differ more are not compared one by one
DIFF_CHARS = 3000  # texts longer than this are shown before and after, not compared


def change(kind: str, name: str, before: str, after: str, at: datetime) -> Post:
    """An edit, as a difference; a deletion, with what stood there; a reaction (`after`; empty: taken back).

    name: who did it, as people call them.
    """
    who = line(name, 60)
    if kind == "reaction":
        did = f"reacted with {line(after, 40)}" if after else "took a reaction back"
        return Post(fallback(who, did), (context(plain(f"{who} {did}", 200)),))
    if kind == "delete":
        gone = (
            rich(quoted(leaf(cut(shown(before), TEXT_BYTES), "strike")))
            if seen(before)
            else context("_No text._")
        )
        return Post(
            fallback(who, "deleted:", before),
            (rich(say(leaf(who, "bold"), leaf(" deleted this:"))), gone),
        )
    blocks: list[Block] = [rich(say(leaf(who, "bold"), leaf(" changed this:")))]
    if len(before) <= DIFF_CHARS and len(after) <= DIFF_CHARS:
        blocks.append(rich(quoted(*difference(shown(before), shown(after)))))
        blocks.append(context("~struck~ before · *bold* now"))
    else:
        blocks += [
            context("Before:"), quote(before, TEXT_BYTES // 2), context("Now:"), quote(after, TEXT_BYTES // 2)
        ]  # fmt: skip
    return Post(fallback(who, "changed a message. Now:", after), tuple(blocks))


_WORD = re.compile(r"\s+|\w+|[^\w\s]")


def difference(before: str, after: str) -> list[Block]:
    """Leaves of rich text: what went is struck, what came is bold, the rest as it was.

    The comparison's time grows with the cube of what differs, at worst: beyond DIFF_WORDS it is not looked into.
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    start = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    ends = zip(reversed(old[start:]), reversed(new[start:]), strict=False)
    end = next((n for n, (a, b) in enumerate(ends) if a != b), min(len(old), len(new)) - start)
    tail = old[len(old) - end :]
    went, came = old[start : len(old) - end], new[start : len(new) - end]
    pieces: list[tuple[list[str], str]] = [(old[:start], "")]
    if max(len(went), len(came)) <= DIFF_WORDS:
        for tag, i, j, k, m in SequenceMatcher(None, went, came, autojunk=False).get_opcodes():
            pieces += [(came[k:m], "")] if tag == "equal" else [(went[i:j], "strike"), (came[k:m], "bold")]
    else:
        pieces += [(went, "strike"), (came, "bold")]
    leaves: list[Block] = []
    left = TEXT_BYTES
    for some, style in [*pieces, (tail, "")]:
        if some and left > 0 and len(leaves) < 300:
            text = cut("".join(some), left)
            left -= len(text.encode())
            leaves.append(leaf(text, *([style] if style else [])))
    return leaves or [leaf("–")]
