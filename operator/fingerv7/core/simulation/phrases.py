"""Changes in words, as people write them: `lose fingerv7-003`, `join 5 like fingerv7-001`, `capacity w* +10%`.

A phrase is a verb, names, and options written `key=value`; upper and lower case of verbs and keys do not matter.
Every refusal names what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fingerv7.contract import MAX_STREAMS, parse_duration
from fingerv7.core.row import WEIGHT_LIMIT
from fingerv7.core.simulation.changes import (
    MAX_ADDED,
    MAX_SCORE,
    Add,
    Change,
    ChangeError,
    Drain,
    Join,
    Lose,
    Remove,
    Resize,
    Score,
    Selection,
    did_you_mean,
    nearest,
)

DRIFT_STEPS: Final = 10
"""In how many steps a score drifts; the operator, too, smooths scores and looks at them now and then."""

_FORMS: Final = {
    "lose": "lose WORKER…",
    "leave": "leave WORKER…",
    "join": "join NAME or join 5 [like WORKER] [maxStreams=50] [location=…] [capabilities=a,b] [score=100]",
    "drain": "drain WORKER…",
    "undrain": "undrain WORKER…",
    "capacity": "capacity WORKER… 30, +10 or +10%",
    "score": "score WORKER… 60",
    "add": "add 100 streams [location=…] [capabilities=a,b] [weight=1]",
    "remove": "remove STREAM…, remove 100 streams or remove 10% streams",
}
_ACCEPTED: Final = "; ".join(_FORMS.values())
_WORKERS: Final = "WORKER is a name, a pattern such as fingerv7-00*, or location=NAME"


@dataclass(frozen=True, slots=True)
class Drift:
    """A score that changes little by little; only something that has a time axis can do it."""

    workers: Selection
    start: int
    end: int
    over_ms: int

    def steps(self) -> Iterator[tuple[int, Score]]:
        """Milliseconds from its beginning, and the score from then on."""
        for n in range(DRIFT_STEPS + 1):
            percent = round(self.start + (self.end - self.start) * n / DRIFT_STEPS)
            yield self.over_ms * n // DRIFT_STEPS, Score(self.workers, percent)


def parse(phrase: str) -> Change:
    """A change that happens at once. Raises ChangeError."""
    change = parse_event(phrase)
    if isinstance(change, Drift):
        raise ChangeError(f"{phrase!r} takes time; write score WORKER… 60 here, or put it into a scenario")
    return change


def parse_event(phrase: str) -> Change | Drift:
    """A change as a scenario may have it. Raises ChangeError."""
    words = phrase.split()
    if not words:
        raise ChangeError(f"a change is empty; accepted are: {_ACCEPTED}")
    verb = words[0].lower()
    read = _READERS.get(verb)
    if read is None:
        near = nearest(verb, _FORMS)
        meant = f"did you mean {_FORMS[near]}?" if near else f"accepted are: {_ACCEPTED}"
        raise ChangeError(f"{phrase!r} is no change; {meant}")
    return read(_Words(phrase, verb, words[1:]))


class _Words:
    """The rest of a phrase: plain words, and options."""

    def __init__(self, phrase: str, verb: str, words: Sequence[str]) -> None:
        self.phrase = phrase
        self.verb = verb
        self.plain = [word.strip(",") for word in words if "=" not in word and word.strip(",")]
        self._options = {}
        for word in words:
            if "=" in word:
                key, _, value = word.partition("=")
                self._options[key] = value.strip(",")

    def wrong(self, what: str) -> ChangeError:
        hint = f"; {_WORKERS}" if "WORKER…" in _FORMS[self.verb] else ""
        return ChangeError(f"{self.phrase!r}: {what}; write {_FORMS[self.verb]}{hint}")

    def options(self, *known: str) -> Mapping[str, str]:
        """By their exact spelling."""
        spelled = {key.lower(): key for key in known}
        for key in self._options:
            if key.lower() not in spelled:
                accepted = f"; accepted are {', '.join(known)}" if known else ""
                near = did_you_mean(key, known) or accepted
                raise ChangeError(f"{self.phrase!r}: {key}= means nothing here{near}")
        return {spelled[key.lower()]: value for key, value in self._options.items()}

    def workers(self, names: Sequence[str]) -> Selection:
        location = self.options("location").get("location")
        if not names and location is None:
            raise self.wrong("no worker is named")
        return Selection(tuple(name for word in names for name in word.split(",") if name), location)

    def number(self, text: str, what: str, low: int, high: int) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise self.wrong(f"{what} is {text}, and not a whole number from {low} to {high}")
        return int(text)


def _lose(words: _Words) -> Change:
    return Lose(words.workers(words.plain))


def _drain(words: _Words) -> Change:
    return Drain(words.workers(words.plain))


def _undrain(words: _Words) -> Change:
    return Drain(words.workers(words.plain), on=False)


def _capacity(words: _Words) -> Change:
    *names, amount = words.plain or [""]
    match = re.fullmatch(r"([+-]?)([0-9]{1,6})(%?)", amount)
    if not match or (match[3] and not match[1]):
        raise words.wrong("no capacity is given" if not amount or amount[0].isalpha() else f"{amount} is no capacity")
    sign, digits, percent = match.groups()
    value = int(digits) * (-1 if sign == "-" else 1)
    if not sign:
        words.number(digits, "the capacity", 1, MAX_STREAMS)
    return Resize(words.workers(names), value, relative=bool(sign), percent=bool(percent))


def _score(words: _Words) -> Change | Drift:
    match words.plain:
        case [*names, scores, "over", time] if ".." in scores:
            start, _, end = scores.partition("..")
            try:
                over_ms = parse_duration(time)
            except ValueError as error:
                raise words.wrong(str(error)) from None
            return Drift(words.workers(names), _percent(words, start), _percent(words, end), over_ms)
        case [*names, scores] if ".." not in scores:
            return Score(words.workers(names), _percent(words, scores))
    raise words.wrong("that is no score (a score that drifts is written score WORKER… 100..60 over 30m)")


def _percent(words: _Words, text: str) -> int:
    return words.number(text.removesuffix("%"), "the score", 1, MAX_SCORE)


def _join(words: _Words) -> Change:
    given = words.options("maxStreams", "location", "capabilities", "score")
    like: str | None = None
    match words.plain:
        case [first]:
            pass
        case [first, "like", like] | [first, ("worker" | "workers"), "like", like]:
            pass
        case [first, ("worker" | "workers")] if first.isdigit():
            pass
        case _:
            raise words.wrong("that is not one name, or one number")
    several = first.isdigit()
    return Join(
        name=None if several else first,
        number=words.number(first, "the number of workers", 1, 100_000) if several else 1,
        like=like,
        max_streams=_given(words, given, "maxStreams", MAX_STREAMS),
        location=given.get("location"),
        capabilities=_capabilities(given["capabilities"]) if "capabilities" in given else None,
        score_percent=_given(words, given, "score", MAX_SCORE),
    )


def _add(words: _Words) -> Change:
    given = words.options("location", "capabilities", "weight")
    match words.plain:
        case [number] | [number, ("stream" | "streams")]:
            return Add(
                words.number(number, "the number of streams", 1, MAX_ADDED),
                location=given.get("location", ""),
                capabilities=_capabilities(given.get("capabilities", "")),
                weight=_given(words, given, "weight", WEIGHT_LIMIT) or 1,
            )
    raise words.wrong("that is not one number of streams")


def _remove(words: _Words) -> Change:
    words.options()
    plain = " ".join(words.plain)
    if match := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?) ?%(?: streams?)?", plain):
        percent = float(match[1])
        if not 0 < percent <= 100:
            raise words.wrong(f"{match[1]} % is not more than nothing and at most everything")
        return Remove(percent=percent)
    if match := re.fullmatch(r"([0-9]+) streams?", plain):
        return Remove(number=words.number(match[1], "the number of streams", 1, MAX_ADDED))
    if not words.plain:
        raise words.wrong("no stream is named")
    return Remove(ids=tuple(words.plain))


def _given(words: _Words, given: Mapping[str, str], key: str, high: int) -> int | None:
    return words.number(given[key].removesuffix("%"), key, 1, high) if key in given else None


def _capabilities(text: str) -> frozenset[str]:
    return frozenset(word for word in re.split(r"[,;]", text) if word)


_READERS: Final[Mapping[str, Callable[[_Words], Change | Drift]]] = {
    "lose": _lose,
    "leave": _lose,
    "join": _join,
    "drain": _drain,
    "undrain": _undrain,
    "capacity": _capacity,
    "score": _score,
    "add": _add,
    "remove": _remove,
}
