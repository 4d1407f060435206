"""One term of leadership: its epoch, its tokens, and the right to write.

`leader_epoch` = max(resourceVersion of the write that acquired the election Lease, highest stored + 1), so that
it grows from term to term even when somebody deletes the Lease (design section 4, "Leaders").
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from fingerv7.core.model import Assignment, Token, Worker


class SupersededError(Exception):
    """A newer leader has written: this process must exit before it writes anything more."""


class Term:
    """What every write of this leader carries or asks first.

    `acquired_at`: the resourceVersion of the write that acquired the election Lease.
    """

    def __init__(self, acquired_at: int, *, may_write: Callable[[], bool]) -> None:
        self.leader_epoch = acquired_at
        self._may_write = may_write
        self._sequence = itertools.count(1)
        self._one_at_a_time = threading.Lock()
        self.unknown: dict[str, list[Assignment]] = {}
        """By FingerWorker UID, the writes whose outcome is not known. A pool's loop may end and begin anew within a
        term; what it left in flight is open all the same."""

    def begin(self, highest_stored: int) -> None:
        """Before the first write: also above every stored epoch, should the cluster be a restored one."""
        self.leader_epoch = max(self.leader_epoch, highest_stored + 1)

    @property
    def may_write(self) -> bool:
        """False as soon as the election Lease could not be renewed in time."""
        return self._may_write()

    def check(self, worker: Worker) -> None:
        """Raises SupersededError when a newer leader has written this worker."""
        if worker.assignment.leader_epoch > self.leader_epoch:
            raise SupersededError(f"FingerWorker {worker.name} carries leaderEpoch {worker.assignment.leader_epoch}")

    def next_token(self) -> Token:
        """Greater than all before it, whichever pool's loop asks, from whatever thread."""
        with self._one_at_a_time:
            return Token(self.leader_epoch, next(self._sequence))
