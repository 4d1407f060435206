from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv import network
from devenv.errors import CommandError, DevenvError
from devenv.network import Network, cni_configuration, make_bridge, remove_network, translate_api_service


class Machine:
    """Answers `ip` and `nft`, and notes what was asked."""

    def __init__(self, *, routes: list[str] | None = None, bridges: set[str] | None = None) -> None:
        self.routes = routes or []
        self.bridges = bridges or set()
        self.asked: list[tuple[str, ...]] = []
        self.rules = ""

    def run(self, *argv: str, stdin: str = "") -> str:
        self.asked.append(argv)
        self.rules += stdin
        if "route" in argv:
            return json.dumps([{"dst": each} for each in self.routes])
        if argv[:3] == ("ip", "link", "add") and argv[3] in self.bridges:
            raise CommandError(argv, 2, "RTNETLINK answers: File exists")
        if "delete" in argv:
            words = "Error: No such file or directory" if argv[0] == "nft" else "Cannot find device"
            raise CommandError(argv, 1, words)
        return ""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(network, "_run", machine.run)
    return machine


def test_the_first_range_that_nobody_uses_is_taken(machine: Machine) -> None:
    machine.routes = ["default", "10.213.0.0/24", "10.214.1.7", "10.213.2.0/23"]
    assert make_bridge() == Network(number=4)


def test_a_bridge_that_somebody_made_at_the_same_time_is_his(machine: Machine) -> None:
    machine.bridges = {"fingerv7-0"}
    assert make_bridge().bridge == "fingerv7-1"


def test_a_machine_whose_routes_cover_everything_is_told_apart(machine: Machine) -> None:
    machine.routes = ["10.0.0.0/8"]
    with pytest.raises(DevenvError, match="in use"):
        make_bridge()


def test_a_refused_bridge_is_not_taken_for_ranges_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*argv: str, stdin: str = "") -> str:
        if "route" in argv:
            return "[]"
        raise CommandError(argv, 2, "RTNETLINK answers: Operation not permitted")

    monkeypatch.setattr(network, "_run", run)
    with pytest.raises(DevenvError, match="may not make a bridge: RTNETLINK answers: Operation not permitted"):
        make_bridge()


def test_the_api_servers_service_is_translated_for_pods_of_this_bridge_only(machine: Machine) -> None:
    translate_api_service(Network(number=3), 6443)
    assert 'iifname "fingerv7-3" ip daddr 10.214.3.1 tcp dport 443 dnat to 10.213.3.1:6443' in machine.rules


def test_what_is_gone_already_is_removed_without_a_complaint(machine: Machine) -> None:
    remove_network(3)
    assert ("ip", "link", "delete", "fingerv7-3") in machine.asked


def test_pods_leave_by_the_bridge_and_no_setting_of_the_machine_is_changed() -> None:
    (plugin,) = json.loads(cni_configuration(Network(number=3), Path("/data")))["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.213.3.0/24", "gateway": "10.213.3.1"}]]
    assert not plugin["isGateway"]
    assert not plugin.get("ipMasq")
