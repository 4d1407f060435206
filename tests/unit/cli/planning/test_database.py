from __future__ import annotations

import pytest

from fingerv7.cli.errors import CliError
from fingerv7.cli.planning.database import read_database


def refusal(dsn, table="streams", columns=None):
    with pytest.raises(CliError) as error:
        read_database(dsn, table=table, columns=columns or {}, chosen=frozenset())
    return str(error.value)


@pytest.mark.parametrize(
    ("dsn", "sentence"),
    [
        ("postgresql://h/db", "the DSN has no user; write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:hidden@x@h/db", "the DSN cannot be read; special characters in its user and password"),
        ("postgresql://u:hidden@h:99999/db", "the DSN's port is not a number from 1 to 65535"),
        ("postgresql://u:hidden@h/db?sslmode=strict", "the DSN's sslmode is none of disable, prefer"),
        ("postgresql://u:hidden@h/db?sslrootcert=/nowhere", "the file in sslrootcert, /nowhere, cannot be read: No"),
        ("postgresql://u:hidden@127.0.0.1:1/db", "127.0.0.1:1 cannot be reached"),
    ],
)
def test_what_is_wrong_is_said_of_the_dsn_and_without_its_password(dsn, sentence):
    said = refusal(dsn)
    assert sentence in said
    assert "hidden" not in said
    assert "Secret" not in said


def test_names_that_are_no_identifiers():
    assert "'a b' is not a table; write name or schema.name" in refusal("postgresql://u@h/db", table="a b")
    assert "'x y' is not a column name" in refusal("postgresql://u@h/db", columns={"id": "x y"})
