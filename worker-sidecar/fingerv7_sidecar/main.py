"""The process: settings, identity, signals. Exit status 0 after SIGTERM, 2 for settings that cannot work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
import time

from fingerv7_sidecar.api import ApiClient, LeaseClient, WorkerMirror
from fingerv7_sidecar.clock import read_boot_id, read_clock
from fingerv7_sidecar.endpoints import Endpoints
from fingerv7_sidecar.events import StopRequested
from fingerv7_sidecar.files import ConfigFolder, explain
from fingerv7_sidecar.identity import Identity, Policy
from fingerv7_sidecar.log import Log
from fingerv7_sidecar.protocol import Sidecar
from fingerv7_sidecar.runtime import Runtime
from fingerv7_sidecar.server import Server
from fingerv7_sidecar.settings import Settings, SettingsError, read_settings

_PREDECESSOR_S = 10.0


def main() -> None:
    try:
        settings = read_settings(os.environ)
        asyncio.run(_run(settings))
    except SettingsError as error:
        sys.stderr.write(f"fingerv7-sidecar: the settings cannot work:\n{error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(settings: Settings) -> None:
    log = Log(level=settings.log_level, text=settings.log_text, fixed={"worker": settings.instance_id})
    folder = ConfigFolder(settings.config_dir, file_mode=settings.file_mode)
    _take_folder(folder, log)
    identity = Identity(
        name=settings.instance_id,
        namespace=settings.namespace,
        pool=settings.pool,
        pod_uid=settings.pod_uid or _pod_uid(folder, log),
        nonce=os.urandom(4).hex(),
        boot_id=read_boot_id(),
    )
    policy = Policy(
        timing=settings.timing,
        worker_grace_s=settings.worker_grace_s,
        apply_timeout_s=settings.apply_timeout_s,
        has_lock=settings.worker_lock,
        report_timeout_s=settings.report_timeout_s,
        confirm_on_write=settings.ack == "OnWrite",
        register=settings.register,
        register_always=settings.register_always,
        drain_on_stop=settings.drain_on_term,
    )
    try:
        api = ApiClient(
            settings.api_host, settings.api_port, token_file=settings.token_file, ca_file=settings.ca_file
        )
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"KUBERNETES_CA_FILE={settings.ca_file!r} cannot be used: {error}") from None
    runtime = Runtime(
        Sidecar(identity, policy, folder.find(), read_clock()),
        folder,
        LeaseClient(api, identity),
        lambda post: WorkerMirror(api, identity, post),
        log,
        ack_url=settings.ack_url if settings.ack == "Http" else "",
        health_url=settings.worker_health_url,
        vpn_url=settings.vpn_url,
        vpn_key=settings.vpn_key,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.post, StopRequested())
    endpoints = Endpoints(runtime, version=settings.version)
    server = Server(endpoints.routes(), log)
    public = Server(endpoints.public_routes(settings.drain_key), log, public=True)
    port = await _listen("LISTEN", server, (settings.listen_host, settings.listen_port))
    if settings.public_listen:
        await _listen("PUBLIC_LISTEN", public, settings.public_listen)
    with contextlib.suppress(OSError):  # the protocol says what is wrong with the folder
        folder.write_port(port)
    log.write(time.time(), "info", "started", {"incarnation": identity.incarnation, "port": port})
    try:
        await runtime.run()
    finally:
        await asyncio.gather(server.stop(), public.stop())


async def _listen(setting: str, server: Server, address: tuple[str, int]) -> int:
    try:
        return await server.start(*address)
    except OSError as error:
        raise SettingsError(f"{setting}={address[0]}:{address[1]}: {error.strerror or error}") from None


def _take_folder(folder: ConfigFolder, log: Log) -> None:
    """Two sidecars in one folder would overwrite each other's config; a predecessor that is ending gets a moment."""
    deadline = time.monotonic() + _PREDECESSOR_S
    try:
        os.makedirs(folder.path, exist_ok=True)  # noqa: PTH103
        while not folder.lock_sidecar():
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"CONFIG_DIR={folder.path!r} is used by another sidecar; each needs its own folder"
                )
            time.sleep(0.1)
    except OSError as error:
        log.write(time.time(), "error", "config-folder", {"reason": explain(error)})


def _pod_uid(folder: ConfigFolder, log: Log) -> str:
    try:
        return folder.pod_uid()
    except OSError as error:
        log.write(time.time(), "warning", "pod-uid-not-kept", {"reason": explain(error)})
        return os.urandom(16).hex()


if __name__ == "__main__":
    main()
