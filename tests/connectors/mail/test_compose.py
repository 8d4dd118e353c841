"""What our mail says, byte for byte: read again by Python's own parser and by eye, never by our reader."""

import email
import email.policy
import re
import shutil
import subprocess
from email.message import EmailMessage
from typing import Any

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from connectors.mail import refs
from connectors.mail.compose import Mail, compose
from hub.errors import SendCode, SendError
from tests.conftest import absent
from tests.connectors.mail.outgoing import FILES, PUBLIC, TOKEN, file, mailbox, message
from tests.each import each


def made(account: Any = None, **more: Any) -> Mail:
    said = message(**more)
    files = [FILES[one.sha256] for one in said.attachments]
    return compose(said, account or mailbox(), files, PUBLIC)


def read(mail: Mail) -> EmailMessage:
    parsed = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def parts(mail: Mail) -> tuple[str, str]:
    """The plain text and the HTML."""
    plain, html = (part.get_content().replace("\r\n", "\n") for part in read(mail).iter_parts())
    return plain, html


def names(mail: Mail) -> list[str]:
    return [name for name, _ in read(mail).items()]


def sound(data: bytes) -> None:
    """RFC 5322, 2.1 and 2.3: CRLF alone, lines of 998 bytes, no NUL; 7 bits but where SMTPUTF8 is used."""
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", data)
    assert max(map(len, data.split(b"\r\n"))) <= 998


def test_a_reply_reads_as_it_was_written() -> None:
    mail = made(
        mailbox(name="Example Support"),
        text="Hello Ann,\n\nit is  on its way: https://track.example/p?id=7&x=1.\n\nBo",
        in_reply_to="<q2@ann.example>",
        references=("<q2@ann.example>", "<a1@example.com>", "<q1@ann.example>"),
    )
    parsed = read(mail)
    sound(mail.data)
    assert mail.data.isascii()
    assert parsed["From"] == "Example Support <support@example.com>"
    assert parsed["To"] == "ann@example.net"
    assert parsed["Subject"] == "Re: Where is my parcel?"
    assert parsed["Date"] == "Sun, 22 Nov 2026 09:29:12 +0000"
    assert parsed["In-Reply-To"] == "<q2@ann.example>"
    assert parsed["References"] == "<q1@ann.example> <a1@example.com> <q2@ann.example>"
    assert parsed["MIME-Version"] == "1.0"
    assert parsed.get_content_type() == "multipart/alternative"
    plain, html = parts(mail)
    assert plain == "Hello Ann,\n\nit is  on its way: https://track.example/p?id=7&x=1.\n\nBo\n"
    assert [part["Content-Transfer-Encoding"] for part in parsed.iter_parts()] == ["quoted-printable"] * 2
    link = '<a href="https://track.example/p?id=7&amp;x=1">https://track.example/p?id=7&amp;x=1</a>.<br>'
    assert link in html
    assert "it is\u00a0 on its way" in html
    assert (mail.sender, mail.recipients) == ("support@example.com", ("ann@example.net",))
    for never in ("Auto-Submitted", "List-Unsubscribe", "Reply-To", "Cc", "Precedence"):
        assert parsed[never] is None
    assert len(set(names(mail))) == len(names(mail)), "no field twice"


def test_every_attempt_has_the_same_bytes() -> None:
    """A retry after a lost confirmation is the same mail to every program on the way (provider-semantics, 1.9)."""
    more = {"attachments": (file("a", "bill.pdf"),), "bulk": True, "references": ("<x@y>",)}
    assert made(**more).data == made(**{**more, "attempt": 5}).data
    assert made(**more).data != made(**{**more, "delivery_id": 7093152233713665}).data


def test_the_message_id_and_the_reply_address_name_the_conversation() -> None:
    mail = made(mailbox(reply_token=True, name="Support"))
    token = refs.token(4711, TOKEN)
    assert mail.message_id == f"<7093152233713664.{token}@example.com>"
    assert read(mail)["Message-ID"] == mail.message_id
    assert read(mail)["Reply-To"] == f"Support <support+{token}@example.com>"
    assert refs.conversation([mail.message_id], (TOKEN,)) == 4711
    assert refs.conversation([mail.message_id], ("another",)) is None


@each(
    "given, answers, sent",
    [
        ("Where is it?", True, "Re: Where is it?"),
        ("Where is it?", False, "Where is it?"),
        ("RE: Where is it?", True, "RE: Where is it?"),
        ("AW: Paket", True, "AW: Paket"),
        ("Re[2]: x", True, "Re[2]: x"),
        ("Return it", True, "Re: Return it"),
        (None, True, "Re: Your message"),
        (None, False, "Message from support@example.com"),
        ("Größe 😀 " * 32, False, ("Größe 😀 " * 32)[:250].strip()),
        ("=?utf-8?q?forged?=", False, "=?utf-8?q?forged?="),
        ("a" * 400, False, "a" * 250),
        ("long " * 60, False, ("long " * 60)[:250].strip()),
    ],
)
def test_subjects(given: str | None, answers: bool, sent: str) -> None:
    mail = made(subject=given, in_reply_to="<q@x>" if answers else None)
    sound(mail.data)
    assert read(mail)["Subject"] == sent
    for word in re.findall(rb"=\?[^?]+\?[bq]\?[^?]*\?=", mail.data):
        assert len(word) <= 75  # RFC 2047, 2


def test_a_long_thread_keeps_its_first_and_its_latest() -> None:
    above = tuple(f"<{n}.{'x' * 60}@ann.example>" for n in range(300, 0, -1))
    mail = made(references=above, in_reply_to=above[0])
    sound(mail.data)
    kept = str(read(mail)["References"]).split()
    assert kept[0] == above[-1]
    assert kept[-1] == above[0]
    assert len(kept) == 20
    assert read(mail)["In-Reply-To"] == above[0]
    assert b"=?" not in mail.data.partition(b"\r\n\r\n")[0], "an encoded Message-ID breaks the thread"


def test_references_without_an_answered_one_answer_the_newest() -> None:
    mail = made(references=("<b@x>", "thread-index:00ff", "<a@x>"))
    assert read(mail)["In-Reply-To"] == "<b@x>"
    assert read(mail)["References"] == "<a@x> <b@x>"


@each(
    "name, agent, shown",
    [
        ("{agent} at Example", "Bo", "Bo at Example"),
        ("Müller & Söhne, Support", "", "Müller & Söhne, Support"),
        ('The "best", Inc. <x@evil.example>', "", 'The "best", Inc. <x@evil.example>'),
        ("{agent}", "Bo\r\nBcc: eve@evil.example", "Bo Bcc: eve@evil.example"),
        ("back\\slash", "", "back\\slash"),
    ],
)
def test_names_stay_names(name: str, agent: str, shown: str) -> None:
    mail = made(mailbox(name=name), author_name=agent)
    sound(mail.data)
    (address,) = read(mail)["From"].addresses
    assert (address.display_name, address.addr_spec) == (shown, "support@example.com")


def test_the_signature_stands_under_both_parts() -> None:
    account = mailbox(signature="Kind regards\n{agent}\nExample <Ltd>")
    plain, html = parts(made(account))
    assert plain == "It is on its way.\n\n-- \nKind regards\nBo\nExample <Ltd>\n"
    assert "Kind regards<br>\nBo<br>\nExample &lt;Ltd&gt;" in html


@each(
    "text, html",
    [
        ("<script>alert(1)</script> & co", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co"),
        (
            "see (https://x.example/a_(b)).",
            '(<a href="https://x.example/a_(b)">https://x.example/a_(b)</a>).',
        ),
        ("www.x.example!", '<a href="http://www.x.example">www.x.example</a>!'),
        (
            "to ann.lee+x@x.example, please",
            '<a href="mailto:ann.lee+x@x.example">ann.lee+x@x.example</a>, please',
        ),
        (
            'https://x.example/"onmouseover="x',
            '<a href="https://x.example/">https://x.example/</a>"onmouseover="x',
        ),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("  indented", "\u00a0 indented"),
    ],
)
def test_text_as_html(text: str, html: str) -> None:
    assert html in parts(made(text=text))[1]


def test_attachments_come_back_as_they_were() -> None:
    names = ("Rechnung März.pdf", "../../etc/pass\r\nwd\u2028.png")
    mail = made(attachments=(file("a", names[0]), file("b", names[1], "image/png")))
    sound(mail.data)
    parsed = read(mail)
    assert parsed.get_content_type() == "multipart/mixed"
    found = [(a.get_filename(), a.get_content_type(), a.get_content()) for a in parsed.iter_attachments()]
    assert found == [
        ("Rechnung März.pdf", "application/pdf", FILES["a" * 64]),
        ("passwd.png", "image/png", FILES["b" * 64]),
    ]


@each("kind", ["message/rfc822", "multipart/mixed", "text/x\r\nX-Evil: 1", "nonsense", "text/html; x=1"])
def test_types_that_cannot_stand_are_plain_bytes(kind: str) -> None:
    mail = made(attachments=(file("a", "a.eml", kind),))
    (found,) = read(mail).iter_attachments()
    assert found.get_content_type() in ("application/octet-stream", "text/html")
    assert b"X-Evil" not in mail.data
    assert found.get_payload(decode=True) == FILES["a" * 64]


def test_automatic_mail_says_so_and_has_no_sender() -> None:
    """RFC 3834, 3.1.7 and 3.3."""
    mail = made(automatic=True, in_reply_to="<q@x>")
    assert mail.sender == ""
    assert read(mail)["Auto-Submitted"] == "auto-replied"
    assert read(mail)["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert read(made(automatic=True))["Auto-Submitted"] == "auto-generated"


def test_bulk_mail_has_a_way_out() -> None:
    parsed = read(made(bulk=True))
    assert re.fullmatch(
        r"<https://hub\.example\.com/in/mail/support/unsubscribe/7093152233713664\.[\w-]+\.[0-9a-f]{32}>",
        parsed["List-Unsubscribe"],
    )
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    inside = compose(message(bulk=True), mailbox(), [], "http://127.0.0.1:8080")
    assert read(inside)["List-Unsubscribe-Post"] is None, "one click is for https alone (RFC 8058, 3.1)"


def test_copies_go_to_the_others_once_and_never_to_ourselves() -> None:
    others = (
        "mailto:bob@example.org",
        "mailto:ann@example.net",
        "mailto:support@example.com",
        "tel:+15551234567",
    )
    mail = made(cc=(*others, "mailto:bob@example.org"))
    assert read(mail)["Cc"] == "bob@example.org"
    assert mail.recipients == ("ann@example.net", "bob@example.org")


@each(
    "urn, to, utf8",
    [
        ("mailto:ann@exämple.net", "ann@xn--exmple-cua.net", False),
        ("mailto:ann@例え.jp", "ann@xn--r8jz45g.jp", False),
        ("mailto:änn@example.net", "änn@example.net", True),
    ],
)
def test_addresses_in_other_letters(urn: str, to: str, utf8: bool) -> None:
    mail = made(to=urn)
    assert mail.recipients == (to,)
    assert mail.utf8 is utf8
    assert f"To: {to}\r\n".encode() in mail.data


EVIL = [
    "mailto:a@b.example>\r\nRCPT TO:<eve@evil.example",
    "mailto:a@b.example> SIZE=1",
    "mailto:a b@c.example",
    "mailto:<a@b.example>",
    "mailto:a@b.example\x00",
    "mailto:a@b.example\u2028c",
    "mailto:",
    "tel:+15551234567",
]


@each("to", EVIL)
def test_what_is_no_address_is_refused(to: str) -> None:
    with pytest.raises(SendError) as caught:
        made(to=to)
    assert caught.value.code is SendCode.REJECTED
    assert made(cc=(to,)).recipients == ("ann@example.net",), "nor is it copied to"


@each(
    "more, said",
    [
        ({"text": "x" * 100_001}, "longer than 100000"),
        ({"text": " \n"}, "neither text"),
        ({"attachments": tuple(file("a", "a") for _ in range(21))}, "at most 20"),
        (
            {"attachments": (structs.replace(file("a", "a"), size_bytes=19 * 1024 * 1024),)},
            "larger than 18 MB",
        ),
        ({"cc": tuple(f"mailto:a{n}@x.example" for n in range(51))}, "at most 50"),
    ],
)
def test_limits(more: dict[str, Any], said: str) -> None:
    with pytest.raises(SendError, match=said) as caught:
        made(**more)
    assert caught.value.code is SendCode.MESSAGE_INVALID


FIELDS = {
    "From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References", "Auto-Submitted",
    "Precedence", "X-Auto-Response-Suppress", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version",
    "Content-Type", "Content-Transfer-Encoding",
}  # fmt: skip
_PIECES = st.sampled_from(["\r\n", "\n", "\r", "\x00", "\u2028", "\u2029", "\x85", "\x0b", "\x1c",
                           "Bcc: eve@evil.example",
                           "\r\n\r\n", "\n.\r\n", "<", ">", '"', "\\", "=?utf-8?q?x?=", ",", ";", ":", " ", "ä", "😀",
                           "\u202e", "\ud800", "x" * 1100, "a@b.example"])  # fmt: skip
_EVIL = st.lists(_PIECES | st.text(max_size=8), max_size=8).map("".join)


@settings(max_examples=150)
@given(subject=_EVIL, agent=_EVIL, answered=_EVIL, text=_EVIL, name=_EVIL, signature=_EVIL)
def test_nothing_leaves_its_field(
    subject: str, agent: str, answered: str, text: str, name: str, signature: str
) -> None:
    """S7: whatever stands in what we are given, the head has our fields and no others, each once."""
    account = mailbox(name="{agent} x", signature=signature, reply_token=True)
    mail = made(
        account,
        subject=subject,
        author_name=agent,
        in_reply_to=answered,
        references=(answered, f"<{answered}@x>", "<good@x>"),
        text=f"x{text}",
        attachments=(file("a", name),),
        automatic=True,
        bulk=True,
    )
    sound(mail.data)
    head = mail.data.partition(b"\r\n\r\n")[0].decode()
    found = [line.partition(":")[0] for line in head.split("\r\n") if line[:1] not in (" ", "\t")]
    assert set(found) <= FIELDS
    assert len(set(found)) == len(found)
    parsed = read(mail)
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf",
    ]  # fmt: skip
    assert mail.recipients == ("ann@example.net",)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """(the private key, what the DNS has of it)"""
    if shutil.which("openssl") is None:
        absent("openssl", "it was not found")
    path = tmp_path_factory.mktemp("dkim") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(path), "2048"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", str(path), "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    import base64

    return path.read_text(), b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


@pytest.mark.parametrize("written", [lambda k: k, lambda k: k.strip().replace("\n", "\\n")])
def test_a_signed_mail_verifies(key: tuple[str, bytes], written: Any) -> None:
    asked: list[bytes] = []

    def dns(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return key[1]

    account = mailbox({"dkim": (written(key[0]),)}, dkim={"selector": "s1", "domain": "example.com"})
    mail = made(account, bulk=True, text="Grüße\n\n. \n", attachments=(file("b", "x.png", "image/png"),))
    sound(mail.data)
    assert dkim.verify(mail.data, dnsfunc=dns)
    assert asked == [b"s1._domainkey.example.com."]
    signature = read(mail)["DKIM-Signature"]
    for name in ("from", "subject", "to", "message-id", "list-unsubscribe", "list-unsubscribe-post"):
        assert name in re.split(r"[\s:;=]+", signature), name
    assert not dkim.verify(mail.data.replace(b"Where is", b"Here is"), dnsfunc=dns)
    added = mail.data.replace(b"\r\nTo:", b"\r\nSubject: another\r\nTo:", 1)
    assert not dkim.verify(added, dnsfunc=dns), "a second Subject breaks the signature"


def test_a_key_that_is_none_is_the_accounts_trouble() -> None:
    account = mailbox({"dkim": ("canary-not-a-key",)}, dkim={"selector": "s1"})
    with pytest.raises(SendError) as caught:
        made(account)
    assert caught.value.code is SendCode.CHANNEL_CONFIG
    assert caught.value.whole_account
    assert "canary" not in str(caught.value)
