"""What docs/workers.md promises: the shell line of the liveness probe, and that no setting or metric is left out."""

from __future__ import annotations

import inspect
import pathlib
import re
import subprocess

import pytest

from fingerv7.contract import Fence
from fingerv7_sidecar import settings, status
from fingerv7_sidecar.clock import read_boot_id, read_clock

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "workers.md").read_text(encoding="utf-8")


def probe(path):
    line = next(line for line in PAGE.splitlines() if line.startswith("read s d b"))
    command = line.replace("/config/fence", str(path))
    return subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=10).returncode == 0


@pytest.mark.parametrize(("age_s", "holds"), [(0.0, True), (10.5, True), (12.1, False), (-60.0, False)])
def test_the_probe_judges_by_the_age(tmp_path, age_s, holds):
    sent = read_clock().boot - age_s
    (tmp_path / "fence").write_text(str(Fence(sent, 12.0, read_boot_id())), encoding="ascii")
    assert probe(tmp_path / "fence") is holds


@pytest.mark.parametrize(
    "text", ["", "\n", "12", "a b c", "0.000 0.000 {boot}", "{sent} 12.000 another-boot", "{sent}"]
)
def test_the_probe_fails_for_any_other_file(tmp_path, text):
    text = text.format(boot=read_boot_id(), sent=f"{read_clock().boot:.3f}")
    (tmp_path / "fence").write_text(text + "\n", encoding="ascii")
    assert not probe(tmp_path / "fence")


def test_the_probe_fails_without_a_file(tmp_path):
    assert not probe(tmp_path / "fence")


def test_every_setting_is_in_the_table_and_no_other():
    read = set(re.findall(r'"([A-Z][A-Z_]{2,})"', inspect.getsource(settings)))
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) == read


def test_every_metric_is_in_the_table():
    names = re.findall(r'"([a-z_]+)",\s*"(?:gauge|counter)"', inspect.getsource(status))
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in PAGE] == []
