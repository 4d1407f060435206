"""`python -m chartgen` writes what is generated; `--check` says what would change and exits with 1."""

from __future__ import annotations

import sys
from pathlib import Path

from chartgen.crds import crd_template
from chartgen.readme import readme

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "fingerv7"


def generated() -> dict[Path, str]:
    """By file: what it has to contain."""
    manifests = sorted((ROOT / "crds").glob("*.yaml"))
    templates = {
        CHART / "templates" / "crds" / path.name: crd_template(path.read_text(encoding="utf-8")) for path in manifests
    }
    text = readme(
        (Path(__file__).parent / "README.md.in").read_text(encoding="utf-8"),
        (CHART / "values.yaml").read_text(encoding="utf-8"),
    )
    return {**templates, CHART / "README.md": text}


def main(arguments: list[str]) -> int:
    stale = [path for path, text in generated().items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path], encoding="utf-8")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
