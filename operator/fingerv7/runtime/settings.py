"""The operator's own settings, from environment variables. What belongs to a pool is in its StreamPool."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fingerv7.adapters.kube.election import LONGEST_LEASE_S, are_safe
from fingerv7.api.workers import PullPolicy

PREFIX = "FINGERV7_"


class SettingsError(Exception):
    """Names every wrong variable and what is accepted."""


@dataclass(frozen=True, slots=True)
class Settings:
    namespace: str
    """Where the election Lease lives: the operator's own namespace."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty means all."""
    election_name: str = "fingerv7-operator"
    lease_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0
    kubeconfig: Path | None = None
    context: str | None = None
    listen: tuple[str | None, int] | None = (None, 8080)
    """Where /healthz and /metrics are served, host and port; None for nowhere. Without a host it is every address of
    both families, since probes and scrapes come from other hosts.
    """
    sidecar_image: str = ""
    """For managed workers of pools that name none themselves."""
    sidecar_pull_policy: str = ""
    """For that image. Empty: Kubernetes' own rule."""
    log_level: int = logging.INFO
    log_format: str = "json"

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        """Raises SettingsError."""
        problems: list[str] = []

        def number(name: str, default: float) -> float:
            text = env.get(PREFIX + name, "")
            try:
                value = float(text) if text else default
            except ValueError:
                value = -1.0
            if not 0 < value < math.inf:
                problems.append(f"{PREFIX}{name}={text!r}: a number of seconds above zero is accepted")
            return value

        lease_s = number("LEASE_SECONDS", 15.0)
        renew_deadline_s = number("RENEW_DEADLINE_SECONDS", 10.0)
        retry_s = number("RETRY_SECONDS", 2.0)
        if not problems and (impossible := _impossible(lease_s, renew_deadline_s, retry_s)):
            problems.append(impossible)
        level = logging.getLevelNamesMapping().get(env.get("LOG_LEVEL", "INFO").upper())
        if level is None:
            problems.append(f"LOG_LEVEL={env['LOG_LEVEL']!r}: DEBUG, INFO, WARNING or ERROR is accepted")
        log_format = env.get("LOG_FORMAT", "json")
        if log_format not in {"json", "text"}:
            problems.append(f"LOG_FORMAT={log_format!r}: json or text is accepted")
        pull_policy = env.get(PREFIX + "SIDECAR_PULL_POLICY", "")
        if pull_policy not in {"", *PullPolicy}:
            accepted = f"{', '.join(PullPolicy)} or nothing"
            problems.append(f"{PREFIX}SIDECAR_PULL_POLICY={pull_policy!r}: {accepted} is accepted")
        kubeconfig = env.get(PREFIX + "KUBECONFIG")
        settings = cls(
            namespace=env.get("POD_NAMESPACE", "default"),
            watch_namespaces=tuple(n.strip() for n in env.get(PREFIX + "NAMESPACES", "").split(",") if n.strip()),
            election_name=env.get(PREFIX + "ELECTION_NAME", "fingerv7-operator"),
            lease_s=lease_s,
            renew_deadline_s=renew_deadline_s,
            retry_s=retry_s,
            kubeconfig=Path(kubeconfig) if kubeconfig else None,
            context=env.get(PREFIX + "CONTEXT") or None,
            listen=_listen(env.get(PREFIX + "LISTEN", ":8080"), problems),
            sidecar_image=env.get(PREFIX + "SIDECAR_IMAGE", ""),
            sidecar_pull_policy=pull_policy,
            log_level=level or logging.INFO,
            log_format=log_format,
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings


def _impossible(lease_s: float, renew_deadline_s: float, retry_s: float) -> str:
    """What is wrong with the election's times; empty where nothing is."""
    if 1 <= lease_s <= LONGEST_LEASE_S and are_safe(lease_s, renew_deadline_s, retry_s):
        return ""
    return (
        f"{PREFIX}LEASE_SECONDS={lease_s:g} with {PREFIX}RENEW_DEADLINE_SECONDS={renew_deadline_s:g} and "
        f"{PREFIX}RETRY_SECONDS={retry_s:g}: a lease of 1 to {LONGEST_LEASE_S:g} is accepted, a renew deadline of "
        "at most nine tenths of it, and a retry below the deadline (by default 15, 10 and 2), or two could lead"
    )


def _listen(text: str, problems: list[str]) -> tuple[str | None, int] | None:
    if text in {"", "none"}:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        problems.append(f"{PREFIX}LISTEN={text!r}: host:port, :port or none is accepted")
        return None
    return host.strip("[]") or None, int(port)
