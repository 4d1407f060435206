from __future__ import annotations

import pytest

from chartgen.readme import documented, readme

VALUES = """\
# No part of the table.

# -- How many.
replicas: 2
image:
  # -- Where it is.
  repository: here
  # -- Of the image;
  # `a|b`.
  tag: ""
# -- What it may have.
resources:
  limits:
    memory: 1Gi
"""


def test_each_comment_is_a_row_and_covers_what_is_below_it() -> None:
    rows = readme("before\n<!-- values -->\nafter", VALUES).splitlines()
    assert rows == [
        "before",
        "| value | default | |",
        "|---|---|---|",
        "| `replicas` | `2` | How many. |",
        "| `image.repository` | `here` | Where it is. |",
        "| `image.tag` | empty | Of the image; `a\\|b`. |",
        '| `resources` | `{"limits": {"memory": "1Gi"}}` | What it may have. |',
        "after",
    ]


def test_a_value_that_nobody_explained_is_named() -> None:
    with pytest.raises(ValueError, match=r"image\.digest has no comment"):
        list(documented("image:\n  digest: x\n"))
