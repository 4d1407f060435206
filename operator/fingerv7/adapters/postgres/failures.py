"""From what asyncpg, TLS and the network raise to a reason and a sentence.

A server's own words are repeated only where they speak about names and permissions: what it says about values
(SQLSTATE class 22) quotes them, and a value may be a URL with a password in it.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

import asyncpg

from fingerv7.adapters.postgres.errors import Reason, SourceError
from fingerv7.adapters.postgres.secret import Target
from fingerv7.adapters.postgres.spec import SourceSpec

_SPEAKS_OF_NAMES: Final = ("08", "0A", "28", "3D", "42", "53", "54", "55", "57", "58")
_LIMIT: Final = 300


def connect_failure(error: Exception, target: Target, spec: SourceSpec) -> SourceError:
    """What it means that the connection could not be opened."""
    where, server = target.address, _server_words(error, target)
    if isinstance(error, SourceError):
        return error
    if isinstance(error, TimeoutError):
        return SourceError(
            Reason.TIMEOUT,
            f"{where} did not answer within {spec.connect_timeout_s:g} s (connectTimeout); check host, port "
            "and firewall",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceError(
            Reason.TLS_FAILED,
            f"the certificate of {where} is not accepted: {error.verify_message}; the Secret's ca.crt has to be the "
            "certificate of its authority, and for sslmode verify-full the host has to be named in it",
        )
    if isinstance(error, ssl.SSLError):
        return SourceError(Reason.TLS_FAILED, f"TLS with {where} failed: {server}")
    if tls_refused(error):
        return SourceError(
            Reason.TLS_FAILED,
            f"{where} does not offer TLS, which sslmode {target.sslmode} asks for; turn ssl on in the server or, "
            "where the network can be trusted, remove ca.crt and set sslmode to disable in the Secret",
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return SourceError(Reason.DATABASE_MISSING, f"{server}; correct the database in the Secret or create it")
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return SourceError(
            Reason.AUTHENTICATION_FAILED,
            f"{where} refused the credentials in the Secret: {server}; correct user and password there, or the "
            "server's pg_hba.conf",
        )
    if isinstance(error, socket.gaierror):
        return SourceError(
            Reason.UNREACHABLE, f"the host of {where} cannot be resolved; correct the host in the Secret"
        )
    return _common_failure(error, target, spec)


def read_failure(error: Exception, target: Target, spec: SourceSpec) -> SourceError:
    """What it means that the table could not be read over an open connection."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, (TimeoutError, asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)):
        return SourceError(
            Reason.TIMEOUT,
            f"reading {spec.table} took longer than {spec.statement_timeout_s:g} s; find what blocks or slows the "
            "query, or raise statementTimeout",
        )
    return _common_failure(error, target, spec)


def tls_refused(error: Exception) -> bool:
    """Whether the server answered that it does not speak TLS; asyncpg has no type for it."""
    return type(error) is ConnectionError and "rejected SSL upgrade" in str(error)


def _common_failure(error: Exception, target: Target, spec: SourceSpec) -> SourceError:
    server = _server_words(error, target)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return SourceError(
            Reason.PERMISSION_DENIED,
            f"{server}; the role in the Secret needs CONNECT on the database, USAGE on the schema and SELECT on "
            f"{spec.table}",
        )
    if isinstance(error, asyncpg.UndefinedTableError):
        return SourceError(Reason.TABLE_MISSING, f"{server}; correct spec.source.postgres.table or create it")
    if isinstance(error, asyncpg.UndefinedColumnError):
        return SourceError(Reason.COLUMN_MISSING, f"{server}; correct spec.source.postgres.columns")
    if isinstance(error, _UNREACHABLE):
        return SourceError(
            Reason.UNREACHABLE, f"{target.address} cannot be reached: {server}; check host, port and the server"
        )
    if isinstance(error, (asyncpg.DataError, UnicodeError)):
        return SourceError(
            Reason.INVALID_DATA,
            f"{spec.table} cannot be converted to text ({_name(error)}); see the server's log, and check the column "
            "types or what the view computes",
        )
    return SourceError(Reason.QUERY_FAILED, f"reading {spec.table} failed: {server}")


_UNREACHABLE: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    # A server that shuts down said goodbye on the idle connection, and a statement came before the connection's end.
    asyncpg.InternalClientError,
    asyncpg.TargetServerAttributeNotMatched,
)


def _server_words(error: Exception, target: Target) -> str:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        words = str(error.args[0] if error.args else "") if state.startswith(_SPEAKS_OF_NAMES) else ""
        text = f"{words or _name(error)} (SQLSTATE {state})" if state else words or _name(error)
    elif isinstance(error, ssl.SSLError):
        text = getattr(error, "reason", "") or _name(error)  # only OpenSSL's own errors have one
    elif isinstance(error, OSError):
        text = error.strerror or str(error) or _name(error)
    else:
        text = _name(error)
    return target.redact(text.replace("\n", " "))[:_LIMIT]


def _name(error: Exception) -> str:
    return type(error).__name__
