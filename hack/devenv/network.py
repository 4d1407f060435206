"""The network of one node: a bridge whose address the node, the API server and PostgreSQL share with the pods.

Pods talk to each other and to this machine, to nobody else: nothing is forwarded or masqueraded, and no setting of
the machine is changed. The service address of `kubernetes` is translated by one nftables table of our own, so that
no kube-proxy is needed. Each cluster takes the first pair of address ranges that is free.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from devenv.errors import CommandError, DevenvError

_MOST = 64
_PREFIX = "fingerv7-"
_RULES = """
table ip {table} {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{bridge}" ip daddr {service} tcp dport 443 dnat to {address}:{port}
  }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Network:
    """One of the numbered networks; everything about it follows from its number."""

    number: int

    @property
    def bridge(self) -> str:
        return f"{_PREFIX}{self.number}"

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network(f"10.213.{self.number}.0/24")

    @property
    def address(self) -> IPv4Address:
        """Of the bridge: the machine as pods see it."""
        return self.pods[1]

    @property
    def hardware_address(self) -> str:
        """Of the bridge. One without its own follows its ports' as pods come and go, and then those that are there do
        not find it for a second or two.
        """
        return "0a:58:" + self.address.packed.hex(":")

    @property
    def services(self) -> IPv4Network:
        return IPv4Network(f"10.214.{self.number}.0/24")

    @property
    def api_service(self) -> IPv4Address:
        """Of the service `kubernetes.default`, always the first one."""
        return self.services[1]

    @property
    def table(self) -> str:
        """The bridge's name as nftables takes it, without dashes."""
        return self.bridge.replace("-", "_")


def make_bridge() -> Network:
    """The first free network, its bridge up and with its address.

    Raises:
        DevenvError: there is none, or the kernel refuses a bridge; with its words.
    """
    taken = list(_networks_in_use())
    refusal = ""
    for number in range(_MOST):
        network = Network(number=number)
        if any(used.overlaps(wanted) for used in taken for wanted in (network.pods, network.services)):
            continue
        try:
            # Fails where the bridge exists, so two that start at the same time never share one.
            _run("ip", "link", "add", network.bridge, "address", network.hardware_address, "type", "bridge")
        except CommandError as error:
            if "File exists" in error.stderr:
                continue
            refusal = error.stderr.strip()
            break
        try:
            _run("ip", "address", "add", f"{network.address}/{network.pods.prefixlen}", "dev", network.bridge)
            _run("ip", "link", "set", network.bridge, "up")
        except CommandError:
            remove_network(number)
            raise
        return network
    if refusal:
        raise DevenvError(f"this kernel or user may not make a bridge: {refusal}")
    raise DevenvError(f"all {_MOST} address ranges 10.213.N.0/24 are in use; `make down ARGS=--all` frees ours")


def translate_api_service(network: Network, port: int) -> None:
    """Make the `kubernetes` service's address lead pods to the API server on the bridge's address."""
    rules = _RULES.format(
        table=network.table,
        bridge=network.bridge,
        service=network.api_service,
        address=network.address,
        port=port,
    )
    _run("nft", "-f", "-", stdin=rules)


def remove_network(number: int) -> None:
    """Bridge and rules; what is gone already is no error. The pods' interfaces go with their namespaces."""
    network = Network(number=number)
    for argv in (("nft", "delete", "table", "ip", network.table), ("ip", "link", "delete", network.bridge)):
        try:
            _run(*argv)
        except CommandError as error:
            if not any(words in error.stderr for words in ("No such file", "Cannot find device")):
                raise


def cni_configuration(network: Network, data: Path) -> str:
    """For the plugins `bridge` and `host-local`; addresses are remembered in `data`."""
    ipam = {
        "type": "host-local",
        "dataDir": str(data),
        "ranges": [[{"subnet": str(network.pods), "gateway": str(network.address)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    # No `isGateway`: the bridge has its address, and that option would switch forwarding on for the whole machine.
    plugin = {"type": "bridge", "bridge": network.bridge, "isGateway": False, "hairpinMode": True, "ipam": ipam}
    return json.dumps({"cniVersion": "1.0.0", "name": network.bridge, "plugins": [plugin]}, indent=1)


def _networks_in_use() -> Iterator[IPv4Network]:
    for route in json.loads(_run("ip", "-4", "-json", "route", "show", "table", "all") or "[]"):
        target = route.get("dst", "default")
        if target != "default":
            yield IPv4Network(target, strict=False)


def _run(*argv: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CommandError(argv, 127, f"{argv[0]} is not on PATH") from None
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    return done.stdout
