"""Who we are to the API server, and how we know that it is the API server.

In a pod both come from mounted files that the kubelet rotates, so the token is read again every minute and when
the server refuses it. Outside, a kubeconfig is read through the `kubernetes` package, which knows exec plugins;
that import costs 55 MiB and is made only there. Certificates are always verified.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from fingerv7.adapters.kube.errors import CredentialsError

_log = logging.getLogger(__name__)

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD_AFTER_S: Final = 60.0


class TokenSource(Protocol):
    async def authorization(self, *, rejected: str | None = None) -> str | None:
        """The Authorization header, or None where a client certificate says who we are.

        `rejected` is the value that the server answered 401 to: the answer is then read afresh, unless another
        request has done so already.
        """
        ...


@dataclass
class Credentials:
    """One API server and one identity."""

    server: str
    """`https://host:port`, perhaps with a path before `/api`."""
    ssl_context: ssl.SSLContext
    token: TokenSource
    namespace: str = "default"
    """The pod's own namespace, or the kubeconfig context's."""
    server_hostname: str | None = None
    """The name in the server's certificate, where it differs from the address."""
    proxy: str | None = field(default=None, repr=False)


class RereadToken:
    """A token that `read` fetches anew each minute, and at once when the server refused the one we had.

    `read` runs in the loop's thread for a file, and in another (`threaded`) where it may start a program.
    """

    def __init__(self, read: Callable[[bool], str | None], *, threaded: bool = False) -> None:
        self._read = read
        self._threaded = threaded
        self._value: str | None = None
        self._read_at: float | None = None
        self._lock = asyncio.Lock()

    async def authorization(self, *, rejected: str | None = None) -> str | None:
        async with self._lock:
            now = asyncio.get_running_loop().time()
            refused = rejected is not None and rejected == self._value
            if refused or self._read_at is None or now - self._read_at > REREAD_AFTER_S:
                try:
                    self._value = await self._reread(refused)
                except Exception as error:
                    if self._read_at is None:
                        raise CredentialsError(f"no credentials: {error}") from error
                    _log.warning("the credentials could not be read again, keeping the old ones: %s", error)
                self._read_at = now
            return self._value

    async def _reread(self, refused: bool) -> str | None:
        return await asyncio.to_thread(self._read, refused) if self._threaded else self._read(refused)


def load_credentials(*, kubeconfig: Path | None = None, context: str | None = None) -> Credentials:
    """The pod's service account, or what the kubeconfig or context names: one is never picked up silently.

    Raises CredentialsError, whose message says what is missing.
    """
    if kubeconfig is not None or context is not None:
        return _from_kubeconfig(kubeconfig, context)
    return _from_service_account(SERVICE_ACCOUNT)


def _from_service_account(folder: Path) -> Credentials:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token_file, ca_file = folder / "token", folder / "ca.crt"
    if not host or not token_file.exists():
        raise CredentialsError(
            "not running in a pod (no KUBERNETES_SERVICE_HOST or no service account token): name a kubeconfig "
            "or a context explicitly"
        )

    def read(_refused: bool) -> str:
        return f"Bearer {token_file.read_text().strip()}"

    try:
        ssl_context = ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        raise CredentialsError(f"cannot use the cluster's CA {ca_file}: {error}") from error
    namespace_file = folder / "namespace"
    return Credentials(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ssl_context=ssl_context,
        token=RereadToken(read),
        namespace=namespace_file.read_text().strip() if namespace_file.exists() else "default",
    )


def _from_kubeconfig(kubeconfig: Path | None, context: str | None) -> Credentials:
    import yaml
    from kubernetes import config as kubeconfigs

    file = str(kubeconfig) if kubeconfig is not None else None
    try:
        settings = _load_kubeconfig(file, context)
        contexts, current = kubeconfigs.list_kube_config_contexts(file)  # type: ignore[no-untyped-call] # no stubs
    except (kubeconfigs.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        shown = file or kubeconfigs.KUBE_CONFIG_DEFAULT_LOCATION
        raise CredentialsError(f"cannot use the kubeconfig {shown} (context {context!r}): {error}") from error
    chosen = next((each for each in contexts if each["name"] == context), current)
    if not settings.verify_ssl:
        raise CredentialsError(
            f"the context {chosen['name']!r} sets insecure-skip-tls-verify; give it a certificate-authority instead"
        )
    if not str(settings.host).startswith("https://"):
        raise CredentialsError(f"the server {settings.host!r} of context {chosen['name']!r} is not an https:// URL")
    ssl_context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if settings.cert_file:
        ssl_context.load_cert_chain(settings.cert_file, settings.key_file)

    def read(refused: bool) -> str | None:
        # The package's own hook runs an exec plugin again when its credential has expired. One that was refused
        # before it expired (a rotated token file, a restarted API server) needs everything loaded again.
        nonlocal settings
        if refused:
            settings = _load_kubeconfig(file, context)
            if settings.cert_file:
                ssl_context.load_cert_chain(settings.cert_file, settings.key_file)
        value = settings.get_api_key_with_prefix("BearerToken")
        return str(value) if value else None

    return Credentials(
        server=str(settings.host),
        ssl_context=ssl_context,
        token=RereadToken(read, threaded=True),
        namespace=chosen["context"].get("namespace") or "default",
        server_hostname=settings.tls_server_name or None,
        proxy=settings.proxy or None,
    )


def _load_kubeconfig(file: str | None, context: str | None) -> Any:
    from kubernetes import client, config

    settings = client.Configuration()
    config.load_kube_config(  # type: ignore[no-untyped-call] # no stubs
        config_file=file, context=context, client_configuration=settings, persist_config=False
    )
    return settings
