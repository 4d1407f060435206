"""The folder of one cluster or PostgreSQL, and the record in it of everything that has to be undone.

The record is written before and after each start, so that `down`, or whoever comes after a killed test run,
finds every process and folder even when the starter died half-way.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from devenv.daemons import Command, Daemon, Launch, launch_detached, launch_owned
from devenv.errors import DevenvError
from devenv.interrupts import interrupts_wait
from devenv.kind import delete_kind
from devenv.ports import LOOPBACK, ReservedPort
from devenv.private_files import write_private
from devenv.processes import ProcessRecord, boot_id, is_alive, started_ticks, stop_process
from devenv.remains import NodeRecord, remove_node

_RECORD = "record.json"
TEMPORARY_PREFIX = "fingerv7-devenv-"


@dataclass(kw_only=True)
class Record:
    """What was made: processes, folders elsewhere, a node with its containers, and a kind cluster by its name."""

    name: str
    owner: ProcessRecord | None = None
    provider: str = ""
    server: str = ""
    components: list[ProcessRecord] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    node: NodeRecord | None = None
    kind_cluster: str = ""
    kind_engine: str = ""


class Home:
    """A folder, its record, and the processes that were started from it by this process."""

    def __init__(self, path: Path, record: Record, launch: Launch) -> None:
        self.path = path
        self.record = record
        self._launch = launch
        self._daemons: list[Daemon] = []
        self._ports: list[ReservedPort] = []
        self.save()

    def reserve_port(self, address: str = LOOPBACK) -> int:
        """A port that stays ours until `tear_down`, also while its server is stopped."""
        self._ports.append(ReservedPort(address))
        return self._ports[-1].number

    def launch(self, command: Command) -> Daemon:
        with interrupts_wait():
            daemon = self._launch(command)
            self._daemons.append(daemon)
            others = [each for each in self.record.components if each.name != command.name]
            self.record.components = [*others, daemon.record]
            self.save()
        return daemon

    def stop_processes(self, *names: str) -> None:
        """Stop these and keep everything else."""
        for daemon in [each for each in self._daemons if each.command.name in names]:
            daemon.stop()
            self._daemons.remove(daemon)

    def save(self) -> None:
        write_private(self.path / _RECORD, json.dumps(dataclasses.asdict(self.record), indent=1))

    def add_folder(self, folder: Path) -> None:
        self.record.folders.append(str(folder))
        self.save()

    def settled(self) -> None:
        """Everything is started: from now on it belongs to nobody."""
        self.record.owner = None
        self.save()

    def tear_down(self) -> None:
        """Stop and remove everything; calling it again does nothing."""
        while self._daemons:
            # The last started first: an API server without its etcd takes long to give up.
            self._daemons[-1].stop()
            self._daemons.pop()
        while self._ports:
            self._ports.pop().release()
        tear_down(self.path, self.record)


def owned_home(name: str) -> Home:
    """A temporary home whose processes end with this process."""
    path = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
    return Home(path, Record(name=name, owner=_this_process()), launch_owned)


def detached_home(path: Path, name: str) -> Home:
    """A home that stays until `down`; its record has an owner until it is called `settled`.

    Raises:
        FileExistsError: there is one already.
    """
    path.mkdir(parents=True, mode=0o700)
    return Home(path, Record(name=name, owner=_this_process()), launch_detached)


def _this_process() -> ProcessRecord:
    pid = os.getpid()
    return ProcessRecord(name="owner", pid=pid, started_ticks=started_ticks(pid) or 0, boot=boot_id())


def load_record(path: Path) -> Record | None:
    """The record in a folder; None when there is none (yet)."""
    try:
        raw = json.loads((path / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    raw["components"] = [ProcessRecord(**each) for each in raw["components"]]
    raw["owner"] = ProcessRecord(**raw["owner"]) if raw["owner"] else None
    raw["node"] = NodeRecord(**raw["node"]) if raw.get("node") else None
    return Record(**raw)


def tear_down(path: Path, record: Record) -> None:
    """Undo what a record holds, from whichever process; what is gone already is no error."""
    for component in reversed(record.components):
        stop_process(component)
    if record.node is not None:
        remove_node(record.node)
    if record.kind_cluster:
        delete_kind(name=record.kind_cluster, engine=record.kind_engine)
    for folder in (*map(Path, record.folders), path):
        shutil.rmtree(folder, ignore_errors=True)


def reap_abandoned() -> None:
    """Remove what owners left behind that were killed: their processes ended with them, their folders did not."""
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*"):
        try:
            if path.stat().st_uid != os.getuid():
                continue
            record = load_record(path)
            if record is not None and record.owner is not None and not is_alive(record.owner):
                tear_down(path, record)
        except (FileNotFoundError, DevenvError):
            # Another process reaps as well, or it cannot be removed now: no reason not to start something new.
            continue
