"""Asking a database from plain code."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_blocking(query: Coroutine[Any, Any, _T]) -> _T:
    """The query's result; in a thread of its own, since the caller's may be running an event loop."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, query).result()
