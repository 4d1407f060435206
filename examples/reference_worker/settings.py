"""The worker's settings, all from environment variables, as in a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Confirm = Literal["file", "http", "never"]


class SettingsError(Exception):
    """A variable is missing or wrong; the message says which and what is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    config_dir: Path
    """CONFIG_DIR: the folder shared with the sidecar."""
    journal_dsn: str = field(repr=False)
    """JOURNAL_DSN: the PostgreSQL database with the journal's schema."""
    worker_name: str
    """WORKER_NAME"""
    sidecar_url: str | None = None
    """SIDECAR_URL: where statistics go; without it, 127.0.0.1 and the port in <CONFIG_DIR>/sidecar.port."""
    confirm: Confirm = "file"
    """CONFIRM: how a config is confirmed. `never` plays a worker that hangs."""
    start_delay_s: float = 0.0
    """START_DELAY_MS: how long starting takes, once a change."""
    stop_delay_s: float = 0.0
    """STOP_DELAY_MS: how long stopping takes, once a change."""
    http_listen: tuple[str, int] | None = None
    """HEALTH_LISTEN: host:port of GET /healthz and, with CONFIRM=http, of the hook."""
    log_level: str = "INFO"
    """LOG_LEVEL"""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError with everything that is wrong."""
    wrong = [
        f"{name} must be set" for name in ("CONFIG_DIR", "JOURNAL_DSN", "WORKER_NAME") if not environment.get(name)
    ]
    confirm = environment.get("CONFIRM") or "file"
    if confirm not in ("file", "http", "never"):
        wrong.append(f"CONFIRM must be file, http or never, not {confirm!r}")
    delays = {}
    for name in ("START_DELAY_MS", "STOP_DELAY_MS"):
        text = environment.get(name) or "0"
        if not (text.isascii() and text.isdigit()):
            wrong.append(f"{name} must be a whole number of milliseconds, not {text!r}")
            continue
        delays[name] = int(text) / 1000
    listen = None
    if address := environment.get("HEALTH_LISTEN"):
        host, _, port = address.rpartition(":")
        if host and port.isascii() and port.isdigit() and int(port) < 65_536:
            listen = (host.strip("[]"), int(port))
        else:
            wrong.append(f"HEALTH_LISTEN must be host:port, not {address!r}")
    if confirm == "http" and not environment.get("HEALTH_LISTEN"):
        wrong.append("CONFIRM=http needs HEALTH_LISTEN, where the sidecar calls the hook")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return Settings(
        config_dir=Path(environment["CONFIG_DIR"]),
        journal_dsn=environment["JOURNAL_DSN"],
        worker_name=environment["WORKER_NAME"],
        sidecar_url=(environment.get("SIDECAR_URL") or "").rstrip("/") or None,
        confirm=confirm,  # type: ignore[arg-type]  # checked above
        start_delay_s=delays["START_DELAY_MS"],
        stop_delay_s=delays["STOP_DELAY_MS"],
        http_listen=listen,
        log_level=(environment.get("LOG_LEVEL") or "INFO").upper(),
    )
