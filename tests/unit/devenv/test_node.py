from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from devenv.errors import MissingRequirementsError
from devenv.node import install_node
from devenv.node_files import containerd_configuration, kubelet_configuration
from devenv.progress import no_progress
from devenv.remains import NodeRecord
from devenv.surroundings import Surroundings

RECORD = NodeRecord(network=3, folder="/var/lib/fingerv7-node-abcdefgh")


def test_without_root_it_says_so_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingRequirementsError, match=r"root\n.*sudo -E make"):
        install_node(Surroundings(env={}, which=lambda _: None), no_progress)


def test_containerd_keeps_everything_below_the_nodes_folder() -> None:
    text = containerd_configuration(
        RECORD, runc=Path("/usr/sbin/runc"), plugins=Path("/usr/lib/cni"), cni=Path(RECORD.folder, "cni")
    )
    config = tomllib.loads(text)
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]
    places = [
        *(config["root"], config["state"], config["grpc"]["address"], config["ttrpc"]["address"]),
        config["plugins"]["io.containerd.shim.v1.manager"]["socket_dir"],
        runtime["containerd"]["runtimes"]["runc"]["options"]["Root"],
        runtime["cni"]["conf_dir"],
    ]
    assert all(each.startswith(f"{RECORD.folder}/") for each in places)
    assert runtime["netns_mounts_under_state_dir"]
    # A shim's socket is a hash in that folder, and the kernel takes 107 characters.
    assert len(f"{config['plugins']['io.containerd.shim.v1.manager']['socket_dir']}/") + 64 <= 107


def test_the_kubelet_answers_nobody_but_the_api_server() -> None:
    text = kubelet_configuration(
        RECORD, address="10.213.3.1", certificate=Path("crt"), key=Path("key"), client_ca=Path("ca.crt")
    )
    config = json.loads(text)
    assert config["authentication"]["anonymous"]["enabled"] is False
    assert config["authentication"]["x509"]["clientCAFile"] == "ca.crt"
    assert config["readOnlyPort"] == 0
    assert config["address"] == "10.213.3.1"
