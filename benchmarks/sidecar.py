"""What an idle sidecar costs: resident memory and CPU with 50 streams, over a real TLS connection.

    python benchmarks/sidecar.py [seconds]

The sidecar runs as a process of its own with the default times against a small TLS API server in this one. Printed
as one JSON line. The figures are for one process: a fleet pays them once a worker.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pathlib
import platform
import ssl
import sys
import tempfile

import trustme

from fingerv7.contract import assignment_hash, format_token

ROOT = pathlib.Path(__file__).resolve().parent.parent


def load_api_server():
    path = ROOT / "tests" / "unit" / "sidecar" / "api_server.py"
    spec = importlib.util.spec_from_file_location("sidecar_api_server", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def streams(count: int):
    return [
        {
            "id": f"stream-{number:04d}",
            "url": f"https://radio-{number}.example.org/live/stream-{number}.mp3",
            "name": f"Radio {number}",
            "token": format_token(1, number),
            "metadata": {"country": "DE", "codec": "MP3", "bitrate": "128"},
        }
        for number in range(count)
    ]


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int, key: str = "VmRSS") -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)


async def measure(seconds: float, count: int = 50) -> dict:
    module = load_api_server()
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "config").mkdir()
        (root / "token").write_text(module.TOKEN)
        authority.cert_pem.write_to_path(root / "ca.crt")
        server = module.ApiServer()
        await server.start(context)
        given = streams(count)
        assignment = {"epoch": 1, "leaderEpoch": 1, "hash": assignment_hash("uid-1", 1, given), "streams": given}
        server.put_worker("w1", "uid-1", assignment=assignment)
        server.succeed("w1")  # otherwise it waits for T, in case the Lease was deleted under a running worker
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fingerv7_sidecar.main",
            env={
                "INSTANCE_ID": "w1",
                "NAMESPACE": "default",
                "POOL": "radio",
                "CONFIG_DIR": str(root / "config"),
                "LISTEN": "127.0.0.1:0",
                "KUBERNETES_API_URL": f"https://127.0.0.1:{server.port}",
                "KUBERNETES_TOKEN_FILE": str(root / "token"),
                "KUBERNETES_CA_FILE": str(root / "ca.crt"),
                "WORKER_LOCK": "1",
                "LOG_LEVEL": "warning",
            },
        )
        try:
            config = root / "config" / "assignment.json"
            async with asyncio.timeout(20):
                while not config.exists():  # noqa: ASYNC110 (another process writes it)
                    await asyncio.sleep(0.05)
            (root / "config" / "applied").write_text(assignment["hash"])
            await server.until(lambda: server.annotation("w1", "fingerv7.io/applied").endswith("/1"))
            await asyncio.sleep(2)
            before, renewals = cpu_s(process.pid), len(server.lease_bodies)
            await asyncio.sleep(seconds)
            used = cpu_s(process.pid) - before
            return {
                "streams": count,
                "seconds": seconds,
                "rss_mib": round(rss_mib(process.pid), 1),
                "peak_rss_mib": round(rss_mib(process.pid, "VmHWM"), 1),
                "cpu_percent_of_a_core": round(100 * used / seconds, 3),
                "lease_writes": len(server.lease_bodies) - renewals,
                "python": platform.python_version(),
                "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
            }
        finally:
            process.terminate()
            await process.wait()
            await server.stop()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))))
