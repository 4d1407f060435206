from __future__ import annotations

import ssl
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.adapters.postgres.errors import Reason, SecretError
from fingerv7.adapters.postgres.secret import Target, read_target

KEYS = {"host": b"db.example", "database": b"radio", "user": b"reader", "password": b"s3cret"}


def refused(secret: dict[str, bytes]) -> SecretError:
    with pytest.raises(SecretError) as caught:
        read_target(secret)
    return caught.value


@pytest.fixture(scope="module")
def ca() -> bytes:
    return trustme.CA().cert_pem.bytes() + "# Zürich\n".encode()


def uri(text: str, **others: bytes) -> dict[str, bytes]:
    return {"uri": text.encode(), **{key.replace("_", "."): value for key, value in others.items()}}


class TestKeys:
    def test_separate_keys(self) -> None:
        target = read_target({**KEYS, "port": b"6543"})
        assert (target.hosts, target.ports) == (("db.example",), (6543,))
        assert (target.database, target.user, target.password) == ("radio", "reader", "s3cret")

    def test_the_port_has_a_default(self) -> None:
        assert read_target(KEYS).ports == (5432,)

    def test_newlines_that_echo_left_are_dropped(self) -> None:
        target = read_target({key: value + b"\n" for key, value in KEYS.items()})
        assert (target.hosts, target.password) == (("db.example",), "s3cret")

    def test_blanks_in_a_password_are_kept(self) -> None:
        assert read_target({**KEYS, "password": b" x "}).password == " x "

    @pytest.mark.parametrize("key", KEYS)
    def test_a_missing_key_is_named(self, key: str) -> None:
        error = refused({k: v for k, v in KEYS.items() if k != key})
        assert error.reason == Reason.SECRET_KEY_MISSING
        assert f"no value under {key};" in error.message
        assert "uri, or host, port, database, user and password" in error.message

    def test_an_empty_secret_names_them_all(self) -> None:
        assert "host, database, user, password" in refused({}).message

    @pytest.mark.parametrize(
        "values",
        [
            {"port": b"no"},
            {"port": b"0"},
            {"port": b"99999999999999999999"},
            {"host": b"user:pass@host"},
            {"host": b"two words"},
            {"user": b"\xff"},
            {"password": b"a\x00b"},
            {"sslmode": b"sure"},
        ],
    )
    def test_what_cannot_be_used_is_refused(self, values: dict[str, bytes]) -> None:
        assert refused({**KEYS, **values}).reason == Reason.SECRET_INVALID

    def test_foreign_keys_do_not_matter(self) -> None:
        assert read_target({**KEYS, "tls.key": b"\xff"}) == read_target(KEYS)


class TestUri:
    def test_everything_in_one(self) -> None:
        target = read_target(
            uri("postgresql://reader:s3%40cret@db.example:6543/radio?sslmode=require&options=-c%20a%3Db")
        )
        assert (target.hosts, target.ports, target.database) == (("db.example",), (6543,), "radio")
        assert (target.user, target.password, target.sslmode) == ("reader", "s3@cret", "require")
        assert target.options == "-c a=b"

    def test_it_may_leave_out_password_and_port(self) -> None:
        target = read_target(uri("postgres://reader@db.example/radio"))
        assert (target.ports, target.password) == ((5432,), "")

    def test_several_hosts(self) -> None:
        target = read_target(uri("postgresql://r:p@a:1,b,[::1]:3/radio?target_session_attrs=read-write"))
        assert (target.hosts, target.ports) == (("a", "b", "::1"), (1, 5432, 3))
        assert target.target_session_attrs == "read-write"

    def test_a_socket(self) -> None:
        assert read_target(uri("postgresql://r:p@/radio?host=/run/postgresql")).hosts == ("/run/postgresql",)

    def test_a_mode_under_its_own_key_wins(self) -> None:
        assert read_target(uri("postgresql://r:p@h/d?sslmode=prefer", sslmode=b"require")).sslmode == "require"

    def test_what_other_clients_understand_is_ignored(self) -> None:
        assert read_target(uri("postgresql://r:p@h/d?channel_binding=require&application_name=x")).hosts == ("h",)

    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://reader:hun#ter2@db/radio",
            "postgresql://reader:12#ter2@db/radio",
            "postgresql://reader:hun/ter2@db/radio",
            "postgresql://reader:hun?ter2@db/radio",
            "postgresql://reader:hun@ter2@db/radio",
            "postgresql://reader:hun[ter2@db/radio",
            "mysql://reader:hunter2@db/radio",
            "reader:hunter2@db/radio",
            "postgresql://reader:hunter2@db:port/radio",
            "postgresql://reader:hunter2@db/radio?sslrootcert=/etc/ca.pem",
            "postgresql://reader:hunter2@db/radio?target_session_attrs=any-ter2",
        ],
    )
    def test_what_cannot_be_read_is_not_repeated(self, text: str) -> None:
        error = refused(uri(text))
        assert error.reason == Reason.SECRET_INVALID
        for part in ("hun", "ter2", "reader"):
            assert part not in error.message

    @pytest.mark.parametrize(
        ("text", "missing"),
        [("postgresql://r:p@/d", "host"), ("postgresql://r:p@h", "database"), ("postgresql://h/d", "user")],
    )
    def test_what_is_missing_is_named(self, text: str, missing: str) -> None:
        error = refused(uri(text))
        assert error.reason == Reason.SECRET_KEY_MISSING
        assert f"has no {missing}" in error.message


class TestTls:
    @pytest.mark.parametrize("mode", [b"", b"allow", b"prefer", b"require", b"verify-full"])
    def test_a_ca_means_that_the_server_proves_itself(self, ca: bytes, mode: bytes) -> None:
        target = read_target({**KEYS, "ca.crt": ca, "sslmode": mode})
        context = target.tls()
        assert context is not None
        assert (target.sslmode, context.check_hostname, context.verify_mode) == (
            "verify-full",
            True,
            ssl.CERT_REQUIRED,
        )
        assert len(context.get_ca_certs()) == 1

    def test_only_the_host_may_be_left_unchecked(self, ca: bytes) -> None:
        context = read_target({**KEYS, "ca.crt": ca, "sslmode": b"verify-ca"}).tls()
        assert context is not None
        assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)

    def test_a_ca_and_plain_text_contradict_each_other(self, ca: bytes) -> None:
        assert refused({**KEYS, "ca.crt": ca, "sslmode": b"disable"}).reason == Reason.SECRET_INVALID

    def test_without_a_ca_the_systems_own_are_trusted(self) -> None:
        target = read_target(uri("postgresql://r:p@h/d?sslrootcert=system"))
        context = target.tls()
        assert context is not None
        assert (target.sslmode, context.check_hostname) == ("verify-full", True)

    @pytest.mark.parametrize(("mode", "chosen"), [(b"", False), (b"prefer", True)])
    def test_nothing_said_means_tls_where_the_server_has_it(self, mode: bytes, chosen: bool) -> None:
        target = read_target({**KEYS, "sslmode": mode})
        assert (target.sslmode, target.chosen) == ("prefer", chosen)

    def test_plain_text_has_to_be_asked_for(self) -> None:
        assert read_target({**KEYS, "sslmode": b"disable"}).tls() is None

    @pytest.mark.parametrize(
        "pem", [b"nonsense", b"-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----", "ü".encode()]
    )
    def test_a_ca_that_is_none_is_refused(self, pem: bytes) -> None:
        with pytest.raises(SecretError, match=r"ca\.crt"):
            read_target({**KEYS, "ca.crt": pem}).tls()


def test_a_target_can_be_shown_and_redacts_what_others_say() -> None:
    target = read_target({**KEYS, "password": b"p@ss word"})
    assert "p@ss" not in repr(target)
    assert target.redact("tried p@ss word and p%40ss%20word") == "tried *** and ***"


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
        lambda p: p.rstrip("\r\n") == p
    )
)
def test_any_password_survives_both_ways_of_writing_it(password: str) -> None:
    target = read_target(uri(f"postgresql://r:{quote(password, safe='')}@h/d"))
    assert target.password == password
    assert read_target({**KEYS, "password": password.encode()}).password == password


@given(
    st.binary(max_size=60),
    st.sampled_from(["uri", "host", "port", "database", "user", "password", "sslmode", "ca.crt"]),
)
def test_any_value_is_read_or_refused(value: bytes, key: str) -> None:
    try:
        target = read_target({**KEYS, key: value})
    except SecretError:
        return
    assert isinstance(target, Target)
