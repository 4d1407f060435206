"""The configuration of containerd, kubelet and scheduler, as they are tried on small machines and inside containers.

Cgroups of either version, without systemd, with swap, where OOM scores may not be lowered and dummy interfaces do
not exist.
"""

from __future__ import annotations

import json
from pathlib import Path

from devenv.remains import NodeRecord

SANDBOX_IMAGE = "fingerv7.local/pause:1"


def containerd_configuration(record: NodeRecord, *, runc: Path, plugins: Path, cni: Path) -> str:
    folder = record.folder
    # JSON strings are TOML strings.
    quoted = {key: json.dumps(str(value)) for key, value in {"runc": runc, "plugins": plugins, "cni": cni}.items()}
    return f"""\
version = 3
root = {json.dumps(f"{folder}/containerd")}
state = {json.dumps(f"{folder}/run")}

[grpc]
address = {json.dumps(str(record.socket))}

[ttrpc]
address = {json.dumps(f"{record.socket}.ttrpc")}

[plugins."io.containerd.shim.v1.manager"]
socket_dir = {json.dumps(f"{folder}/s")}

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{SANDBOX_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
# Without it every sandbox fails where an OOM score may not be lowered, as inside most containers.
restrict_oom_score_adj = true
# So that what a crash leaves mounted is found below our folder.
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = {quoted["runc"]}
Root = {json.dumps(f"{folder}/runc")}
SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{quoted["plugins"]}]
conf_dir = {quoted["cni"]}
use_internal_loopback = true
"""


def kubelet_configuration(record: NodeRecord, *, address: str, certificate: Path, key: Path, client_ca: Path) -> str:
    folder = Path(record.folder)
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{record.socket}",
            # Only the API server, which has a certificate by our authority; nobody else on the machine.
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(client_ca)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "address": address,
            "healthzPort": 0,
            "readOnlyPort": 0,
            "podLogsDir": str(folder / "pod-logs"),
            "volumePluginDir": str(folder / "volume-plugins"),
            # The machine's resolvers are none of the pods' business, and there is no cluster DNS.
            "resolvConf": "",
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            # A developer's disk is often nearly full; that is no reason to evict pods.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageMinimumGCAge": "168h",
            "oomScoreAdj": 0,
            "maxPods": 100,
        },
        indent=1,
    )
