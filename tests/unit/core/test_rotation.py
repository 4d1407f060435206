"""Turns: each stream once in a period, spread over it, whatever clocks and restarts do."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.rotation import PATIENCE, PORTIONS, Rota, latest_turn_s

DAY = 86_400.0
START = 1_790_000_000.0
STREAMS = [f"s{n}" for n in range(480)]


class Days:
    """A pool that looks every minute and moves what is due, as far as it is let."""

    def __init__(self, rota: Rota | None = None, *, every_s: float = DAY) -> None:
        self.rota = rota or Rota()
        self.every_s = every_s
        self.wall_s, self.now = START, 0.0
        self.moved: list[str] = []
        self.portions = 0
        self.writes = 0

    def due(self) -> tuple[str, ...]:
        return self.rota.due(STREAMS, every_s=self.every_s, cooldown_s=300.0, wall_s=self.wall_s, now=self.now)

    def pass_time(self, seconds: float, *, budget: int = 1000, stuck: frozenset[str] = frozenset()) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 60.0
            self.wall_s += 60.0
            due = self.due()
            if due:
                went = [i for i in due if i not in stuck][:budget]
                before = self.rota.through_s
                self.rota.moved(frozenset(went), every_s=self.every_s)
                self.moved += went
                self.portions += 1
                self.writes += self.rota.through_s != before


def test_nobody_is_due_when_rotation_begins():
    assert Days().due() == ()


def test_each_stream_has_its_turn_once_a_period():
    days = Days()
    days.due()
    days.pass_time(3 * DAY)
    turns = Counter(days.moved)
    # The end of the third day falls into a portion that is still open.
    assert set(turns.values()) <= {2, 3}
    assert sum(count == 3 for count in turns.values()) > 0.95 * len(STREAMS)


def test_turns_are_spread_over_the_period_in_few_portions():
    days = Days()
    days.due()
    days.pass_time(DAY)
    assert days.portions <= PORTIONS
    assert days.writes <= PORTIONS
    turns = [latest_turn_s(i, every_s=DAY, until_s=START) for i in STREAMS]
    by_quarter = Counter(int((turn - START) // (DAY / 4)) for turn in turns)
    assert min(by_quarter.values()) > len(STREAMS) / 4 * 0.7


def test_the_longest_waiting_come_first():
    days = Days()
    days.due()
    days.now += DAY / 10
    days.wall_s += DAY / 10
    due = days.due()
    turns = [latest_turn_s(i, every_s=DAY, until_s=days.wall_s) for i in due]
    assert turns == sorted(turns)
    assert len(due) > 10


def test_a_portion_stays_the_same_until_it_was_moved():
    days = Days()
    days.due()
    days.now += 3600
    days.wall_s += 3600
    due = days.due()
    days.now += 3600
    days.wall_s += 3600
    assert days.due() == due
    days.rota.moved(frozenset(due), every_s=DAY)
    assert not set(due) & set(days.due())


def test_a_portion_that_nobody_approves_is_renewed_at_last():
    days = Days()
    days.due()
    days.now += 3600
    days.wall_s += 3600
    due = days.due()
    days.now += DAY / PATIENCE
    days.wall_s += DAY / PATIENCE
    assert due != days.due()


def test_who_cannot_move_stays_due_for_a_while_and_is_moved_once():
    days, stuck = Days(), frozenset(STREAMS[:50])
    days.due()
    days.pass_time(DAY / 8, stuck=stuck)
    waiting = stuck & set(days.rota._portion) | stuck & set(due_after_an_hour(days))
    assert waiting
    days.pass_time(DAY / 8)
    assert set(waiting) <= set(days.moved)
    assert max(Counter(days.moved).values()) == 1


def due_after_an_hour(days: Days) -> tuple[str, ...]:
    days.now += 3600
    days.wall_s += 3600
    return days.due()


def test_who_never_can_move_keeps_nobody_else():
    stuck = frozenset(STREAMS[:50])
    days = Days()
    days.due()
    days.pass_time(2 * DAY, stuck=stuck)
    assert not stuck & set(days.moved)
    # Whose turn comes in the last minutes of the second day is in a portion still to come.
    assert sum(count >= 2 for count in Counter(days.moved).values()) > 0.9 * (len(STREAMS) - 50)
    assert days.rota.through_s is not None
    assert days.wall_s - days.rota.through_s <= DAY / PATIENCE + DAY / PORTIONS


def test_a_new_leader_goes_on_where_the_last_one_was():
    days = Days()
    days.due()
    days.pass_time(DAY / 2)
    successor = Days(Rota(through_s=days.rota.through_s))
    successor.wall_s, successor.now = days.wall_s + 7200, 12.0
    due = successor.due()
    assert due
    assert not set(due) & set(days.moved)


def test_after_a_long_absence_a_part_of_the_turns_is_made_up_for():
    days = Days(Rota(through_s=START - 400 * DAY))
    due = days.due()
    assert 0 < len(due) < len(STREAMS) / PATIENCE * 1.3


def test_a_clock_that_was_put_back_starts_anew():
    rota = Rota(through_s=START + 30 * DAY)
    days = Days(rota)
    assert days.due() == ()
    assert rota.through_s == START
    days.pass_time(DAY)
    assert len(set(days.moved)) > 0.9 * len(STREAMS)


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(0, 480)), max_size=30))
def test_jumping_clocks_never_make_a_stream_due_twice_in_a_portion(jumps):
    days = Days()
    for jump_s, budget in jumps:
        days.now += 3600.0
        days.wall_s += jump_s
        due = days.due()
        assert len(due) == len(set(due))
        days.rota.moved(frozenset(due[:budget]), every_s=DAY)
        assert len(days.rota._had) <= len(STREAMS)


def test_the_same_id_has_the_same_turn_in_every_process():
    assert latest_turn_s("s1", every_s=DAY, until_s=START) == latest_turn_s("s1", every_s=DAY, until_s=START + 1)
    assert round(latest_turn_s("4711", every_s=DAY, until_s=START) - START) == -24066
