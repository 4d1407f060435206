"""Helm as a user runs it: on this chart, with this cluster's kubeconfig and nothing of the machine's own settings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from devenv.errors import CommandError

CHART = Path(__file__).resolve().parents[3] / "charts" / "fingerv7"
RELEASE = "fingerv7"

Object = dict[str, Any]
Values = Mapping[str, Any]
CLUSTER_WIDE = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "flowschemas,prioritylevelconfigurations"
)
"""What the chart may install outside of namespaces, beside the CRDs."""


def environment(folder: Path, kubeconfig: Path) -> dict[str, str]:
    """Ours, for a Helm that keeps its files in this folder."""
    homes = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    return {**os.environ, **homes, "KUBECONFIG": str(kubeconfig)}


class Helm:
    def __init__(self, binary: Path, folder: Path, kubeconfig: Path | None = None) -> None:
        self.binary = binary
        self._folder = folder
        self._kubeconfig = kubeconfig

    def on(self, kubeconfig: Path) -> Helm:
        return Helm(self.binary, self._folder, kubeconfig)

    def run(self, *args: str) -> str:
        """What it printed. Raises CommandError."""
        env = environment(self._folder, self._kubeconfig or Path("/dev/null"))
        done = subprocess.run([self.binary, *args], env=env, capture_output=True, text=True, check=False, timeout=150)
        if done.returncode != 0:
            raise CommandError(["helm", *args], done.returncode, done.stderr)
        return done.stdout

    def template(self, values: Values | None = None, *args: str, namespace: str = "ops") -> list[Object]:
        """The objects that a release of these values consists of."""
        text = self.run("template", RELEASE, str(CHART), "-n", namespace, *_values(values), *args)
        return [each for each in yaml.safe_load_all(text) if each]

    def refusal(self, values: Values) -> str:
        """Why these values are refused. Fails where they are not."""
        try:
            self.template(values)
        except CommandError as error:
            return error.stderr
        raise AssertionError(f"{dict(values)} was accepted")

    def install(self, namespace: str, values: Values | None = None, *args: str) -> str:
        created = ("--create-namespace", *_values(values), *args)
        return self.run("install", RELEASE, str(CHART), "-n", namespace, *created)

    def upgrade(self, namespace: str, values: Values | None = None, *args: str) -> str:
        return self.run("upgrade", RELEASE, str(CHART), "-n", namespace, *_values(values), *args)

    def uninstall(self, namespace: str) -> str:
        return self.run("uninstall", RELEASE, "-n", namespace)


def _values(values: Values | None) -> tuple[str, ...]:
    return tuple(
        part for key, value in (values or {}).items() for part in ("--set-json", f"{key}={json.dumps(value)}")
    )


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]
