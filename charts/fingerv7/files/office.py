"""`helm test`: operators are available, and one of them is in office, which shows in a Lease that it keeps renewing.

Runs in the operator's image with the standard library: `python3 -c … NAMESPACE DEPLOYMENT SECONDS`. The API server is
asked, since neither DNS nor a Service has to work for the operator.
"""
# ruff: noqa: INP001

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))


def ask(path: str) -> dict[str, Any]:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    token = (ACCOUNT / "token").read_text(encoding="ascii")
    request = urllib.request.Request(f"https://{host}:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 - https
        found: dict[str, Any] = json.load(answer)
        return found


def main(namespace: str, deployment: str, seconds: str) -> str:
    """What is missing when the time is over; nothing when all is well."""
    deadline, first, missing = time.monotonic() + float(seconds), "", ""
    while time.monotonic() < deadline:
        try:
            status = ask(f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}").get("status", {})
            lease = ask(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/fingerv7-operator")["spec"]
        except OSError as error:
            missing = f"an answer: {error}"  # also 404, before the first election
        else:
            holder, renewed = lease.get("holderIdentity", ""), lease.get("renewTime", "")
            first = first or renewed
            if not status.get("availableReplicas"):
                missing = f"a replica of Deployment {deployment} that is available"
            elif not holder:
                missing = "an operator in office: nobody holds Lease fingerv7-operator"
            elif renewed == first:
                missing = f"a renewal of Lease fingerv7-operator, which {holder} holds"
            else:
                print(f"{status['availableReplicas']} available, {holder} is in office")
                return ""
        time.sleep(1)
    return f"after {seconds} s there is not: {missing}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
