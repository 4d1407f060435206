"""What users overrule by annotation of the StreamPool, and what they are told in return.

As with consent (see `consent`): annotations are the users', the status remembers which values were answered, and a
value that was removed may be used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fingerv7.api.streampool import StreamPool
from fingerv7.core.approval import mark
from fingerv7.core.override import Override
from fingerv7.core.rounds import Decision
from fingerv7.runtime.consent import News

_EVENTS: Final = {
    Override.RELEASE_TAKEOVERS: "TakeoversReleased",
    Override.END_BACK_OFF: "BackOffEnded",
    Override.RELEASE_STREAMS: "StreamsReleased",
}


class Overrides:
    """The annotations of one pool."""

    def __init__(self, pool: StreamPool) -> None:
        self._answered: dict[str, str] = dict(pool.status.answered_overrides or {})
        self._wanted: dict[Override, str] = {}
        self._news: list[News] = []
        self.look(pool)

    def look(self, pool: StreamPool) -> None:
        """The annotations as they are now."""
        values = {each: mark(pool.metadata.annotations.get(each, "")) for each in Override}
        self._wanted = {each: value for each, value in values.items() if value}
        self._answered = {name: value for name, value in self._answered.items() if name in self._wanted}

    @property
    def asked(self) -> dict[Override, str]:
        """What waits for an answer."""
        return {each: value for each, value in self._wanted.items() if self._answered.get(each) != value}

    def decided(self, decision: Decision, asked: Mapping[Override, str]) -> None:
        """A round has overruled something; `asked` is what it was asked."""
        for override, message in decision.overruled.items():
            value = asked[override]
            self._answered[override] = value
            self._news.append(News(_EVENTS[override], f"{message} (asked for by the annotation {override}={value})"))

    def status(self) -> dict[str, Any]:
        """The fields of the StreamPool's status; null takes out what is no more."""
        return {"answeredOverrides": {str(name): value for name, value in self._answered.items()} or None}

    def take_news(self) -> list[News]:
        """What has happened since this was last asked."""
        news, self._news = self._news, []
        return news
