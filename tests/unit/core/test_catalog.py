from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.core.catalog import FETCH_LIMIT, STREAM_LIMIT, CatalogReader, Snapshot, read_rows, stream_size
from fingerv7.core.model import Token

URL = "https://radio.example/live.mp3"


def row(**values: Any) -> dict[str, Any]:
    return {"id": "1", "url": URL, "name": "One", "active": True, **values}


def read(*rows: dict[str, Any]) -> Snapshot:
    return read_rows(rows, identity="db")


def only(snapshot: Snapshot) -> Any:
    assert not snapshot.quarantined
    return next(iter(snapshot.streams.values()))


def reason(snapshot: Snapshot) -> str:
    assert not snapshot.streams
    return snapshot.quarantined[0].reason


class TestGoodRows:
    def test_a_row_becomes_a_stream_with_everything_it_says(self) -> None:
        stream = only(
            read(row(location=" de ", capabilities=["hls", "aac"], weight=3, metadata='{"country":"Taiwan"}'))
        )
        assert (stream.id, stream.url, stream.name, stream.weight, stream.location) == ("1", URL, "One", 3, "de")
        assert stream.capabilities == {"hls", "aac"}
        assert stream.metadata == {"country": "Taiwan"}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (7, "7"),
            (-7, "-7"),
            (0, "0"),
            ("a/b ü", "a/b ü"),
            (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (b"bytes", "bytes"),
            ("x" * 253, "x" * 253),
        ],
    )
    def test_ids_of_any_printable_type_are_kept(self, value: object, expected: str) -> None:
        assert only(read(row(id=value))).id == expected

    @pytest.mark.parametrize(
        "url",
        [
            "http://a",
            "HTTPS://A/b",
            "http://user:pw@host.example:8000/x;stream?a=b&c=d#e",
            "http://user:p@ss@host/",
            "http://[2001:db8::1]:8000/",
            "http://192.0.2.1:1/",
            "http://radio.example/my stream.mp3",
            "http://rädio.example/ü",
            "http://a?b",
        ],
    )
    def test_http_urls_are_served_verbatim(self, url: str) -> None:
        assert only(read(row(url=url))).url == url

    def test_text_may_come_as_the_bytes_the_database_holds(self) -> None:
        stream = only(
            read(
                {
                    k: v.encode() if isinstance(v, str) else v
                    for k, v in row(name="Hit 聯播網", metadata='{"a":"ü"}').items()
                }
            )
        )
        assert (stream.name, stream.metadata) == ("Hit 聯播網", {"a": "ü"})

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, {}),
            ("", {}),
            ("{}", {}),
            ("null", {}),
            ({"a": "b"}, {"a": "b"}),
            (
                '{"a": 1, "b": 1.10, "c": true, "d": false, "e": null}',
                {"a": "1", "b": "1.10", "c": "true", "d": "false"},
            ),
            ({"a": 1, "b": 1.5, "c": True, "d": None}, {"a": "1", "b": "1.5", "c": "true"}),
            ('{"a": "x\\ty"}', None),
            ('{"a": "\\u0000"}', None),
            ('{"a": {"b": 1}}', None),
            ('{"a": [1]}', None),
            ('{"": "x"}', None),
            ("[]", None),
            ("{", None),
            ("[" * 3000, None),
            (json.dumps({str(i): "x" for i in range(16)}), {str(i): "x" for i in range(16)}),
            (json.dumps({str(i): "x" for i in range(17)}), None),
            (7, None),
        ],
    )
    def test_metadata_is_a_flat_map_of_texts(self, value: object, expected: dict[str, str] | None) -> None:
        snapshot = read(row(metadata=value))
        if expected is None:
            assert reason(snapshot) in {"InvalidMetadata", "ControlCharacters"}
        else:
            assert only(snapshot).metadata == expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(None, 1), (1, 1), ("1000", 1000), (b"20.00", 20), (2.0, 2)],
    )
    def test_weights_are_whole_numbers(self, value: object, expected: int) -> None:
        assert only(read(row(weight=value))).weight == expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(None, set()), ("", set()), ("a, b,,a", {"a", "b"}), (["a", None], {"a"}), (b"hls_v2.1", {"hls_v2.1"})],
    )
    def test_capabilities_are_an_array_or_a_list_with_commas(self, value: object, expected: set[str]) -> None:
        assert only(read(row(capabilities=value))).capabilities == expected


class TestInactiveRows:
    @pytest.mark.parametrize("active", [False, None, 0, "f", "no", b"false", ""])
    def test_what_is_not_active_is_counted_whatever_else_is_wrong_with_it(self, active: object) -> None:
        snapshot = read(row(active=active, url="", id=None))
        assert (snapshot.inactive, snapshot.quarantined) == (1, ())

    @pytest.mark.parametrize("active", [True, 1, "t", "Yes", b"on"])
    def test_truth_is_spelled_in_many_ways(self, active: object) -> None:
        assert len(read(row(active=active)).streams) == 1

    @pytest.mark.parametrize("active", [2, "maybe", 1.5, [True]])
    def test_what_is_neither_true_nor_false_is_quarantined(self, active: object) -> None:
        assert reason(read(row(active=active))) == "InvalidActive"

    @pytest.mark.parametrize(
        ("status", "served"),
        [("active", 1), (" ACTIVE", 1), (b"Active", 1), ("deleted", 0), ("disabled", 0), ("", 0), (None, 0)],
    )
    def test_a_status_column_has_to_say_active_as_well(self, status: object, served: int) -> None:
        snapshot = read(row(status=status))
        assert (len(snapshot.streams), snapshot.inactive) == (served, 1 - served)


class TestBadRows:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"id": None}, "NoId"),
            ({"id": ""}, "NoId"),
            ({"id": "  "}, "NoId"),
            ({"id": "x" * 254}, "InvalidId"),
            ({"id": 1.5}, "InvalidId"),
            ({"id": True}, "InvalidId"),
            ({"id": "a\x00b"}, "ControlCharacters"),
            ({"id": "a\ud800"}, "InvalidText"),
            ({"id": b"\xff\xfe"}, "InvalidText"),
            ({"url": None}, "EmptyUrl"),
            ({"url": ""}, "EmptyUrl"),
            ({"url": "   "}, "EmptyUrl"),
            ({"url": "ftp://host/"}, "InvalidUrl"),
            ({"url": "http://"}, "InvalidUrl"),
            ({"url": "http:///path"}, "InvalidUrl"),
            ({"url": "https://user:pw@/"}, "InvalidUrl"),
            ({"url": "http://host:99999/"}, "InvalidUrl"),
            ({"url": "http://host:port/"}, "InvalidUrl"),
            ({"url": " http://host/"}, "InvalidUrl"),
            ({"url": "http://ho st/"}, "InvalidUrl"),
            ({"url": "javascript:alert(1)//http://host/"}, "InvalidUrl"),
            ({"url": "http://host/\n"}, "ControlCharacters"),
            ({"url": "http://host/\x00"}, "ControlCharacters"),
            ({"url": "http://host/\x85"}, "ControlCharacters"),
            ({"url": b"http://host/\xe9"}, "InvalidText"),
            ({"url": 7}, "InvalidText"),
            ({"url": "http://host/" + "x" * 1_000_000}, "TooLarge"),
            ({"url": "http://host/" + "x" * STREAM_LIMIT}, "TooLarge"),
            ({"name": "a\tb"}, "ControlCharacters"),
            ({"name": b"caf\xe9"}, "InvalidText"),
            ({"name": "ü" * 500}, "TooLarge"),
            ({"metadata": {"a": "x" * 1000}}, "TooLarge"),
            ({"metadata": "x" * (FETCH_LIMIT + 1)}, "TooLarge"),
            ({"location": "x" * 64}, "InvalidLocation"),
            ({"weight": 0}, "InvalidWeight"),
            ({"weight": 1001}, "InvalidWeight"),
            ({"weight": "heavy"}, "InvalidWeight"),
            ({"weight": True}, "InvalidWeight"),
            ({"weight": float("nan")}, "InvalidWeight"),
            ({"capabilities": "a b"}, "InvalidCapabilities"),
            ({"capabilities": 3}, "InvalidCapabilities"),
            ({"capabilities": ["x" * 64]}, "InvalidCapabilities"),
            ({"capabilities": [str(i) for i in range(17)]}, "InvalidCapabilities"),
        ],
        ids=lambda value: repr(value)[:40],
    )
    def test_is_quarantined_with_the_reason(self, values: dict[str, Any], expected: str) -> None:
        assert reason(read(row(**values))) == expected

    def test_a_number_too_long_to_be_an_id_is_refused_before_it_is_printed(self) -> None:
        assert reason(read(row(id=1 << 20_000))) == "InvalidId"

    def test_does_not_stop_the_others(self) -> None:
        snapshot = read(row(id="1"), row(id="2", url=""), row(id="3"))
        assert sorted(snapshot.streams) == ["1", "3"]
        assert [(q.id, q.reason) for q in snapshot.quarantined] == [("2", "EmptyUrl")]

    def test_no_message_repeats_the_url(self) -> None:
        for url in ("ftp://u:hunter2@h/?key=hunter2", "http://u:hunter2@h/\n", "http://u:hunter2@h/" + "x" * 2000):
            assert "hunter2" not in str(read(row(url=url)).quarantined)

    @pytest.mark.parametrize("value", ["x" * 10_000, b"\xff" * 10_000, "\x00\x1b[31m", object()])
    def test_its_id_can_be_shown(self, value: object) -> None:
        (bad,) = read(row(id=value, url="")).quarantined
        assert len(bad.id) <= 64
        assert bad.id.isprintable()


class TestDuplicates:
    def test_one_of_the_rows_with_an_id_is_served_whatever_their_order(self) -> None:
        rows = [row(url=URL + "b"), row(url=URL + "a", name="z"), row(url=URL + "a", name="y"), row(id="2")]
        forward, backward = read(*rows), read(*reversed(rows))
        assert forward == backward
        assert (forward.streams["1"].url, forward.streams["1"].name) == (URL + "a", "y")
        assert [(q.id, q.reason) for q in forward.quarantined] == [("1", "DuplicateId")] * 2

    def test_a_bad_or_inactive_row_does_not_take_the_place_of_a_good_one(self) -> None:
        snapshot = read(row(url=""), row(active=False), row())
        assert (len(snapshot.streams), len(snapshot.quarantined), snapshot.inactive) == (1, 1, 1)

    def test_a_number_and_its_text_are_one_id(self) -> None:
        assert len(read(row(id=1), row(id="1")).streams) == 1

    def test_duplicate_urls_are_served_and_counted(self) -> None:
        snapshot = read(row(id="1"), row(id="2"), row(id="3"), row(id="4", url=URL + "x"))
        assert (len(snapshot.streams), snapshot.duplicate_urls) == (4, 2)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.text(alphabet=st.characters(), max_size=5),
    st.binary(max_size=20),
    st.uuids(),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(), st.none()), max_size=3),
    st.sampled_from(
        ["http://a/", "https://u:p@b:1/?q", "1", "2", "{}", '{"a":1}', "x" * 5000, b"\xff", "\x00", "\ud800"]
    ),
)
columns = ("id", "url", "name", "active", "status", "location", "capabilities", "weight", "metadata")
any_row = st.dictionaries(st.sampled_from(columns), anything)
likely_row = st.builds(
    lambda base, odd: {**base, **odd},
    st.fixed_dictionaries(
        {"id": st.sampled_from("abc"), "url": st.sampled_from(["http://a/", "http://b/"]), "active": st.just(True)}
    ),
    st.dictionaries(st.sampled_from(columns), anything, max_size=2),
)


@settings(deadline=None)
@given(st.lists(st.one_of(any_row, likely_row), max_size=12))
def test_whatever_the_rows_hold_nothing_is_raised_and_nothing_is_lost(rows: list[dict[str, Any]]) -> None:
    snapshot = read_rows(rows, identity="db")
    assert len(snapshot.streams) + len(snapshot.quarantined) + snapshot.inactive == len(rows)
    for stream_id, stream in snapshot.streams.items():
        assert stream_id == stream.id
        assert 0 < stream.size <= STREAM_LIMIT
        assert len(stream.id) <= 253
        json.dumps([stream.id, stream.url, stream.name, dict(stream.metadata)]).encode()
    for bad in snapshot.quarantined:
        assert bad.id.isprintable()
        assert bad.reason.isalpha()
        assert bad.message


@settings(deadline=None)
@given(st.lists(likely_row, max_size=8).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_rows_and_how_they_are_portioned_do_not_matter(
    orders: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    rows, shuffled = orders
    portions = CatalogReader()
    for one in shuffled:
        portions.add([one])
    assert portions.snapshot("db") == read_rows(rows, identity="db")


# --- the size of a stream ---------------------------------------------------------------------------------

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    texts, texts, texts, st.integers(1, 1000), texts, st.frozensets(texts, max_size=3), st.dictionaries(texts, texts)
)
def test_the_size_is_what_the_api_server_stores(
    stream_id: str,
    url: str,
    name: str,
    weight: int,
    location: str,
    capabilities: frozenset[str],
    metadata: dict[str, str],
) -> None:
    entry: dict[str, Any] = {"id": stream_id, "url": url, "name": name, "token": str(Token(1, 1))}
    if weight != 1:
        entry["weight"] = weight
    if location:
        entry["location"] = location
    if capabilities:
        entry["capabilities"] = sorted(capabilities)
    if metadata:
        entry["metadata"] = metadata
    text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False) + ","
    for character in "&<>\u2028\u2029":  # as Go's encoder writes them
        text = text.replace(character, f"\\u{ord(character):04x}")
    assert stream_size(
        stream_id, url, name, weight=weight, location=location, capabilities=capabilities, metadata=metadata
    ) == len(text.encode())
