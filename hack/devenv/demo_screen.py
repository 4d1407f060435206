"""What the demo shows: sentences about what happens, and below them the live output of `kubectl get`.

On a terminal the tables are redrawn in place, like a `kubectl get --watch` that understands rows. Elsewhere (a log,
a pipe) they are printed at the moments that matter, because ten tables a minute are no use to anybody.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

_REFRESH_S = 1.0
_WIDTH = 110


class Screen:
    """Thread-safe; `tables` is asked about once a second on a terminal, and by `show` elsewhere."""

    def __init__(self, tables: Callable[[], str], console: Console | None = None) -> None:
        self._tables = tables
        # Machine-readable lines follow on standard output, so nothing may be wrapped or coloured by guess.
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")
            self._live.start()
            self._thread = threading.Thread(target=self._refresh, name="demo-screen", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._live is not None:
            self._live.stop()

    def headline(self, text: str) -> None:
        """Begin a chapter."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def say(self, text: str) -> None:
        self._console.print(Text(textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")))

    def command(self, text: str) -> None:
        """A line to be copied: never broken."""
        self._console.print(Text(f"    {text}"))

    def show(self) -> None:
        """Show the tables as they are now; on a terminal they are in view already."""
        if self._live is None:
            self._console.print(Text(self._tables().rstrip()))

    def _refresh(self) -> None:
        while True:
            if self._live is not None:
                self._live.update(_coloured(self._tables()), refresh=True)
            if self._stopping.wait(_REFRESH_S):
                return


def _coloured(tables: str) -> Text:
    """Rows that are not ready stand out, and so do headings."""
    text = Text("\n")
    for line in tables.rstrip().splitlines():
        words = line.split()
        style = "bold" if line.startswith("NAME") else "red" if words[1:2] == ["False"] else ""
        text.append(line + "\n", style=style)
    return text
