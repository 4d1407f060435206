"""The process as far as it needs no cluster."""

from __future__ import annotations

import asyncio
import getpass
import ssl

import pytest

from fingerv7.adapters.kube.credentials import Credentials, RereadToken
from fingerv7.runtime import main
from fingerv7.runtime.feed import PoolFeed
from fingerv7.runtime.settings import Settings


async def test_a_user_without_a_name_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    nobody_there = Credentials("https://127.0.0.1:1", ssl.create_default_context(), RereadToken(lambda _: None))
    async with main._kopf(Settings(namespace="ops"), nobody_there, PoolFeed(), asyncio.Event()) as serving:
        ended, _ = await asyncio.wait({serving}, timeout=0.5)
        assert not ended
