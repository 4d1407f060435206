from __future__ import annotations

import pytest

from .memory_api import MemoryApi


@pytest.fixture
def memory_api() -> MemoryApi:
    return MemoryApi()
