"""A network namespace whose link to this machine can lose every packet, as a dead switch or a forgetful firewall does.

A silent `wire` still takes what is sent to it. Here no SYN is answered and no byte acknowledged, so whoever clings to
an old connection waits for TCP's next attempt, which comes later and later. The namespace lives as long as a process
that ends with this one, and the link as long as the namespace: nothing stays behind, nothing of this machine is changed.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Self

from devenv.errors import CommandError, Missing, MissingRequirementsError
from devenv.fleet_process import Process, python_environment
from devenv.fleet_setup import DeadlineError, poll_until
from devenv.packages import Tool, install_tools
from devenv.progress import print_progress
from devenv.surroundings import here

_PURPOSE = "a network namespace whose packets are lost"
_TOOLS = (
    Tool("ip", "iproute2"),
    Tool("nft", "nftables"),
    Tool("nsenter", "util-linux"),
    Tool("unshare", "util-linux"),
)
_INSIDE = "link0"
_LOSS = f"""
table inet loss {{
  chain input {{ type filter hook input priority 0; iifname "{_INSIDE}" drop; }}
  chain output {{ type filter hook output priority 0; oifname "{_INSIDE}" drop; }}
}}
"""


class Island:
    """From `with` to its end. `through` lets a process live there, `address` is this machine as it is seen from there.

    Raises MissingRequirementsError where this user or machine cannot have one, CommandError with the kernel's words.
    """

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            how = "sudo -E make faults, or leave it out: make faults ARGS='--deselect tests/faults/test_packets.py'"
            raise MissingRequirementsError(_PURPOSE, [Missing("root", how)])
        self._tools = install_tools(_TOOLS, _PURPOSE, here(), print_progress)
        # 198.18.0.0/15 is set aside for tests of networks (RFC 2544); four addresses of it at random are free.
        number = random.randrange(1 << 15)
        prefix = f"198.{18 + (number >> 14)}.{number >> 6 & 255}"
        self.address, self._inside = (f"{prefix}.{4 * (number & 63) + end}" for end in (1, 2))
        self._name = f"island-{number:x}"
        argv = [str(self._tools["unshare"]), "--net", "sleep", "infinity"]
        self._holder = Process("island", argv, python_environment(), folder / "island.log")

    @property
    def through(self) -> tuple[str, ...]:
        return (str(self._tools["nsenter"]), f"--net=/proc/{self._holder.pid}/ns/net")

    def cut(self) -> None:
        """From now on every packet is lost, in both directions, and nobody is told."""
        self._run(*self.through, str(self._tools["nft"]), "-f", "-", stdin=_LOSS)

    def mend(self) -> None:
        self._run(*self.through, str(self._tools["nft"]), "delete", "table", "inet", "loss")

    def __enter__(self) -> Self:
        self._holder.start()
        try:
            self._connect()
        except BaseException:
            self._holder.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()

    def _connect(self) -> None:
        own = Path("/proc/self/ns/net").readlink()
        there = Path(f"/proc/{self._holder.pid}/ns/net")
        found, _ = poll_until(lambda: there.readlink() != own, deadline_s=10.0)
        if not found:
            raise DeadlineError(f"no network namespace within 10 s:\n{self._holder.describe()}")
        ip = str(self._tools["ip"])
        peer = ("peer", "name", _INSIDE, "netns", str(self._holder.pid))
        self._run(ip, "link", "add", self._name, "type", "veth", *peer)
        self._run(ip, "address", "add", f"{self.address}/30", "dev", self._name)
        self._run(ip, "link", "set", self._name, "up")
        self._run(*self.through, ip, "address", "add", f"{self._inside}/30", "dev", _INSIDE)
        for name in ("lo", _INSIDE):
            self._run(*self.through, ip, "link", "set", name, "up")

    def _run(self, *argv: str, stdin: str = "") -> None:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandError(argv, done.returncode, done.stderr)
