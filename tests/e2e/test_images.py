"""How large the images are: every node has them, and the sidecar's as often as it has workers."""

from __future__ import annotations

import os

import pytest

from devenv.images import build_images
from devenv.progress import print_progress
from devenv.surroundings import here

from .conftest import IMAGES_VARIABLE

GOALS_MB = {"operator": 150, "worker-sidecar": 80}
"""Uncompressed, above the base."""


@pytest.mark.parametrize("target", GOALS_MB)
def test_an_image_adds_little_to_its_base(uncaptured: None, target: str) -> None:
    if os.environ.get(IMAGES_VARIABLE):
        pytest.skip("these images were built elsewhere")
    added_mb = build_images(here(), print_progress)[target].added_mb()
    if added_mb is None:
        pytest.skip("nobody knows where the engine's base ends")
    print(f"{target}: {added_mb:.1f} MB")
    assert 0 < added_mb <= GOALS_MB[target]
