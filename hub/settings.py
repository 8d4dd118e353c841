"""The environment -> Settings. All faults are reported at once, each with its variable's name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hub.errors import MainstemError

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(MainstemError):
    """The environment cannot be used; the text names every variable that is wrong."""


class Settings(BaseSettings):
    """How this process is to run. Every field's variable is MAINSTEM_<FIELD>, but for the platform's own three.

    Times in seconds, sizes in bytes. docs/operations.md lists them all (a test holds it to that).
    """

    model_config = SettingsConfigDict(
        env_prefix="MAINSTEM_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    redis_url: str | None = Field(default=None, validation_alias=AliasChoices("REDIS_URL", "redis_url"))
    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url")
    )
    port: Port = Field(default=8080, validation_alias=AliasChoices("PORT", "port"))

    host: str = "127.0.0.1"
    desk_port: Port | None = None  # None: port + 1
    public_url: str | None = None  # how the world reaches the edge; signatures are checked against it
    desk_url: str | None = None  # how agents reach the desk; cookies are Secure when it is https
    trusted_proxies: int = Field(default=0, ge=0, le=8)  # how many X-Forwarded-For hops are ours
    data: Path = Path("var")
    config: Path = Path("config")
    blobs: Path | None = None  # None: data / "blobs"
    secret_key: SecretStr | None = None  # None: made once in data / "secret.key", 0600
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    undo_s: float = Field(default=10.0, ge=0, le=300)  # how long a reply is held so that it can be undone
    body_limit_bytes: int = Field(
        default=5 * 1024 * 1024, ge=1024
    )  # Meta sends up to 3 MB; Twilio's media come by URL
    allow_private_targets: bool = False  # let outbound webhooks reach loopback and private addresses

    @field_validator("public_url", "desk_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address like https://hub.example.com")
        return value.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("sqlite:///", "postgresql://", "postgres://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError(f"must start with {', '.join(schemes[:-1])} or {schemes[-1]}")
        return value

    @property
    def desk_port_or_next(self) -> int:
        return self.desk_port if self.desk_port is not None else (self.port + 1 if self.port else 0)

    @property
    def public_address(self) -> str:
        """The edge's public address without a trailing slash; the local one where none is configured."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def desk_address(self) -> str:
        return self.desk_url or f"http://{self.host}:{self.desk_port_or_next}"

    @property
    def blob_folder(self) -> Path:
        return self.blobs or self.data / "blobs"

    @property
    def database(self) -> str:
        """The database's URL; SQLite in the data folder where none is set."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data / 'mainstem.db'}"


def load() -> Settings:
    """Read the environment. Raises SettingsError with one line a fault."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            field = str(fault["loc"][0])
            name = (
                field.upper()
                if field.upper() in ("REDIS_URL", "DATABASE_URL", "PORT")
                else f"MAINSTEM_{field.upper()}"
            )
            lines.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None
