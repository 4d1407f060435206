"""From the keys of a Secret to the parameters of a connection.

asyncpg would fill gaps from PG* variables, ~/.pgpass and ~/.postgresql of the operator's own surroundings, and its
default TLS mode falls back to plain text. So everything is decided here and nothing is left for it to guess.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from fingerv7.adapters.postgres.errors import Reason, SecretError

SSL_MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")

_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,253}|/[^\s@]{0,90}")
_KEYS: Final = "uri, or host, port, database, user and password"
_ENCODE: Final = (
    "special characters in its user and password have to be percent-encoded (@ is %40, / is %2F, # is %23)"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, as whom, and how sure to be of the other side."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    database: str
    user: str
    password: str = field(repr=False)
    sslmode: str
    """One of `SSL_MODES`."""
    ca: str = field(default="", repr=False)
    """PEM; empty means the certificates that the system trusts."""
    chosen: bool = True
    """Whether somebody chose the TLS mode, or it is `prefer` because nothing was said."""
    options: str = ""
    target_session_attrs: str = "any"

    @property
    def address(self) -> str:
        return ", ".join(
            host if host.startswith("/") else f"{host}:{port}"
            for host, port in zip(self.hosts, self.ports, strict=True)
        )

    def redact(self, text: str) -> str:
        """The text without the password, in case a server or a library repeats it."""
        for secret in {self.password, quote(self.password, safe="")}:
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return text

    def tls(self) -> ssl.SSLContext | None:
        """None for plain text. Raises SecretError for a CA that cannot be read."""
        if self.sslmode == "disable":
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.sslmode in ("prefer", "require"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            if self.ca:
                # Bundles carry comments in any language, and OpenSSL wants ASCII.
                context.load_verify_locations(cadata=self.ca.encode("ascii", "ignore").decode())
            else:
                context.load_default_certs()
        except (ssl.SSLError, ValueError):
            raise SecretError(
                Reason.SECRET_INVALID, "the Secret's key ca.crt is not a certificate in PEM format"
            ) from None
        context.check_hostname = self.sslmode == "verify-full"
        return context


def read_target(secret: Mapping[str, bytes]) -> Target:
    """Raises SecretError, which names the key and never repeats its value."""
    values = {key: _text(key, value) for key, value in secret.items() if key in _READ}
    found = _read_uri(values["uri"]) if values.get("uri") else _read_keys(values)
    mode = values.get("sslmode") or found.pop("sslmode", "")
    found.pop("sslmode", None)
    ca = values.get("ca.crt", "")
    root = found.pop("sslrootcert", "")
    if root not in ("", "system") and not ca:
        raise SecretError(
            Reason.SECRET_INVALID,
            "the Secret's uri names a file in sslrootcert; put the certificate itself under the key ca.crt",
        )
    hosts, ports = _addresses(found.pop("host"), found.pop("port", ""))
    return Target(
        hosts=hosts,
        ports=ports,
        database=found["database"],
        user=found["user"],
        password=found.get("password", ""),
        sslmode=_sslmode(mode, trusted=bool(ca or root)),
        ca=ca,
        chosen=bool(mode or ca or root),
        options=found.get("options", ""),
        target_session_attrs=_session_attributes(found.get("target_session_attrs", "any")),
    )


_READ: Final = frozenset({"uri", "host", "port", "database", "user", "password", "sslmode", "ca.crt"})
_SESSION_ATTRIBUTES: Final = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")


def _text(key: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise SecretError(Reason.SECRET_INVALID, f"the Secret's key {key} is not UTF-8 text") from None
    # `echo secret | base64` leaves a newline at the end, and no password is meant to have one.
    text = text.rstrip("\r\n") if key == "password" else text.strip()
    if "\x00" in text:
        raise SecretError(Reason.SECRET_INVALID, f"the Secret's key {key} contains a NUL")
    return text


def _read_keys(values: Mapping[str, str]) -> dict[str, str]:
    missing = [key for key in ("host", "database", "user", "password") if key not in values]
    empty = [key for key in ("host", "database", "user") if key in values and not values[key]]
    if missing or empty:
        wrong = ", ".join([*missing, *empty])
        raise SecretError(
            Reason.SECRET_KEY_MISSING,
            f"the Secret has no value under {wrong}; accepted are the keys {_KEYS}, and optionally sslmode "
            "and ca.crt",
        )
    return {key: values[key] for key in ("host", "port", "database", "user", "password") if key in values}


def _read_uri(uri: str) -> dict[str, str]:
    try:
        parts = urlsplit(uri)
        user_info, _, netloc = parts.netloc.rpartition("@")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise SecretError(Reason.SECRET_INVALID, f"the Secret's uri cannot be read; {_ENCODE}") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise SecretError(
            Reason.SECRET_INVALID, "the Secret's uri does not start with postgresql://; such as " + _EXAMPLE
        )
    if parts.fragment or "@" in parts.path + parts.query + user_info:
        # Half of a password would be taken for a host or a port, and then be printed.
        raise SecretError(Reason.SECRET_INVALID, f"the Secret's uri cannot be read; {_ENCODE}")
    user, _, password = user_info.partition(":")
    found = {
        "host": unquote(netloc) or query.get("host", ""),
        "port": query.get("port", ""),
        "database": unquote(parts.path.removeprefix("/")) or query.get("dbname", ""),
        "user": unquote(user) or query.get("user", ""),
        "password": unquote(password) or query.get("password", ""),
    }
    missing = [part for part in ("host", "database", "user") if not found[part]]
    if missing:
        raise SecretError(
            Reason.SECRET_KEY_MISSING, f"the Secret's uri has no {', no '.join(missing)}; write it as {_EXAMPLE}"
        )
    kept = ("sslmode", "sslrootcert", "options", "target_session_attrs")
    return found | {key: query[key] for key in kept if query.get(key)}


_EXAMPLE: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def _addresses(host_list: str, port_list: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Several hosts, separated by commas, are tried in their order; each may carry its port."""
    hosts, ports = [], []
    defaults = port_list.split(",") if port_list else ["5432"]
    names = host_list.split(",")
    for index, name in enumerate(names):
        host, port = name.strip(), defaults[index if len(defaults) == len(names) else 0].strip()
        if host.startswith("["):
            host, _, rest = host[1:].partition("]")
            port = rest.removeprefix(":") or port
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        if not _HOST.fullmatch(host):
            raise SecretError(Reason.SECRET_INVALID, "the Secret's host is not a host name, an address or a socket")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise SecretError(Reason.SECRET_INVALID, "the Secret's port is not a number from 1 to 65535")
        hosts.append(host)
        ports.append(int(port))
    return tuple(hosts), tuple(ports)


def _sslmode(mode: str, *, trusted: bool) -> str:
    """A CA means that the server has to prove itself: weaker modes than verify-ca become verify-full."""
    if mode and mode not in (*SSL_MODES, "allow"):
        raise SecretError(
            Reason.SECRET_INVALID, f"the Secret's sslmode is none of {', '.join(SSL_MODES)}; correct it or remove it"
        )
    if not trusted:
        return "prefer" if mode in ("", "allow") else mode
    if mode == "disable":
        raise SecretError(
            Reason.SECRET_INVALID, "the Secret has a ca.crt and says sslmode disable; remove one of the two"
        )
    return "verify-ca" if mode == "verify-ca" else "verify-full"


def _session_attributes(value: str) -> str:
    if value not in _SESSION_ATTRIBUTES:
        accepted = ", ".join(_SESSION_ATTRIBUTES)
        raise SecretError(Reason.SECRET_INVALID, f"target_session_attrs in the Secret's uri is none of {accepted}")
    return value
