"""The judge's own account of whom workers died of."""

from __future__ import annotations

import pytest

from .deaths import Deaths

T = 4.0
URLS = {"s1": "http://radio.example/1"}


@pytest.mark.parametrize(
    ("died_s_after", "is_suspect"),
    [
        pytest.param((1.0, 2.0, 3.0), True, id="three died shortly after they had got it"),
        pytest.param((1.0, 2.0), False, id="only two died"),
        pytest.param((1.0, 2.0, 6 * T), False, id="the third one outlived it"),
        pytest.param((1.0, 2.0, -1.0), False, id="the third one had died before"),
    ],
)
def test_a_stream_is_suspect_when_three_workers_died_of_it(died_s_after: tuple[float, ...], is_suspect: bool) -> None:
    deaths = Deaths(T)
    for number, after in enumerate(died_s_after):
        granted = 100.0 * (number + 1)
        deaths.granted(f"w{number}", URLS, granted)
        deaths.died(f"w{number}", granted + after)
    assert deaths.suspects(URLS, 1000.0) == ({"s1"} if is_suspect else set())
    assert not deaths.suspects({"s1": "http://radio.example/another"}, 1000.0)


def test_one_worker_that_dies_three_times_is_one() -> None:
    deaths = Deaths(T)
    for at in (100.0, 200.0, 300.0):
        deaths.granted("w0", URLS, at)
        deaths.died("w0", at + 1.0)
    assert not deaths.suspects(URLS, 1000.0)


@pytest.mark.parametrize(("silent_s", "is_suspect"), [(T + 1.0, True), (T - 1.0, False)])
@pytest.mark.parametrize("is_back", [True, False])
def test_silence_for_t_is_a_death(silent_s: float, is_suspect: bool, is_back: bool) -> None:
    deaths = Deaths(T)
    for name in ("w0", "w1", "w2"):
        deaths.granted(name, URLS, 100.0)
        deaths.renewed(name, {"spec": {"renewTime": "one"}}, 101.0)
        deaths.renewed(name, {"spec": {"renewTime": "one"}}, 102.0)  # written, but not renewed
        if is_back:
            deaths.renewed(name, {"spec": {"renewTime": "two"}}, 101.0 + silent_s)
    assert deaths.suspects(URLS, 101.0 + silent_s) == ({"s1"} if is_suspect else set())
