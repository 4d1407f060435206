"""The bridge of a node, made by the kernel in a network namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devenv.packages import Tool, install_tools
from devenv.progress import no_progress
from devenv.surroundings import here

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace"),
]

HACK = Path(__file__).parents[3] / "hack"
A_POD_COMES = """
import json, subprocess
from devenv.network import make_bridge

def addresses():
    links = json.loads(subprocess.run(["ip", "-json", "link"], check=True, capture_output=True).stdout)
    return {link["ifname"]: link["address"] for link in links}

bridge = make_bridge().bridge
before = addresses()[bridge]
port = ["link", "add", "port", "address", "02:00:00:00:00:00", "type", "veth", "peer", "pod"]
subprocess.run(["ip", *port], check=True)
subprocess.run(["ip", "link", "set", "port", "master", bridge, "up"], check=True)
assert addresses()["port"] < before, "one that the bridge would take"
print(before, addresses()[bridge])
"""


def test_pods_that_come_leave_the_bridge_its_address() -> None:
    install_tools((Tool("ip", "iproute2"), Tool("unshare", "util-linux")), "a bridge", here(), no_progress)
    found = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", A_POD_COMES],
        env={**os.environ, "PYTHONPATH": str(HACK)},
        check=True,
        capture_output=True,
        text=True,
    )
    before, after = found.stdout.split()
    assert after == before
