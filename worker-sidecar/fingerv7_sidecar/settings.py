"""The settings, from the environment. All that is wrong is said at once, with what would be right."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fingerv7.contract import FINGERPRINTING, MAX_STREAMS, Timing, parse_duration
from fingerv7_sidecar.log import LEVELS

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = "[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?", re.IGNORECASE)
_ACKS = ("File", "Http", "OnWrite")


class SettingsError(Exception):
    """One line for each thing that is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    instance_id: str
    namespace: str
    pool: str
    pod_uid: str
    register: str
    """The registration's JSON; empty when this worker cannot register itself."""
    register_always: bool
    version: str
    config_dir: str
    file_mode: int
    listen_host: str
    listen_port: int
    public_listen: tuple[str, int] | None
    """Where kubelet and Prometheus may come from outside of the pod."""
    drain_key: str = field(repr=False)
    vpn_url: str
    vpn_key: str = field(repr=False)
    api_host: str
    api_port: int
    token_file: str
    ca_file: str
    ack: str
    ack_url: str
    worker_health_url: str
    worker_lock: bool
    report_timeout_s: float | None
    worker_grace_s: float | None
    apply_timeout_s: float | None
    drain_on_term: bool
    timing: Timing
    log_level: str
    log_text: bool


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError that names every problem."""
    reader = _Reader(environ)
    timing = _timing(reader)
    host, port = reader.address("LISTEN", "127.0.0.1:8089")
    api_host, api_port = _api(reader)
    public = reader.address("PUBLIC_LISTEN", "0.0.0.0:8090") if reader.get("PUBLIC_LISTEN") else None
    drain_key = reader.key("DRAIN_KEY", least=16)
    if drain_key and not public:
        reader.problem("DRAIN_KEY has no use without PUBLIC_LISTEN, the address on which it is asked for")
    vpn_url, vpn_key = reader.url("VPN_CONTROL_URL"), reader.key("VPN_CONTROL_KEY")
    if vpn_key and not vpn_url:
        reader.problem("VPN_CONTROL_KEY has no use without VPN_CONTROL_URL, the VPN's control server")
    ack = reader.choice("ACK", _ACKS, "File")
    ack_url = reader.url("ACK_URL")
    if ack == "Http" and not ack_url:
        reader.problem("ACK=Http needs ACK_URL, the address to which the config is posted")
    register = _register(reader)
    register_always = reader.flag("REGISTER")
    if register_always and not register:
        reader.problem(f"REGISTER=1 needs MAX_STREAMS, how many streams this worker can process (1 to {MAX_STREAMS})")
    settings = Settings(
        instance_id=reader.name("INSTANCE_ID", required=True),
        namespace=reader.name("NAMESPACE", default=_file_text(f"{_ACCOUNT}/namespace"), required=True),
        pool=reader.name("POOL"),
        pod_uid=reader.matching("POD_UID", re.compile(r"[^/\s]{1,128}"), "a text without slashes or blanks"),
        register=register,
        register_always=register_always,
        version=reader.get("VERSION"),
        config_dir=reader.get("CONFIG_DIR") or "/config",
        file_mode=reader.octal("CONFIG_FILE_MODE", 0o644),
        listen_host=host,
        listen_port=port,
        public_listen=public,
        drain_key=drain_key,
        vpn_url=vpn_url,
        vpn_key=vpn_key,
        api_host=api_host,
        api_port=api_port,
        token_file=reader.get("KUBERNETES_TOKEN_FILE") or f"{_ACCOUNT}/token",
        ca_file=reader.get("KUBERNETES_CA_FILE") or f"{_ACCOUNT}/ca.crt",
        ack=ack,
        ack_url=ack_url,
        worker_health_url=reader.url("WORKER_HEALTH_URL"),
        worker_lock=reader.flag("WORKER_LOCK"),
        report_timeout_s=reader.seconds("REPORT_TIMEOUT"),
        worker_grace_s=reader.seconds("WORKER_GRACE"),
        apply_timeout_s=reader.seconds("APPLY_TIMEOUT"),
        drain_on_term=reader.flag("DRAIN_ON_TERM"),
        timing=timing,
        log_level=reader.choice("LOG_LEVEL", LEVELS, "info", fold=True),
        log_text=reader.choice("LOG_FORMAT", ("json", "text"), "json", fold=True) == "text",
    )
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return settings


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def get(self, key: str) -> str:
        return self._environ.get(key, "").strip()

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self.get(key)
        if value and not pattern.fullmatch(value):
            self.problem(f"{key}={value!r} is not valid; it must be {wanted}")
        return value

    def name(self, key: str, *, default: str = "", required: bool = False) -> str:
        value = self.get(key) or default
        if not value and required:
            self.problem(f"{key} is not set; it must be {_NAMED[key]}")
        elif value and not _NAME.fullmatch(value):
            self.problem(
                f"{key}={value!r} is not valid; it must be a Kubernetes name: lower-case letters, digits, '-' and '.'"
            )
        return value

    def key(self, key: str, *, least: int = 1) -> str:
        """A secret, which is never repeated in a message."""
        value = self.get(key)
        if value and not (least <= len(value) <= 256 and re.fullmatch(r"[!-~]+", value)):
            size = f"{least} to 256" if least > 1 else "at most 256"
            self.problem(f"{key} is not valid; it must be {size} printable ASCII characters without blanks")
        return value

    def flag(self, key: str) -> bool:
        value = self.get(key).lower()
        if value not in ("", "0", "1", "true", "false", "yes", "no"):
            self.problem(f"{key}={value!r} is not valid; it must be 1 or 0")
        return value in ("1", "true", "yes")

    def choice(self, key: str, choices: tuple[str, ...], default: str, *, fold: bool = False) -> str:
        given = self.get(key)
        value = (given.lower() if fold else given) or default
        if value not in choices:
            self.problem(f"{key}={given!r} is not valid; it must be one of {', '.join(choices)}")
            return default
        return value

    def duration_ms(self, key: str) -> int | None:
        value = self.get(key)
        if not value:
            return None
        try:
            return parse_duration(value)
        except ValueError as error:
            self.problem(f"{key}: {error}")
            return None

    def seconds(self, key: str) -> float | None:
        milliseconds = self.duration_ms(key)
        return None if milliseconds is None else milliseconds / 1000

    def octal(self, key: str, default: int) -> int:
        value = self.get(key)
        if value and not re.fullmatch(r"0?[0-7]{3}", value):
            self.problem(f"{key}={value!r} is not valid; it must be an octal file mode such as 0640")
            return default
        return int(value, 8) if value else default

    def address(self, key: str, default: str) -> tuple[str, int]:
        value = self.get(key) or default
        host, _, port = value.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            self.problem(f"{key}={value!r} is not valid; it must be host:port, such as {default}")
            return "127.0.0.1", 0
        return host.strip("[]"), int(port)

    def url(self, key: str) -> str:
        value = self.get(key)
        if value:
            try:
                parts = urlsplit(value)
                good = parts.scheme == "http" and _is_host(parts.hostname or "") and (parts.port or 80) > 0
                good = good and bool(re.fullmatch("[!-~]+", value))
            except ValueError:
                good = False
            if not good:
                self.problem(
                    f"{key} is not valid; it must be an http:// address in the same pod, in ASCII without blanks"
                )
        return value


_NAMED = {
    "INSTANCE_ID": "the name of this worker's FingerWorker",
    "NAMESPACE": "the namespace of the FingerWorker (inside a pod the service account tells it)",
}


def _timing(reader: _Reader) -> Timing:
    takeover = reader.duration_ms("TAKEOVER_AFTER")
    timing = Timing.derive(
        20_000 if takeover is None else takeover,
        renew_interval_ms=reader.duration_ms("RENEW_INTERVAL"),
        request_timeout_ms=reader.duration_ms("REQUEST_TIMEOUT"),
        fence_after_ms=reader.duration_ms("FENCE_AFTER"),
        stop_time_ms=reader.duration_ms("STOP_TIME"),
    )
    for violation in timing.violations():
        reader.problem(
            "RENEW_INTERVAL, REQUEST_TIMEOUT, FENCE_AFTER, STOP_TIME, TAKEOVER_AFTER (renewInterval, "
            f"requestTimeout, fenceAfter, stopTime, takeoverAfter): {violation}"
        )
    return timing


def _api(reader: _Reader) -> tuple[str, int]:
    url, host, port = (
        reader.get(key) for key in ("KUBERNETES_API_URL", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    )
    if not url and not host:
        reader.problem("no API server is known: run in a pod, or set KUBERNETES_API_URL to https://host:port")
        return "", 0
    if not url:
        url = f"https://[{host}]:{port or 443}" if _is_ipv6(host) else f"https://{host}:{port or 443}"
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" and _is_host(parts.hostname or "") and parts.path in ("", "/"):
            return parts.hostname or "", parts.port or 443
    except ValueError:
        pass
    reader.problem(
        "KUBERNETES_API_URL is not valid; it must be https://host:port without a path "
        "(the server's certificate is always verified)"
    )
    return "", 0


def _is_host(text: str) -> bool:
    return bool(_HOST.fullmatch(text)) or _is_ipv6(text)


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _register(reader: _Reader) -> str:
    text = reader.get("MAX_STREAMS")
    if not text:
        return ""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_STREAMS):
        reader.problem(f"MAX_STREAMS={text!r} is not valid; it must be a whole number from 1 to {MAX_STREAMS}")
        return ""
    capabilities = [word.strip() for word in reader.get("CAPABILITIES").split(",") if word.strip()]
    body: dict[str, object] = {"maxStreams": int(text), "capabilities": capabilities or [FINGERPRINTING]}
    for key, name in (("LOCATION", "location"), ("VERSION", "version")):
        if reader.get(key):
            body[name] = reader.get(key)
    return json.dumps(body, separators=(",", ":"))


def _file_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""
