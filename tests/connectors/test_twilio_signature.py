"""X-Twilio-Signature: Twilio's own example, and all that a proxy, a browser or a forger makes of a request (S1)."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Raw
from connectors.twilio import signature
from hub.errors import Forged
from tests.each import each

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
TOKEN = "12345"
# https://www.twilio.com/docs/usage/webhooks/webhooks-security
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
PROOF = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def raw(
    url: str = URL, body: bytes = urlencode(FORM).encode(), proof: str | None = PROOF, **more: str
) -> Raw:
    headers = {"content-type": ["application/x-www-form-urlencoded"]}
    if proof is not None:
        headers["x-twilio-signature"] = [proof]
    return Raw(
        method="POST",
        url=url,
        headers=headers | {k.replace("_", "-"): [v] for k, v in more.items()},
        body=body,
        received_at=NOW,
    )


def sign(url: str, params: list[tuple[str, str]], token: str = TOKEN) -> str:
    """As the page words it, apart from our own code."""
    said = url + "".join(name + value for name, value in sorted(set(params)))
    return base64.b64encode(hmac.new(token.encode(), said.encode(), hashlib.sha1).digest()).decode()


def good(request: Raw, *tokens: str) -> bool:
    try:
        signature.check(request, tokens or (TOKEN,))
    except Forged:
        return False
    return True


def test_the_example_of_the_page_holds() -> None:
    assert good(raw())


@each("at", range(len(urlencode(FORM))))
def test_one_changed_byte_breaks_it(at: int) -> None:
    body = bytearray(urlencode(FORM).encode())
    body[at] ^= 2
    same = signature.form(bytes(body)) == FORM  # "%2b" is "%2B"
    assert good(raw(body=bytes(body))) is same


@each(
    "called, signed",
    [
        ("https://hub.example.com/in/sms_twilio/main", "https://hub.example.com:443/in/sms_twilio/main"),
        ("https://hub.example.com:443/in/sms_twilio/main", "https://hub.example.com/in/sms_twilio/main"),
        ("https://hub.example.com:8443/in/sms_twilio/main", "https://hub.example.com/in/sms_twilio/main"),
        ("http://hub.example.com/in/sms_twilio/main", "http://hub.example.com:80/in/sms_twilio/main"),
        ("https://[2001:db8::7]:443/in/a/b", "https://[2001:db8::7]/in/a/b"),
        ("https://[2001:db8::7]/in/a/b", "https://[2001:db8::7]:443/in/a/b"),
    ],
)
def test_the_default_port_may_be_said_or_not(called: str, signed: str) -> None:
    assert good(raw(called, proof=sign(signed, list(FORM.items()))))


@each(
    "called, signed",
    [
        ("https://hub.example.com/in", "http://hub.example.com/in"),
        ("https://hub.example.com/in", "https://hub.example.com/in/"),
        ("https://hub.example.com/in", "https://hub.example.com:8443/in"),
        ("https://hub.example.com/in", "https://other.example.com/in"),
        ("https://hub.example.com/in?a=1", "https://hub.example.com/in?a=2"),
        ("https://hub.example.com/in/sms_twilio/main", "https://hub.example.com/in/sms_twilio/other"),
    ],
)
def test_another_address_is_forged(called: str, signed: str) -> None:
    assert not good(raw(called, proof=sign(signed, list(FORM.items()))))


@each(
    "query",
    [
        "?x=a%20b",
        "?x=a+b",
        "?x=%C3%A4",
        "?x=%c3%a4",
        "?delivery=7093152233713664",
        "?",
        "?a=1&a=2",
        "?x=%2F&y=/",
    ],
)
def test_the_query_counts_as_it_was_called(query: str) -> None:
    url = "https://hub.example.com/in/sms_twilio/main" + query
    assert good(raw(url, proof=sign(url, list(FORM.items()))))


@each(
    "params",
    [
        [("Body", ""), ("From", "")],
        [("Body", "  two  \t"), ("From", " ")],
        [("Body", "ä 😀 + % &=?#"), ("Ünïcode", "ß")],
        [("MediaUrl", "b"), ("MediaUrl", "a"), ("MediaUrl", "b")],
        [("Body", "line\r\nline"), ("body", "other case")],
        [],
    ],
)
def test_parameters_of_every_kind(params: list[tuple[str, str]]) -> None:
    url = "https://hub.example.com/in"
    assert good(raw(url, urlencode(params).encode(), sign(url, params)))
    assert good(raw(url, urlencode(params, quote_via=quote).encode(), sign(url, params)))


def test_what_a_client_says_of_proxies_is_ignored() -> None:
    request = raw(x_forwarded_proto="http", x_forwarded_host="evil.example", host="evil.example")
    assert good(request)


def test_both_tokens_hold_while_one_is_rotated() -> None:
    assert good(raw(), "the-new-one", TOKEN)
    assert not good(raw(), "the-new-one")


@each("proof", [None, "", " ", "x", PROOF[:-1], PROOF + "=", PROOF.lower(), "é" * 28, "\ud800"])
def test_a_wrong_proof_is_forged(proof: str | None) -> None:
    assert not good(raw(proof=proof))


def test_a_doubled_proof_is_forged() -> None:
    request = raw()
    assert isinstance(request.headers, dict)
    request.headers["x-twilio-signature"] = [PROOF, PROOF]
    assert not good(request)


def test_an_empty_token_opens_nothing() -> None:
    url = "https://hub.example.com/in"
    assert not good(raw(url, b"a=b", sign(url, [("a", "b")], "")), "")


def test_json_is_held_by_the_hash_in_the_address() -> None:
    body = b'{"a": "\xc3\xa4"}'
    url = f"https://hub.example.com/in?bodySHA256={hashlib.sha256(body).hexdigest()}"
    proof = sign(url, [])
    assert good(raw(url, body, proof, content_type="application/json"))
    assert not good(raw(url, body + b" ", proof, content_type="application/json"))
    assert not good(raw(url, b"", proof, content_type="application/json"))
    assert not good(
        raw(
            "https://hub.example.com/in",
            body,
            sign("https://hub.example.com/in", []),
            content_type="text/json",
        )
    )


@each("body", ["a=b&c=%20+%2B&d=&e&=f&&g=h=i", "a=%zz&b=%C3&c=\u00e4", "%61=1&a%2Bb=2", "", "x=%252B%2b"])
def test_a_form_is_read_as_the_standard_library_reads_it(body: str) -> None:
    assert signature.pairs(body.encode()) == parse_qsl(body, keep_blank_values=True)


@given(st.text(alphabet="ab=&%+2Bbc5é", max_size=40))
def test_any_form_is_read_as_the_standard_library_reads_it(body: str) -> None:
    assert signature.pairs(body.encode()) == parse_qsl(body, keep_blank_values=True)
