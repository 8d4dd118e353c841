"""What is said in public: comments, posts by visitors, mentions. Pure.

https://developers.facebook.com/docs/graph-api/webhooks/reference/page (feed, mention), .../reference/instagram
(comments, live_comments, mentions). A Page's people have the same page-scoped ids here as in Messenger, and Instagram's
"Instagram-scoped ID ... of the Instagram user who created the comment" is the one of its messages. Instagram tells of
new comments only, of edits and removals nothing; of a mention only where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from connectors import clean, fitting, said
from connectors.social.content import stored
from connectors.social.model import INSTAGRAM, MESSENGER, Comment, Feed, Mention, Way
from connectors.social.what import What, moment, name
from hub import log
from hub.model import Change, Media, MessageChanged, MessageReceived

_log = log.get("social")
_feed = msgspec.json.Decoder(Feed, strict=False)
_comment = msgspec.json.Decoder(Comment, strict=False)
_mention = msgspec.json.Decoder(Mention, strict=False)

_ITEMS = frozenset({"comment", "post", "status", "photo", "video", "link", "note"})
# The rest of what the page names as `item` and `verb`: nobody's words to us.
_NO_WORDS = frozenset(
    {
        "album", "address", "connection", "coupon", "event", "experience", "group", "group_message", "interest", "like",
        "mention", "milestone", "page", "picture", "platform-story", "photo-album", "profile", "question", "rating",
        "reaction", "relationship-status", "share", "story", "tag", "timeline cover",
    }
)  # fmt: skip
_NO_DEED = frozenset({"block", "follow", "hide", "mute", "unblock", "unhide", "update"})
_NEW, _EDITED, _GONE = frozenset({"add"}), frozenset({"edited", "edit"}), frozenset({"remove", "delete"})


def on_page(raw: msgspec.Raw, what: What, field: str) -> None:
    """A comment below a post of ours, a visitor's post, or a mention. Likes, shares and what we hide say nothing."""
    feed = fitting.decode(_feed, raw)
    if feed.item not in _ITEMS or feed.verb not in _NEW | _EDITED | _GONE:
        if feed.item not in _ITEMS | _NO_WORDS or feed.verb not in _NEW | _EDITED | _GONE | _NO_DEED:
            raise ValueError(f"nothing that is known to happen: {feed.item[:40]!r}, {feed.verb[:40]!r}")
        _log.debug("nothing that is said to us", account=what.key, kind=f"{feed.item[:20]} {feed.verb[:20]}")
        return
    author = (feed.author.id if feed.author else None) or feed.sender_id
    if not author:
        raise ValueError("it does not say who wrote it: does the app have pages_read_user_content?")
    if author == what.own:
        return  # our own posts, and our answers
    post = name(feed.post_id) if feed.post_id else None
    said_id = name(feed.comment_id or feed.post_id)
    if feed.verb in _NEW:
        _said_on_page(feed, said_id, post, what.urn(author), what, field)
        return
    edited = feed.verb in _EDITED
    what.say(
        MessageChanged(
            account=what.key,
            event_key=f"{'edit' if edited else 'delete'}:{said_id}" + (f":{what.time}" if edited else ""),
            received_at=what.at,
            sender=what.urn(author),
            external_id=said_id,
            change=Change.EDIT if edited else Change.DELETE,
            text=clean.text(feed.message or "") if edited else "",
            sent_at=moment(what.time),
        )
    )


def _said_on_page(feed: Feed, said_id: str, post: str | None, who: str, what: What, field: str) -> None:
    shown = (feed.author.name if feed.author else None) or feed.sender_name or ""
    parent = feed.parent_id if feed.parent_id and feed.parent_id not in (post, said_id) else None
    files = [(url, "image") for url in (feed.photo, *(feed.photos or ())) if url]
    files += [(feed.video, "video")] if feed.video else []
    media = tuple(Media(ref=url[:4000], kind=kind) for url, kind in files if stored(url, what.account))
    link = clean.line(feed.link or "", 2000) if not media else ""
    text = clean.text(feed.message or "")
    words = "\n".join(part for part in (text, "" if link in text else link) if part)
    whole = bool(words or media)
    what.say(
        MessageReceived(
            account=what.key,
            event_key=f"{field}:{said_id}",
            external_id=said_id,
            received_at=what.at,
            sender=who,
            sender_name=clean.line(shown),
            text=words if whole else said.unsupported("a comment without words"),
            form="mention" if field == "mention" else "comment",
            thread=post,
            in_reply_to=name(parent) if parent else None,
            verified=True,
            sent_at=moment(feed.created_time),
            media=media,
            blob=None if whole else what.keep(),
        )
    )


def on_instagram(raw: msgspec.Raw, what: What, field: str) -> None:
    comment = fitting.decode(_comment, raw)
    author, medium = comment.author, comment.media
    if author is None or not author.id:
        raise ValueError("it does not say who wrote it: does the app have the permission to manage comments?")
    username = clean.line((author.username or "").lstrip("@"), 64)
    ours = str(what.account.settings.get("username") or "").lstrip("@").lower()
    if author.id == what.own or author.self_ig_scoped_id or (ours and username.lower() == ours):
        return  # our own answers
    said_id = name(comment.id)
    text = clean.text(comment.text or "")
    what.say(
        MessageReceived(
            account=what.key,
            event_key=f"comments:{said_id}",
            external_id=said_id,
            received_at=what.at,
            sender=what.urn(author.id),
            sender_name=username,
            text=text or said.unsupported("a comment without words"),
            form="comment",
            thread=name(medium.id) if medium and medium.id else None,
            in_reply_to=name(comment.parent_id) if comment.parent_id else None,
            verified=True,
            sent_at=moment(what.time),
            fields=said.fields(
                ("username", f"@{username}" if username else ""),
                ("live", "yes" if field == "live_comments" else ""),
                ("headline", clean.line((medium.ad_title if medium else None) or "")),
            ),
            blob=None if text else what.keep(),
        )
    )


def mentioned(raw: msgspec.Raw, what: What, field: str) -> None:
    """Nobody is named, so each mention is somebody of its own; only an answer in public reaches them."""
    mention = fitting.decode(_mention, raw)
    where = name(mention.media_id)
    said_id = name(mention.comment_id) if mention.comment_id else where
    what.say(
        MessageReceived(
            account=what.key,
            event_key=f"mentions:{said_id}",
            external_id=said_id,
            received_at=what.at,
            sender=what.urn(f"mention-{said_id}"),
            text=said.story(f"mentioned us in a {'comment' if mention.comment_id else 'post'}"),
            form="mention",
            thread=where,
            sent_at=moment(what.time),
            fields=said.fields(("post", where), ("comment", mention.comment_id)),
        )
    )


def _silent(raw: msgspec.Raw, what: What, field: str) -> None:
    _log.debug("nothing that is said to us", account=what.key, kind=field)


FIELDS: Mapping[Way, Mapping[str, Callable[[msgspec.Raw, What, str], None]]] = {
    MESSENGER: {"feed": on_page, "mention": on_page},
    INSTAGRAM: {
        "comments": on_instagram,
        "live_comments": on_instagram,
        "mentions": mentioned,
        "story_insights": _silent,
    },
}
