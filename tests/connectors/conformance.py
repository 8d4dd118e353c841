"""What holds for every channel. Each check takes a connector and its sample and fails by assertion."""

import io
import logging
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import timedelta

import msgspec
import pytest

from connectors.base import Answer, Changes, Connector, Parsed, Raw
from connectors.web import unreadable
from hub import codec, urn
from hub.errors import Forged, Malformed
from hub.model import MessageReceived
from tests.connectors.samples import Sample, proof_of, with_proof

Check = Callable[[Connector, Sample], None]


def _forged(connector: Connector, raw: Raw, sample: Sample) -> None:
    with pytest.raises(Forged) as caught:
        connector.verify(raw, sample.account)
    for secret in _canaries(sample):
        assert secret not in str(caught.value)


def _canaries(sample: Sample) -> list[str]:
    return [value for values in sample.account.secrets.values() for value in values]


def _proof(raw: Raw, sample: Sample) -> str:
    value = proof_of(raw, sample)
    assert value
    return value


def good_requests_pass(connector: Connector, sample: Sample) -> None:
    assert sample.requests(), "captures are needed"
    for raw in sample.requests().values():
        connector.verify(raw, sample.account)


def a_missing_proof_is_forged(connector: Connector, sample: Sample) -> None:
    _forged(connector, with_proof(sample.good(), sample), sample)
    _forged(connector, with_proof(sample.good(), sample, ""), sample)


def a_wrong_proof_is_forged(connector: Connector, sample: Sample) -> None:
    proof = _proof(sample.good(), sample)
    last = proof[-1]
    for wrong in (
        proof[:-1] + ("0" if last != "0" else "1"),
        proof[:-1],
        proof + "0",
        proof.swapcase(),
        "é" * 40,
    ):
        _forged(connector, with_proof(sample.good(), sample, wrong), sample)


def another_accounts_secret_is_forged(connector: Connector, sample: Sample) -> None:
    others = dict.fromkeys(sample.account.secrets, ("somebody-elses-secret",))
    _forged(connector, sample.good(), replace(sample, account=replace(sample.account, secrets=others)))


def an_empty_secret_opens_nothing(connector: Connector, sample: Sample) -> None:
    empty = dict.fromkeys(sample.account.secrets, ("",))
    account = replace(sample.account, secrets=empty)
    with pytest.raises((Forged, ValueError)):
        connector.verify(sample.good(), account)


def a_changed_body_is_forged(connector: Connector, sample: Sample) -> None:
    if sample.signs_body:
        raw = sample.good()
        for at in (0, len(raw.body) // 2, len(raw.body) - 1):
            changed = bytearray(raw.body)
            changed[at] ^= 1
            _forged(connector, replace(raw, body=bytes(changed)), sample)
        _forged(connector, replace(raw, body=raw.body + b"\n"), sample)


def a_doubled_proof_is_forged(connector: Connector, sample: Sample) -> None:
    proof = _proof(sample.good(), sample)
    _forged(connector, with_proof(sample.good(), sample, proof, proof), sample)
    _forged(connector, with_proof(sample.good(), sample, "x", proof), sample)


def both_secrets_hold_while_one_is_rotated(connector: Connector, sample: Sample) -> None:
    both = {purpose: ("the-new-one", *values) for purpose, values in sample.account.secrets.items()}
    connector.verify(sample.good(), replace(sample.account, secrets=both))


def an_old_request_is_forged_where_there_is_a_window(connector: Connector, sample: Sample) -> None:
    raw = sample.good()
    late = replace(raw, received_at=raw.received_at + timedelta(days=1))
    if sample.timed:
        _forged(connector, late, sample)
    else:
        connector.verify(late, sample.account)  # told apart by its event keys instead


def a_repeated_request_has_the_same_keys(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.requests().items():
        later = replace(raw, received_at=raw.received_at + timedelta(days=8))
        one, two = _parse(connector, raw, sample), _parse(connector, later, sample)
        assert [e.event_key for e in one.events] == [e.event_key for e in two.events], name
        keys = [e.event_key for e in one.events]
        assert len(set(keys)) == len(keys), name


def verify_and_parse_change_nothing(connector: Connector, sample: Sample) -> None:
    for raw in sample.requests().values():
        assert _parse(connector, raw, sample) == _parse(connector, raw, sample)


def events_are_whole(connector: Connector, sample: Sample) -> None:
    """Every event names its account, survives the journal, and its addresses are in their one spelling."""
    for name, raw in sample.requests().items():
        parsed = _parse(connector, raw, sample)
        for event in parsed.events:
            assert event.account == sample.account.key, name
            assert event.event_key, name
            assert event.received_at == raw.received_at, name
            assert codec.decode(codec.encode(event))[0] == event, name
            if isinstance(event, MessageReceived):
                assert urn.normalise(event.sender) == event.sender, name
                assert [urn.normalise(c) for c in event.claims] == list(event.claims), name


def answers_are_given(connector: Connector, sample: Sample) -> None:
    raw = sample.good()
    parsed = _parse(connector, raw, sample)
    told = connector.answer(raw, sample.account, parsed)
    assert isinstance(told, Answer)
    assert 200 <= told.status < 300
    kept = connector.answer(raw, sample.account, unreadable(raw, sample.account, "a test"))
    assert 200 <= kept.status < 300, "what was kept is never an error to the provider"
    assert connector.unavailable.status >= 500 or connector.unavailable.body
    assert connector.bad_signature in (401, 403)
    assert connector.unknown_account in (200, 404)


def limits_have_a_source(connector: Connector, sample: Sample) -> None:
    assert connector.limits.source
    assert connector.limits.text_chars > 0


def changes_are_what_the_limits_say(connector: Connector, sample: Sample) -> None:
    """Who says that sent messages can be changed or taken back does it, and nobody else says it can."""
    limits = connector.limits
    assert isinstance(connector, Changes) == (limits.edits or limits.deletes)
    for can, within_s in ((limits.edits, limits.edits_s), (limits.deletes, limits.deletes_s)):
        assert within_s is None or (can and within_s > 0)


def unknown_settings_are_complained_about(connector: Connector, sample: Sample) -> None:
    assert connector.check(sample.account) == []
    wrong = replace(sample.account, settings={**sample.account.settings, "no_such_setting": 1})
    complaints = connector.check(wrong)
    assert complaints
    assert all(complaint.strip() and "\n" not in complaint for complaint in complaints)


def secrets_stay_inside(connector: Connector, sample: Sample) -> None:
    """Neither reprs nor the log nor an error's words carry a secret."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    logging.getLogger().addHandler(handler)
    try:
        said = [repr(sample.account), repr(connector)]
        for raw in sample.requests().values():
            said.append(repr(_parse(connector, raw, sample)))
            try:
                connector.verify(replace(raw, body=raw.body + b" ", headers={}), sample.account)
            except Forged as error:
                said.append(f"{error!r} {error}")
    finally:
        logging.getLogger().removeHandler(handler)
    for secret in _canaries(sample):
        assert secret not in lines.getvalue()
        assert not [text for text in said if secret in text]


def events_are_frozen(connector: Connector, sample: Sample) -> None:
    for event in _parse(connector, sample.good(), sample).events:
        assert is_dataclass(event)
        with pytest.raises(FrozenInstanceError):
            setattr(event, fields(event)[0].name, "other")


def nothing_but_forged_and_malformed(connector: Connector, sample: Sample, body: bytes, proof: str) -> None:
    """Whatever bytes come, verify says Forged and parse says Malformed, and nothing else ever."""
    raw = sample.good()
    try:
        connector.verify(with_proof(replace(raw, body=body), sample, proof), sample.account)
    except Forged:
        pass
    try:
        parsed = connector.parse(replace(raw, body=body), sample.account)
    except (Forged, Malformed):
        return
    for event in parsed.events:
        codec.encode(event)


def _parse(connector: Connector, raw: Raw, sample: Sample) -> Parsed:
    try:
        return connector.parse(raw, sample.account)
    except Malformed as error:
        return unreadable(raw, sample.account, str(error))


CHECKS: tuple[Check, ...] = (
    good_requests_pass,
    a_missing_proof_is_forged,
    a_wrong_proof_is_forged,
    another_accounts_secret_is_forged,
    an_empty_secret_opens_nothing,
    a_changed_body_is_forged,
    a_doubled_proof_is_forged,
    both_secrets_hold_while_one_is_rotated,
    an_old_request_is_forged_where_there_is_a_window,
    a_repeated_request_has_the_same_keys,
    verify_and_parse_change_nothing,
    events_are_whole,
    answers_are_given,
    limits_have_a_source,
    changes_are_what_the_limits_say,
    unknown_settings_are_complained_about,
    secrets_stay_inside,
    events_are_frozen,
)


def nearly(good: bytes) -> list[bytes]:
    """Bodies that a parser is likely to trip over, made from one that it takes."""
    out = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\x00",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        good[:-1],
        good * 2,
    ]
    try:
        whole = msgspec.json.decode(good)
    except msgspec.DecodeError:
        return out
    odd = (
        None,
        "",
        0,
        -1,
        1e400,
        True,
        [],
        {},
        "\x00",
        "a" * 10_000,
        10**400,
        "٣",
        ["x"] * 300,
        {"a": {"b": []}},
    )
    for key in whole:
        for value in odd:
            try:
                out.append(msgspec.json.encode({**whole, key: value}))
            except (OverflowError, ValueError, TypeError):
                out.append(good.replace(f'"{key}":'.encode(), f'"{key}":1e999,"_":'.encode()))
    out.append(good.replace(b'"', b'"\\ud800', 3))
    return out
