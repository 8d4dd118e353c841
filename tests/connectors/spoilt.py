"""A line at a time, what can be wrong with a connector: the one of docs/adding-a-channel.md, spoilt."""

# What is spoilt in the page's Viber -> the checks that must see it, and words of what they say.
SPOILT: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "any signature is good": (
        {"if not holds:": "if False:"},
        {
            "a missing proof is forged": "message without its proof is let in",
            "a wrong proof is forged": "is let in",
            "a changed body is forged": "byte 0 changed is let in",
        },
    ),
    "an empty secret signs": (
        {'for secret in filter(None, account.secrets["token"]):': 'for secret in account.secrets["token"]:'},
        {"an empty secret opens nothing": "message is let in where the account's secret is empty"},
    ),
    "only the newest secret holds": (
        {'filter(None, account.secrets["token"])': 'filter(None, account.secrets["token"][:1])'},
        {"both secrets hold while one is rotated": "the signature does not hold"},
    ),
    "the body is read again before it is signed": (
        {"secret.encode(), raw.body, ": "secret.encode(), raw.body.strip(), "},
        {"a changed body is forged": "a line end more is let in"},
    ),
    "a doubled header counts": (
        {'(raw.header("x-viber-content-signature") or "")': '[*raw.headers["x-viber-content-signature"], ""][0]'},
        {"a doubled proof is forged": "two proofs is let in"},
    ),
    "the refusal tells the secret": (
        {'Forged("the signature does not hold")': "Forged(f\"not signed by {account.secrets['token']}\")"},
        {"a missing proof is forged": "words hold a secret", "secrets stay inside": "why it is forged holds a secret"},
    ),
    "verify trips over odd bytes": (
        {'.encode("utf-8", "replace")': '.encode("ascii")'},
        {"a wrong proof is forged": "verify raised UnicodeEncodeError"},
    ),
    "the event key has the time in it": (
        {"event_key=str(callback.message_token),  #": 'event_key=f"{raw.received_at}",  #'},
        {"a repeated request has the same keys": "come again after"},
    ),
    "an unknown field is an error": (
        {"class Callback(msgspec.Struct):": "class Callback(msgspec.Struct, forbid_unknown_fields=True):"},
        {"unknown fields change nothing": "message with an unknown field at the outermost level"},
    ),
    "an unknown kind is dropped": (
        {'    raise Malformed(f"the event': '    return Parsed()\n                raise Malformed(f"the event'},
        {"an unknown kind is kept": "leaves nothing behind", "captures say what was sent": "should not be readable"},
    ),
    "a parser that raises what it likes": (
        {"msgspec.DecodeError, ValueError, OverflowError, OSError, RecursionError": "msgspec.DecodeError"},
        {"hostile bodies are forged or malformed": "parse raised"},
    ),
    "an address that is not normalised": (
        {'urn.normalise(f"viber:{person}")': 'f"VIBER:{person}"'},
        {"events are whole": "not in its one spelling"},
    ),
    "reading takes the square of the bytes": (
        {"read = EVENTS": "[1 for a in raw.body[:999] for b in raw.body[:999]]\n            read = EVENTS"},
        {"reading takes steps in proportion": "more than"},
    ),
    "limits without a source": (
        {'source="https://developers.viber.com/docs/api/rest-bot-api/#text-message"': 'source=""'},
        {"limits have a source": "limits.source is ''"},
    ),
    "edits are promised": (
        {"reads=True,": "reads=True, edits=True,"},
        {"changes are what the limits say": "it has no change()"},
    ),
    "any setting is taken": (
        {'return checking.complaints(account, {"api": checking.api})': "return []"},
        {"unknown settings are complained about": "no_such_setting"},
    ),
    "limits are left to the provider": (
        {"        fits.check(message, self.limits)\n": ""},
        {"too much is refused before it leaves": "a text of 7,001 characters is refused only after something was sent"},
    ),
    "the token is in the error": (
        {'f"Viber answered {status}"': 'f"Viber answered {status} to {headers}"'},
        {"every failure is a send error": "holds a secret"},
    ),
    "an error that is not ours": (
        {"except (msgspec.DecodeError, ValueError, RecursionError):": "except KeyError:"},
        {"every failure is a send error": "send raised"},
    ),
    "a yes that cannot be read is sent again": (
        {'"what Viber answered cannot be read"': '"no", retry=True'},
        {"every failure is a send error": "to be tried again, so it may go out twice"},
    ),
    "a failure is taken for a no": (
        {'raise SendError(SendCode.UNKNOWN, "Viber cannot be asked what it has sent")': "return None"},
        {"find says no only where it knows": "find: a redirect counts as an answer (it was not sent)"},
    ),
    "the log has what was said": (
        {"    kind = clean.line(message.type, 40)\n": """    import structlog
    structlog.get_logger().info("in", words=message.text)
    kind = clean.line(message.type, 40)
"""},
        {"secrets stay inside": "the log holds a customer's words"},
    ),
    "the log has the token": (
        {"        holds = False\n": """        import logging
        logging.getLogger("viber").debug("looking with %s", account.secrets)
        holds = False
"""},
        {"secrets stay inside": "the log holds a secret"},
    ),
    "429 is like any other": (
        {"    429: (SendCode.THROTTLED, True),\n": ""},
        {"every failure is a send error": "429 with Retry-After is response_status, not throttled"},
    ),
    "Retry-After is not read": (
        {"retry=retry, after_s=after_s)": "retry=retry)"},
        {"every failure is a send error": "after_s is None"},
    ),
    "an end that is not known is tried again": (
        {"await calling.ask(": "await hasty(", "CONNECTOR = Viber()": """async def hasty(*asked):
    try:
        return await calling.ask(*asked)
    except SendError:
        raise SendError(SendCode.CONNECTION_FAILED, "again", retry=True) from None


CONNECTOR = Viber()"""},
        {"what may have been sent is unknown": "is connection_failed, not unknown"},
    ),
    "a client of its own": (
        {"await calling.ask(": "await plain(", "CONNECTOR =": """async def plain(wire, method, url, headers, body):
    async with wire.http.request(method, url, headers=headers, data=body) as response:
        return response.status, await response.read(), None


CONNECTOR ="""},
        {
            "nobody there is certainly not sent": "send raised ClientConnectorError",
            "what may have been sent is unknown": "send raised ServerDisconnectedError",
            "redirects are not followed": "is followed to another host",
            "an endless answer is not read": "",
        },
    ),
}  # fmt: skip
