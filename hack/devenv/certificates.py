"""A certificate authority and certificates by it, so that everybody here verifies whom he talks to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devenv.private_files import write_private


@dataclass(frozen=True)
class ServingCertificate:
    """Paths of PEM files; `client` is the same server's identity when it calls others."""

    ca: Path
    certificate: Path
    key: Path
    client: tuple[Path, Path] | None = None


def make_certificate(
    folder: Path, *, names: Sequence[str] = (), user_id: int | None = None, client_name: str = ""
) -> ServingCertificate:
    """Make a new authority and a certificate by it; the authority's key is kept nowhere.

    Args:
        folder: for the files.
        names: more addresses and DNS names than 127.0.0.1 and localhost.
        user_id: who may read the keys, if not we.
        client_name: with it, a second certificate is made with that common name.
    """
    authority = trustme.CA(organization_name="fingerv7 development")
    server = authority.issue_cert("127.0.0.1", "localhost", *names)
    certificate, key = _write(folder / "server", server, user_id)
    ca = folder / "ca.crt"
    ca.write_bytes(authority.cert_pem.bytes())
    client = None
    if client_name:
        client = _write(folder / "client", authority.issue_cert(client_name, common_name=client_name), user_id)
    return ServingCertificate(ca, certificate, key, client)


def _write(stem: Path, issued: trustme.LeafCert, user_id: int | None) -> tuple[Path, Path]:
    certificate, key = stem.with_suffix(".crt"), stem.with_suffix(".key")
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return certificate, write_private(key, issued.private_key_pem.bytes(), user_id=user_id)


def make_signing_key(path: Path) -> Path:
    """The key that signs service-account tokens; kube-apiserver takes the public half out of the same file."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return write_private(path, pem)
