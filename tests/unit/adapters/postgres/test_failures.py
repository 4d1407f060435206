from __future__ import annotations

import socket
import ssl

import asyncpg
import pytest

from fingerv7.adapters.postgres.errors import Reason, SecretError, SourceError
from fingerv7.adapters.postgres.failures import connect_failure, read_failure
from fingerv7.adapters.postgres.secret import read_target
from fingerv7.adapters.postgres.spec import SourceSpec

TARGET = read_target({"host": b"db", "database": b"d", "user": b"u", "password": b"hunter2"})
SPEC = SourceSpec("streams")


def server(kind: type[asyncpg.PostgresError], text: str = "what hunter2 said") -> asyncpg.PostgresError:
    return kind(text)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), Reason.TIMEOUT),
        (ConnectionRefusedError(111, "Connection refused"), Reason.UNREACHABLE),
        (socket.gaierror(-2, "Name or service not known"), Reason.UNREACHABLE),
        (ConnectionResetError(), Reason.UNREACHABLE),
        (ssl.SSLError(1, "[SSL] hunter2"), Reason.TLS_FAILED),
        (ConnectionError('PostgreSQL server at "db:5432" rejected SSL upgrade'), Reason.TLS_FAILED),
        (ConnectionError("unexpected connection_lost() call"), Reason.UNREACHABLE),
        (server(asyncpg.InvalidPasswordError), Reason.AUTHENTICATION_FAILED),
        (server(asyncpg.InvalidAuthorizationSpecificationError), Reason.AUTHENTICATION_FAILED),
        (server(asyncpg.InvalidCatalogNameError), Reason.DATABASE_MISSING),
        (server(asyncpg.CannotConnectNowError), Reason.UNREACHABLE),
        (server(asyncpg.TooManyConnectionsError), Reason.UNREACHABLE),
        (server(asyncpg.InsufficientPrivilegeError), Reason.PERMISSION_DENIED),
        (asyncpg.InterfaceError("hunter2"), Reason.UNREACHABLE),
        (ValueError("hunter2"), Reason.QUERY_FAILED),
        (SecretError(Reason.SECRET_INVALID, "as it is"), Reason.SECRET_INVALID),
    ],
)
def test_connecting(error: Exception, reason: Reason) -> None:
    failure = connect_failure(error, TARGET, SPEC)
    assert failure.reason == reason
    assert failure.message
    assert "hunter2" not in failure.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), Reason.TIMEOUT),
        (server(asyncpg.QueryCanceledError), Reason.TIMEOUT),
        (server(asyncpg.UndefinedTableError), Reason.TABLE_MISSING),
        (server(asyncpg.UndefinedColumnError), Reason.COLUMN_MISSING),
        (server(asyncpg.InsufficientPrivilegeError), Reason.PERMISSION_DENIED),
        (server(asyncpg.AdminShutdownError), Reason.UNREACHABLE),
        (asyncpg.InternalClientError("got result for unknown protocol state 0"), Reason.UNREACHABLE),
        (server(asyncpg.ConnectionDoesNotExistError), Reason.UNREACHABLE),
        (server(asyncpg.InvalidTextRepresentationError), Reason.INVALID_DATA),
        (server(asyncpg.UntranslatableCharacterError), Reason.INVALID_DATA),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "hunter2"), Reason.INVALID_DATA),
        (server(asyncpg.SerializationError), Reason.QUERY_FAILED),
        (server(asyncpg.RaiseError), Reason.QUERY_FAILED),
        (KeyError("hunter2"), Reason.QUERY_FAILED),
        (SourceError(Reason.COLUMN_MISSING, "as it is"), Reason.COLUMN_MISSING),
    ],
)
def test_reading(error: Exception, reason: Reason) -> None:
    failure = read_failure(error, TARGET, SPEC)
    assert failure.reason == reason
    assert failure.message
    assert "hunter2" not in failure.message


def test_what_a_server_says_about_values_is_not_repeated() -> None:
    error = server(asyncpg.InvalidTextRepresentationError, 'invalid input syntax for type json: "http://u:pw@h/"')
    assert "pw@" not in read_failure(error, TARGET, SPEC).message
    raised = server(asyncpg.RaiseError, "row (1, http://u:pw@h/) is bad")
    assert "pw@" not in read_failure(raised, TARGET, SPEC).message


def test_long_words_are_cut() -> None:
    assert len(read_failure(server(asyncpg.UndefinedTableError, "x" * 9999), TARGET, SPEC).message) < 500
