"""Files with tokens, keys and passwords: readable by nobody else from their first byte on, never half written."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, content: str | bytes, *, user_id: int | None = None) -> Path:
    """Write a file with mode 0600, for `user_id` where given (needs root)."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    if user_id is not None:
        os.chown(temporary, user_id, -1)
    temporary.replace(path)
    return path
