from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fingerv7.cli.errors import CliError
from fingerv7.cli.planning.table_file import read_csv

STATIONS = Path(__file__).resolve().parents[5] / "shared" / "data" / "radio-stations.csv"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "streams.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def read(file, **columns):
    return read_csv(file, columns)[0]


def test_every_column_is_read(written):
    found = read(
        written(
            "id,url,name,active,status,location,capabilities,weight,metadata\n"
            '7,https://radio.example/7,Seven,true,active,berlin,"vpn,hd",3,"{""codec"": ""mp3""}"\n'
        )
    ).streams["7"]
    assert (found.name, found.location, found.weight) == ("Seven", "berlin", 3)
    assert (found.capabilities, found.metadata) == ({"vpn", "hd"}, {"codec": "mp3"})


@pytest.mark.parametrize("cell", ["vpn;hd", '"vpn,hd"', '"[""vpn"", ""hd""]"', '"vpn; hd"'])
def test_capabilities_come_in_several_spellings(written, cell):
    assert read(written(f"id,url,capabilities\n1,http://a,{cell}\n")).streams["1"].capabilities == {"vpn", "hd"}


def test_empty_cells_are_as_absent_ones(written):
    found = read(written("id,url,weight,capabilities,location,metadata\n1,http://a,,,,\n2,http://b\n")).streams
    assert [(s.weight, s.capabilities, s.location) for s in found.values()] == [(1, frozenset(), "")] * 2


def test_rows_are_judged_as_the_operator_judges_them(written):
    snapshot = read(
        written(
            b"id,url,active,weight\n"
            b"1,http://a,true,1\n"
            b",http://a,true,1\n"
            b"2,ftp://a,true,1\n"
            b"3,http://a,maybe,1\n"
            b"4,http://a,no,1\n"
            b"1,http://a,true,1\n"
            b"5,http://a,true,heavy\n"
            b"6,http://\xff\xfe,true,1\n"
            b"\n"
        )
    )
    assert list(snapshot.streams) == ["1"]
    assert snapshot.inactive == 1
    assert Counter(row.reason for row in snapshot.quarantined) == {
        "NoId": 1, "InvalidUrl": 1, "InvalidActive": 1, "DuplicateId": 1, "InvalidWeight": 1, "InvalidText": 1,
    }  # fmt: skip


def test_without_a_column_active_all_are(written):
    assert len(read(written("id,url\n1,http://a\n")).streams) == 1


def test_an_open_quote_spoils_one_row_and_not_the_file(written):
    text = 'id,url\n1,http://a\n2,"http://b\n' + "3,http://c\n" * 20_000
    snapshot = read(written(text))
    assert (list(snapshot.streams), len(snapshot.quarantined)) == (["1"], 1)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(written, delimiter):
    assert (
        len(read(written(f'"ID"{delimiter}url{delimiter}name\r\n1{delimiter}http://a{delimiter}A\r\n')).streams) == 1
    )


def test_columns_may_be_called_otherwise(written):
    file = written("station,url,country\n1,http://a,Taiwan\n")
    assert read(file, id="station", location="country").streams["1"].location == "Taiwan"
    with pytest.raises(CliError, match=r"has no column statoin; did you mean station\?"):
        read(file, id="statoin")


@pytest.mark.parametrize("text", ["", "name,link\nA,http://a\n", "\n", "PK\x03\x04\x00"])
def test_a_file_that_is_no_table_of_streams(written, text):
    with pytest.raises(CliError, match="has no column id and no column url; its first line must name id and url"):
        read(written(text))


def test_a_file_that_is_not_there():
    with pytest.raises(CliError, match=r"nowhere\.csv cannot be read: No such file or directory"):
        read("nowhere.csv")


def test_what_is_ignored_is_told(written):
    assert read_csv(written("id,url,tags,bitrate\n1,http://a,x,9\n"), {})[1][0].endswith("depends on: tags, bitrate")


def test_a_real_list_of_stations():
    if not STATIONS.exists():
        pytest.skip(f"there is no {STATIONS}: the list of real stations is not part of the repository")
    snapshot, _ = read_csv(str(STATIONS), {})
    assert len(snapshot.streams) + len(snapshot.quarantined) == 2131
