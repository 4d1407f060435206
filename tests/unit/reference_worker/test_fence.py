from __future__ import annotations

import time
from pathlib import Path

import pytest

from fingerv7.contract import Fence as Written
from reference_worker.fence import Fence

_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_holds_as_the_sidecar_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "fence"
    path.write_text(str(Written(sent_s=_now() - 1, fence_after_s=60, boot_id=_BOOT)))
    assert Fence(path).holds()


@pytest.mark.parametrize(
    ("age_s", "fence_after_s", "boot"),
    [(6.0, 5.0, _BOOT), (-60.0, 90.0, _BOOT), (0.0, 60.0, "another-boot")],
    ids=["it is over", "it was sent in the future", "it is from before a reboot"],
)
def test_does_not_hold_when(tmp_path: Path, age_s: float, fence_after_s: float, boot: str) -> None:
    path = tmp_path / "fence"
    path.write_text(str(Written(_now() - age_s, fence_after_s, boot)))
    assert not Fence(path).holds()


@pytest.mark.parametrize("text", [None, "", "1 2", "a b c", "\x00", f"1 2 {_BOOT} more"])
def test_nothing_is_allowed_by_a_file_that_is_missing_or_torn(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "fence"
    if text is not None:
        path.write_text(text)
    assert not Fence(path).holds()
