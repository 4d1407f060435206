"""Which cluster and namespace the user means, found as kubectl finds it.

`--kubeconfig`, else `$KUBECONFIG`, else `~/.kube/config`, else the service account of the pod that we run in. Exec
plugins and proxies are the `kubernetes` package's affair. The caller chose the kubeconfig, so it is obeyed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3
import yaml
from kubernetes import client, config

from fingerv7.cli.errors import CliError

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Target:
    """One API server, one identity, and the namespace to look at unless told otherwise."""

    configuration: Any
    namespace: str


def load(*, file: str | None, context: str | None) -> Target:
    """Raises CliError, whose message says what is missing."""
    settings = client.Configuration()
    # Connecting is not repeated: a wrong address should be told at once. A busy server (429) is asked again.
    settings.retries = urllib3.Retry(3, connect=0, read=0, redirect=0)
    try:
        if file is None and context is None and not _default_exists():
            return _pod(settings)
        config.load_kube_config(  # type: ignore[no-untyped-call] # no stubs
            config_file=file, context=context, client_configuration=settings
        )
        contexts, current = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call] # no stubs
        chosen = next((each for each in contexts if each["name"] == context), current)
        target = Target(settings, chosen["context"].get("namespace") or "default")
    except (
        config.ConfigException,
        yaml.YAMLError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        shown = f"{file or config.KUBE_CONFIG_DEFAULT_LOCATION}{f', context {context}' if context else ''}"
        raise CliError(
            f"the kubeconfig ({shown}) cannot be used: {error}; name another with --kubeconfig or --context"
        ) from error
    if not settings.verify_ssl:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return target


def _default_exists() -> bool:
    paths = str(config.KUBE_CONFIG_DEFAULT_LOCATION).split(os.pathsep)
    return any(path and Path(path).expanduser().exists() for path in paths)


def _pod(settings: Any) -> Target:
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise CliError(
            f"there is no kubeconfig at {config.KUBE_CONFIG_DEFAULT_LOCATION}; set KUBECONFIG or name one with "
            "--kubeconfig"
        )
    config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call] # no stubs
    return Target(settings, _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "default")
