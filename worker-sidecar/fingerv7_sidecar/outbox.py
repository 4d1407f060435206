"""What is to be done about the event that is being handled: each part of the protocol adds to it, in order."""

from __future__ import annotations

from fingerv7_sidecar.events import Action, Level, Note


class Outbox:
    """The actions of one event, and the serial numbers of requests."""

    def __init__(self) -> None:
        self._actions: list[Action] = []
        self._serial = 0

    def add(self, action: Action) -> None:
        self._actions.append(action)

    def note(self, event: str, level: Level = "info", **fields: object) -> None:
        self.add(Note(event, fields, level))

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
