"""Who sends: the signature matrix (security.md S1) and replay (S2), for every way in that a channel has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from msgspec import structs

from connectors.base import Connector, Raw
from connectors.kit import bodies
from connectors.kit.captures import Sample, proof_of, with_header, with_proof
from connectors.kit.tell import Check, Failed, Skipped, is_forged, must, parse, passes, shown
from hub.errors import Forged


def good_requests_pass(connector: Connector, sample: Sample) -> None:
    must(sample.captures, f"{sample.folder} holds no captures (.http)")
    for name, raw in sample.captures.items():
        passes(connector, raw, sample, name)


def every_way_in_has_a_capture(connector: Connector, sample: Sample) -> None:
    have = {raw.method for raw in sample.captures.values()}
    for method in connector.methods:
        must(method in have, f"the connector takes {method} requests, and no capture is one")


def a_missing_proof_is_forged(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.one_each().items():
        is_forged(connector, with_proof(raw, sample), sample, f"{name} without its proof")
        is_forged(connector, with_proof(raw, sample, ""), sample, f"{name} with an empty proof")


def a_wrong_proof_is_forged(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.one_each().items():
        proof = _proof(raw, sample, name)
        for wrong in (
            proof[:-1] + ("0" if proof[-1] != "0" else "1"),
            ("0" if proof[0] != "0" else "1") + proof[1:],
            proof[:-1],
            proof[1:],
            proof + "0",
            proof.swapcase(),
            "é" * 40,
            "\ud800",
            "a" * 100_000,
        ):
            if wrong != proof:
                what = f"{name} with the proof {wrong[:40]!r} in place of its own"
                is_forged(connector, with_proof(raw, sample, wrong), sample, what)


def a_doubled_proof_is_forged(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.one_each().items():
        proof = _proof(raw, sample, name)
        for pair in ((proof, proof), ("x", proof), (proof, "x")):
            is_forged(connector, with_proof(raw, sample, *pair), sample, f"{name} with two proofs")


def another_accounts_secret_is_forged(connector: Connector, sample: Sample) -> None:
    others: dict[str, tuple[str, ...]] = dict.fromkeys(sample.account.secrets, ("somebody-elses-secret",))
    other = replace(sample, account=replace(sample.account, secrets=others))
    for name, raw in sample.one_each().items():
        is_forged(connector, raw, other, f"{name}, to an account with another secret,")


def an_empty_secret_opens_nothing(connector: Connector, sample: Sample) -> None:
    empty = replace(sample.account, secrets=dict.fromkeys(sample.account.secrets, ("",)))
    made = [sample]
    if sample.sign:  # as somebody would sign who guesses that it is empty
        made.append(replace(sample, account=empty))
    for name, raw in sample.one_each().items():
        for signer in made:
            given = raw
            if sample.sign and signer is not sample and _signs(raw, sample):
                given = with_proof(raw, sample, sample.sign.make(raw, empty))
            for guess in (given, with_proof(raw, sample, ""), with_proof(raw, sample, "Bearer ")):
                try:
                    connector.verify(guess, empty)
                except (Forged, ValueError):
                    continue
                except Exception as error:
                    raise Failed(f"{name}, with an empty secret: verify raised {shown(error)}") from error
                raise Failed(f"{name} is let in where the account's secret is empty")


def no_secret_at_all_opens_nothing(connector: Connector, sample: Sample) -> None:
    none = replace(sample, account=replace(sample.account, secrets=dict.fromkeys(sample.account.secrets, ())))
    for name, raw in sample.one_each().items():
        is_forged(connector, raw, none, f"{name}, to an account whose list of secrets is empty,")


def a_changed_body_is_forged(connector: Connector, sample: Sample) -> None:
    if not sample.signs_body:
        raise Skipped("its proof does not cover the body")
    for name, raw in sample.one_each().items():
        if not raw.body:
            continue
        for at in (0, len(raw.body) // 2, len(raw.body) - 1):
            changed = bytearray(raw.body)
            changed[at] ^= 1
            is_forged(
                connector, structs.replace(raw, body=bytes(changed)), sample, f"{name} with byte {at} changed"
            )
        for body, what in (
            (bodies.respelled(raw), "the same said in other bytes"),
            (raw.body + b"\n", "a line end more"),
            (raw.body[:-1], "a byte less"),
            (b"", "no body"),
        ):
            if body != raw.body:
                is_forged(connector, structs.replace(raw, body=body), sample, f"{name} with {what}")


def another_address_is_forged(connector: Connector, sample: Sample) -> None:
    if not sample.signs_address:
        raise Skipped("its proof does not cover the address")
    for name, raw in sample.one_each().items():
        parts = urlsplit(raw.url)
        for changed, what in (
            (parts._replace(path=parts.path + "/"), "a slash more"),
            (
                parts._replace(path=parts.path.replace(sample.account.name, "another")),
                "another account's path",
            ),
            (parts._replace(query=parts.query + "&a=b" if parts.query else "a=b"), "another query"),
            (parts._replace(netloc="evil.example"), "another host"),
            (parts._replace(scheme="http"), "http in place of https"),
        ):
            url = urlunsplit(changed)
            if url != raw.url:
                is_forged(
                    connector, structs.replace(raw, url=url), sample, f"{name} with {what} in its address"
                )


def a_freshly_signed_request_passes(connector: Connector, sample: Sample) -> None:
    """As the provider signs, by sample.yaml: so the scheme is the provider's, and not just that of one capture."""
    if sample.sign is None:
        raise Skipped("sample.yaml does not say how the provider signs (sign)")
    for name, raw in sample.one_each().items():
        if not _signs(raw, sample):
            continue
        for what, changed in _changed(raw, sample):
            late = structs.replace(changed, received_at=raw.received_at + timedelta(days=30))
            signed = with_proof(late, sample, sample.sign.make(late, sample.account))
            passes(connector, signed, sample, f"{name}, {what} and signed again as sample.yaml says,")


def both_secrets_hold_while_one_is_rotated(connector: Connector, sample: Sample) -> None:
    for order in (1, -1):
        both = {
            purpose: ("the-new-one", *values)[::order] for purpose, values in sample.account.secrets.items()
        }
        rotating = replace(sample, account=replace(sample.account, secrets=both))
        for name, raw in sample.one_each().items():
            passes(connector, raw, rotating, f"{name}, while the secret is rotated,")


def an_old_request_is_forged_where_there_is_a_window(connector: Connector, sample: Sample) -> None:
    """Where there is none, a repetition is told by its event keys."""
    for name, raw in sample.one_each().items():
        for days in (1, 365):
            late = structs.replace(raw, received_at=raw.received_at + timedelta(days=days))
            if sample.timed_s is None or not (sample.sign is None or _signs(raw, sample)):
                passes(connector, late, sample, f"{name}, {days} days later,")
            else:
                is_forged(connector, late, sample, f"{name}, {days} days later,")


def the_window_is_as_wide_as_it_says(connector: Connector, sample: Sample) -> None:
    if sample.timed_s is None or sample.sign is None:
        raise Skipped("there is no window, or sample.yaml does not say how the provider signs (sign)")
    raw = sample.good_request()
    signed = with_proof(raw, sample, sample.sign.make(raw, sample.account))
    for seconds in (sample.timed_s - 1, 1 - sample.timed_s):
        passes(connector, _at(signed, seconds), sample, f"{sample.good}, {seconds:+g} s after it was signed,")
    for seconds in (sample.timed_s + 1, -1 - sample.timed_s):
        is_forged(
            connector, _at(signed, seconds), sample, f"{sample.good}, {seconds:+g} s after it was signed,"
        )


def a_repeated_request_has_the_same_keys(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.captures.items():
        one = [e.event_key for e in parse(connector, raw, sample, name).events]
        for later in (timedelta(minutes=1), timedelta(days=1), timedelta(days=8)):
            again = parse(connector, structs.replace(raw, received_at=raw.received_at + later), sample, name)
            keys = [e.event_key for e in again.events]
            must(
                one == keys, f"{name}: come again after {later}, its event keys are {keys[:3]}, not {one[:3]}"
            )
        must(len(set(one)) == len(one), f"{name}: two of its events have one key")


def what_anybody_may_write_changes_nothing(connector: Connector, sample: Sample) -> None:
    """Host and X-Forwarded-* are a stranger's to choose: neither the proof nor the events may hang on them."""
    theirs = {
        "host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http",
        "x-forwarded-for": "127.0.0.1", "x-original-url": "/in/other/account", "forwarded": "host=evil.example",
    }  # fmt: skip
    for name, raw in sample.one_each().items():
        changed = raw
        for header, value in theirs.items():
            changed = with_header(changed, header, value)
        what = f"{name} with Host and X-Forwarded-* as a stranger may write them"
        passes(connector, changed, sample, what)
        must(
            parse(connector, raw, sample, name) == parse(connector, changed, sample, name),
            f"{what} says other things",
        )


def _changed(raw: Raw, sample: Sample) -> Iterator[tuple[str, Raw]]:
    """(what is changed, the request): what a provider may well send, and a signature must be made over as it stands."""
    yield "as it is", raw
    if bodies.is_form(raw):
        for more in (b"&Empty=", b"&Space=+a%20", b"&Twice=2&Twice=1&Twice=2", b"&%C3%84=%E2%82%AC%2B"):
            yield f"with {more.decode()} at its end", structs.replace(raw, body=raw.body + more)
    else:
        yield "with a space at its end", structs.replace(raw, body=raw.body + b" ")
    if raw.body.endswith(b"}"):
        escaped = b',"' + bodies.EXTRA.encode() + b'": "\\u00e4\\/\\ud83d\\ude00" }'
        yield "with escaped characters", structs.replace(raw, body=raw.body[:-1] + escaped)
    if sample.sign and "url" in sample.sign.over:
        for query in ("a=%20b+c", "d=%C3%A4&d=2", "e"):
            yield (
                f"with ?{query} in its address",
                structs.replace(raw, url=f"{raw.url}{'&' if '?' in raw.url else '?'}{query}"),
            )


def _proof(raw: Raw, sample: Sample, name: str) -> str:
    proof = proof_of(raw, sample)
    must(proof, f"{name} does not carry its proof ({sample.proof[raw.method]}) exactly once")
    assert proof is not None
    return proof


def _signs(raw: Raw, sample: Sample) -> bool:
    """Is this request's proof a signature? (Handshakes have a token instead.)"""
    return sample.proof[raw.method] == sample.proof[sample.good_request().method]


def _at(raw: Raw, seconds: float) -> Raw:
    return structs.replace(raw, received_at=raw.received_at + timedelta(seconds=seconds))


CHECKS: tuple[Check, ...] = (
    good_requests_pass,
    every_way_in_has_a_capture,
    a_missing_proof_is_forged,
    a_wrong_proof_is_forged,
    a_doubled_proof_is_forged,
    another_accounts_secret_is_forged,
    an_empty_secret_opens_nothing,
    no_secret_at_all_opens_nothing,
    a_changed_body_is_forged,
    another_address_is_forged,
    a_freshly_signed_request_passes,
    both_secrets_hold_while_one_is_rotated,
    an_old_request_is_forged_where_there_is_a_window,
    the_window_is_as_wide_as_it_says,
    a_repeated_request_has_the_same_keys,
    what_anybody_may_write_changes_nothing,
)
