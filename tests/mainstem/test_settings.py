"""The environment: read whole, complained about whole, and never shown where it is secret."""

from dataclasses import fields
from pathlib import Path

import pytest

from hub.settings import Secret, Settings, SettingsError, load, variable

GOOD = [
    ("PORT", "0", "port", 0),
    ("REDIS_URL", "rediss://u:p@r.example.com:6380/1", "redis_url", "rediss://u:p@r.example.com:6380/1"),
    ("DATABASE_URL", "postgres://u:p@d/x", "database_url", Secret("postgres://u:p@d/x")),
    ("MAINSTEM_PUBLIC_URL", "https://hub.example.com/", "public_url", "https://hub.example.com"),
    ("MAINSTEM_UNDO_S", "2.5", "undo_s", 2.5),
    ("MAINSTEM_DATA", "/srv/a b", "data", Path("/srv/a b")),
    ("MAINSTEM_ALLOW_PRIVATE_TARGETS", "Yes", "allow_private_targets", True),
    ("MAINSTEM_LOG_FORMAT", "JSON", "log_format", "json"),
    ("MAINSTEM_TRUSTED_PROXIES", "1", "trusted_proxies", 1),
    ("MAINSTEM_DESK_PORT", "", "desk_port", None),
]
BAD = [
    ("PORT", "80a", "whole number from 0 to 65535"),
    ("PORT", "-1", "whole number from 0 to 65535"),
    ("REDIS_URL", "localhost:6379", "must start with redis://"),
    ("DATABASE_URL", "mysql://u:secret@d/x", "must start with sqlite:///"),
    ("MAINSTEM_PUBLIC_URL", "hub.example.com", "like https://hub.example.com"),
    ("MAINSTEM_DESK_URL", "https://[", "like https://hub.example.com"),
    ("MAINSTEM_UNDO_S", "nan", "seconds from 0 to 300"),
    ("MAINSTEM_LOG_LEVEL", "loud", "debug, info, warning or error"),
    ("MAINSTEM_ALLOW_PRIVATE_TARGETS", "perhaps", "true or false"),
    ("MAINSTEM_BODY_LIMIT_BYTES", "5", "at least 1024"),
]


@pytest.mark.parametrize("name, text, field, value", GOOD)
def test_what_is_set_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(load({name: text}), field) == value


@pytest.mark.parametrize("name, text, words", BAD)
def test_what_is_wrong_is_told_by_its_name(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: .*{words}") as told:
        load({name: text})
    assert "secret" not in str(told.value)


def test_all_faults_at_once() -> None:
    with pytest.raises(SettingsError) as told:
        load({name: text for name, text, _ in BAD})
    assert len(str(told.value).splitlines()) == len({name for name, *_ in BAD})


@pytest.mark.parametrize(
    "host, named",
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("fd00::7", "[fd00::7]"), ("10.0.0.7", "10.0.0.7")],
)
def test_addresses_of_this_machines_own_can_be_opened(host: str, named: str) -> None:
    settings = load({"MAINSTEM_HOST": host, "PORT": "9000"})
    assert settings.public_address == f"http://{named}:9000"
    assert settings.desk_address == f"http://{named}:9001"


def test_secrets_do_not_show() -> None:
    settings = load(dict.fromkeys(("DATABASE_URL", "MAINSTEM_SECRET_KEY"), "postgres://u:hush@d/x"))
    assert "hush" not in repr(settings)
    assert "hush" not in repr(load({"REDIS_URL": "redis://:hush@r/0"}))


def test_every_field_can_be_set() -> None:
    text = {
        "redis_url": "redis://r",
        "database_url": "sqlite:///x",
        "slack_bot_token": "xoxb-1",
        "slack_app_token": "xapp-1",
    }
    for known in fields(Settings):
        values = ["1024", "true", "https://x.example", "info", "text", "8"]
        tried = [text[known.name]] if known.name in text else values
        assert any(_reads(variable(known.name), value) for value in tried), known.name


def _reads(name: str, value: str) -> bool:
    try:
        load({name: value})
    except SettingsError:
        return False
    return True
