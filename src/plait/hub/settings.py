"""What can be set, by argument or by environment variable (`PLAIT_…`). `docs/hub.md` tells of each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from plait.hub.turn.settings import TurnSettings


def default_folder() -> Path:
    """Return where a hub keeps its data: XDG's data folder (https://specifications.freedesktop.org/basedir-spec)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "plait"


class Settings(TurnSettings):
    """A hub's settings; those of STUN and TURN are in `turn_settings`.

    Attributes:
        host: where it listens; the loopback unless it is told otherwise.
        port: 0 takes a free one.
        data: the data folder, made for the owner alone.
        tls: where its certificate comes from; "auto": files where they are given, else the hub's own
            authority where it listens beyond the loopback, else none.
        tls_cert, tls_key: PEM files; both or neither.
        tls_names: names and addresses under which it is reached, beside those that this machine knows; with
            "acme", its public names.
        acme_directory: the ACME server; Let's Encrypt by default.
        acme_email: told to it, for its warnings.
        acme_ca: a PEM file of who vouches for it, where that is nobody whom the system knows.
        origins: origins of pages that may ask, beside the hub's own address (behind a proxy that changes
            Host).
        ice_servers: further W3C `RTCIceServer` objects for both ends of a call, as JSON.
        window: seconds for which the session of a client that broke off is kept.
        owner: the name of the user whom the login link logs in.
    """

    model_config = SettingsConfigDict(env_prefix="PLAIT_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    data: Path = Field(default_factory=default_folder)
    tls: Literal["auto", "off", "local", "files", "acme"] = "auto"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_names: list[str] = Field(default_factory=list)
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_email: str = ""
    acme_ca: Path | None = None
    origins: list[str] = Field(default_factory=list)
    ice_servers: list[dict[str, Any]] = Field(default_factory=list)
    window: float = Field(default=60.0, gt=0, le=3600)
    owner: str = Field(default="owner", min_length=1, max_length=100)
