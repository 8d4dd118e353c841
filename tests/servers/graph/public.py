"""Comments in public: what a Page and an Instagram account may do with them.

developers.facebook.com/docs/graph-api/reference/object/comments; docs/instagram-platform/comment-moderation and
.../instagram-graph-api/reference/ig-media/comments (300 characters, 4 hashtags, one URL, not only capital letters).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.servers.graph.account import Call
from tests.servers.graph.errors import GraphError, Json, missing
from tests.servers.graph.model import Comment

if TYPE_CHECKING:
    from tests.servers.graph.social import Social

_COUNT = {"instagram": 300}  # characters; of a Page's comment not documented, 8,000


async def asked(account: Social, call: Call, comment: Comment) -> Json:
    """A call to a comment: read it, answer it in public, hide it, delete it."""
    if comment.removed:
        raise missing(comment.id, call.method.lower())
    instagram = account.platform == "instagram"
    match (call.method, call.edge):
        case ("GET", ""):
            return account.picked(
                _shown(comment), call, ("text",) if instagram else ("message", "created_time")
            )
        case ("POST", "replies") if instagram:
            return {"id": (await _answer(account, comment, str(call.given.get("message", "")))).id}
        case ("POST", "comments") if not instagram:
            return {"id": (await _answer(account, comment, str(call.given.get("message", "")))).id}
        case ("POST", ""):
            comment.hidden = bool(call.given.get("hide" if instagram else "is_hidden"))
            return {"success": True}
        case ("DELETE", ""):
            comment.removed = True
            return {"success": True}
    raise missing(comment.id, call.method.lower())


def _shown(comment: Comment) -> Json:
    return {
        "id": comment.id,
        "text": comment.text,
        "message": comment.text,
        "created_time": int(comment.at),
        "timestamp": int(comment.at),
        "from": {"id": comment.author, "name": comment.name},
        "username": comment.name,
        "can_reply_privately": not comment.private_reply,
        "parent_id": comment.parent or None,
        "hidden": comment.hidden,
    }


async def _answer(account: Social, comment: Comment, text: str) -> Comment:
    """A public answer of ours below a comment; it is told as any comment is."""
    instagram = account.platform == "instagram"
    if not text.strip():
        raise GraphError(100, message="The parameter message is required.")
    if len(text) > _COUNT.get(account.platform, 8_000):
        raise GraphError(100, message="The comment is too long.")
    if instagram and (text.count("#") > 4 or len(re.findall(r"https?://", text)) > 1 or text.isupper()):
        raise GraphError(100, message="The comment has too many hashtags or links, or only capital letters.")
    made = account.new_comment(account.id, account.name, comment.post, text, parent=comment.id, ours=True)
    comment.replies.append(made.id)
    account.graph.door.later(account.tell_comment(made, "add"))
    return made


async def mentioned(account: Social, call: Call) -> Json:
    comment = account.comments.get(str(call.given.get("comment_id", "")))
    if comment is None:
        raise missing(str(call.given.get("comment_id", "")), "post")
    return {"id": (await _answer(account, comment, str(call.given.get("message", "")))).id}
