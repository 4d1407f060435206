"""Whatever the API server takes can be read, as far down as any pool that is accepted goes."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.adapters.kube import shallow

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


parsers = pytest.mark.parametrize("parse", [json.loads, orjson.loads], ids=["json", "orjson"])


@parsers
@given(value=JSON)
def test_what_is_cut_is_only_what_is_too_deep(parse, value):
    text = json.dumps(value)
    assert shallow.loads(text, parse) == shallow.loads(text.encode(), parse) == value
    assert shallow._cut(text) == text
    deep = "[" * 2_000 + "]" * 2_000
    assert shallow.loads(f'[{text}, {deep}, {text}, {{"a": {deep}}}, {text}]', parse)[::2] == [value] * 3


@parsers
@pytest.mark.parametrize("text", ['{"a": }', b"<html>", b'{"a": "\xff"}'])
def test_what_is_no_json_is_an_error(parse, text):
    with pytest.raises(ValueError, match=r"Expecting value|codec can't decode"):
        shallow.loads(text, parse)
