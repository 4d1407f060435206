"""A certificate authority and a serving certificate, so that every client here verifies whom it talks to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devenv.private_files import write_private


@dataclass(frozen=True)
class ServingCertificate:
    """Paths of three PEM files; the certificate is for 127.0.0.1 and localhost."""

    ca: Path
    certificate: Path
    key: Path


def make_certificate(folder: Path, *, user_id: int | None = None) -> ServingCertificate:
    """Make a new authority and a certificate by it; the authority's key is kept nowhere."""
    authority = trustme.CA(organization_name="fingerv7 development")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = ServingCertificate(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    files.ca.write_bytes(authority.cert_pem.bytes())
    files.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    write_private(files.key, issued.private_key_pem.bytes(), user_id=user_id)
    return files


def make_signing_key(path: Path) -> Path:
    """The key that signs service-account tokens; kube-apiserver takes the public half out of the same file."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return write_private(path, pem)
