"""The rows that demo and tests put into the streams table (`devenv.streams`), and the fleet that is sized for them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devenv.demo_story import capacities
from devenv.errors import DevenvError
from devenv.streams import Row, invent, read_csv


def _csv(folder: Path, content: str | bytes) -> Path:
    path = folder / "streams.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_the_named_columns_in_any_order_and_ignores_others(tmp_path: Path) -> None:
    path = _csv(tmp_path, 'url,bitrate,tags,id,name,country\nhttp://a,128,"x,y",1,Rádio,Brazil\nhttp://b,,,2,B,\n')
    assert read_csv(path) == [
        Row("1", "Rádio", "http://a", {"country": "Brazil", "bitrate": "128"}),
        Row("2", "B", "http://b", {}),
    ]


def test_a_byte_order_mark_of_a_spreadsheet_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert read_csv(_csv(tmp_path, b"\xef\xbb\xbfid,name,url\n1,A,http://a\n"))[0].id == "1"


def test_bad_addresses_are_kept_for_the_operator_to_judge(tmp_path: Path) -> None:
    assert read_csv(_csv(tmp_path, "id,name,url\n1,A,nonsense\n2,B,\n"))[1].url == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,name\n1,A\n", "lacks the column"),
        ("", "lacks the column"),
        ("id,name,url\n1,A,http://a\n1,B,http://b\n", "an id of its own"),
        ("id,name,url\n,A,http://a\n", "an id of its own"),
        ("id,name,url\n", "no rows"),
        (b"id,name,url\n1,\xff\xfe,http://a\n", "UTF-8"),
    ],
    ids=["no url column", "empty file", "an id twice", "an empty id", "no rows", "not UTF-8"],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(DevenvError, match=says):
        read_csv(_csv(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevenvError, match=r"absent\.csv"):
        read_csv(tmp_path / "absent.csv")


def test_invented_rows_are_the_same_everywhere_and_reach_nobody() -> None:
    rows = invent(2000)
    assert rows == invent(2000)
    assert invent(3, first=11) == rows[10:13]
    assert len({row.id for row in rows}) == len({row.url for row in rows}) == 2000
    assert all((urlsplit(row.url).hostname or "").endswith(".example.org") for row in rows)


@pytest.mark.parametrize("rows", [1, 100, 847, 2131, 10_000])
def test_the_fleet_has_room_while_one_of_its_largest_workers_is_dead(rows: int) -> None:
    sizes = capacities(rows)
    left = sum(sizes) - max(sizes)
    assert len(sizes) >= 8
    assert max(sizes) <= 1000
    assert left >= 1.3 * rows
    assert left <= 1.4 * rows + 5 * len(sizes)


def test_the_usual_fleet_has_eight_workers_of_three_sizes() -> None:
    assert len(capacities(847)) == 8
    assert len(set(capacities(847))) == 3
