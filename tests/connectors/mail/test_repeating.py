"""What is answered, below the answer: as people read it, as nobody can misuse it, and as our own reader folds it."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.mail import mime, repeating
from connectors.mail.compose import compose
from hub.model import MessageReceived, Quoted
from tests.connectors.mail.outgoing import NOW, PUBLIC, mailbox, message
from tests.connectors.mail.test_compose import parts, sound
from tests.each import each

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
WROTE = "On 21 Nov 2026 at 10:00 UTC, Ann Lee <ann@example.net> wrote:"


def said(text: str, **more: Any) -> Quoted:
    return Quoted(**{"text": text, "name": "Ann Lee", "urn": "mailto:ann@example.net", "at": AT, **more})


def answer(quoted: Quoted | None, **account: Any) -> Any:
    return compose(message(in_reply_to="<q@example.net>", quoted=quoted), mailbox(**account), [], PUBLIC)


def arrives(raw: bytes) -> MessageReceived:
    """In another mailbox of a hub."""
    (event,) = mime.read(raw, replace(mailbox(), address="else@example.org"), NOW).events
    assert isinstance(event, MessageReceived)
    return event


def test_it_stands_below_the_text_and_the_signature() -> None:
    mail = answer(said("Where is it?\n\n> an older word\nAnn\n"), signature="Bo")
    sound(mail.data)
    plain, html = parts(mail)
    assert plain == (f"It is on its way.\n\n-- \nBo\n\n{WROTE}\n> Where is it?\n>\n>> an older word\n> Ann\n")
    assert html.index("It is on its way.") < html.index(">-- <br>") < html.index("<blockquote")
    assert "On 21 Nov 2026 at 10:00 UTC, Ann Lee &lt;ann@example.net&gt; wrote:" in html
    assert "&gt; an older word<br>\nAnn\n</blockquote>" in html


@each("signature", ["", "Bo\nExample Ltd"])
@each("part", ["both", "plain", "html"])
def test_our_own_reader_folds_it(part: str, signature: str) -> None:
    mail = answer(said("Where is it?\nI wait since Monday."), signature=signature)
    parsed = email.message_from_bytes(mail.data, policy=email.policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    if part != "both":
        body = parsed.get_body((part,))
        assert body is not None
        words = body.get_content()
        parsed.clear_content()
        parsed.set_content(words, subtype=part)
    event = arrives(parsed.as_bytes())
    assert event.text == "It is on its way."
    assert "I wait since Monday." in event.quoted


def test_and_folds_it_again_in_what_is_answered_to_it() -> None:
    plain, _ = parts(answer(said("Where is it?"), signature="Bo"))
    reply = EmailMessage(policy=email.policy.SMTP)
    reply["From"], reply["To"], reply["Subject"] = "ann@example.net", "support@example.com", "Re: x"
    lines = "\n".join(f"> {line}" for line in plain.splitlines())
    reply.set_content(
        f"Thank you!\n\nOn Sun, 22 Nov 2026 at 09:30, Support <support@example.com> wrote:\n{lines}\n"
    )
    event = arrives(reply.as_bytes())
    assert event.text == "Thank you!"
    assert ">> Where is it?" in event.quoted.replace("> >", ">>")


def test_not_where_the_account_says_so_nor_where_nothing_was_said() -> None:
    for mail in (
        answer(said("Where is it?"), quote=False),
        answer(said(" \n\n")),
        answer(None),
    ):
        plain, html = parts(mail)
        assert "wrote:" not in plain + html
        assert "blockquote" not in html


def test_there_is_never_much_of_it() -> None:
    for text in ("x\n" * 50_000, "y" * 50_000, ("z" * 300 + "\n") * 300):
        below = repeating.repeated(said(text))
        assert below is not None
        assert len(below.plain) <= repeating.CHARS + 2 * repeating.LINES + 200
        assert below.plain.count("\n") <= repeating.LINES + 1
        assert below.plain.endswith("> […]")


def test_a_strangers_words_are_words_and_their_links_are_no_links() -> None:
    mail = answer(
        said('</blockquote><script>1</script> https://evil.example "x"', name='E <evil@example> "v')
    )
    _, html = parts(mail)
    assert "<script" not in html
    assert html.count("</blockquote>") == 1
    assert '<a href="https://evil' not in html
    assert "E evil@example" in html


@settings(max_examples=60)
@given(text=st.text(max_size=400), name=st.text(max_size=60))
def test_whatever_was_said_the_mail_is_sound_and_the_answer_is_what_is_read(text: str, name: str) -> None:
    mail = answer(said(text, name=name))
    sound(mail.data)
    assert arrives(mail.data).text == "It is on its way."


def test_each_attempt_says_the_same() -> None:
    assert answer(said("Where is it?")).data == answer(said("Where is it?", at=AT)).data


def test_the_signature_is_the_accounts_or_else_its_brands() -> None:
    account = replace(mailbox(), signature="{agent}\nExample Brand")
    own = replace(mailbox(signature="Our own"), signature="Example Brand")
    for of, expected in ((account, "-- \nBo\nExample Brand\n"), (own, "-- \nOur own\n")):
        plain, html = parts(compose(message(), of, [], PUBLIC))
        assert plain.endswith(expected)
        assert expected.splitlines()[-1] in html
