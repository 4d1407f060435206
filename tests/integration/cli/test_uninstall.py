from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event

import pytest

from fingerv7.cli import kubeconfig as kubeconfigs
from fingerv7.cli.access import Cluster
from fingerv7.cli.errors import ConflictError
from fingerv7.cli.uninstall import uninstall

pytestmark = pytest.mark.integration

OTHERS = "example.org/backup"
OURS = "fingerv7.io/drain"
OBJECTS = (("streampools", "radio"), ("fingerworkers", "w1"))


@pytest.fixture
def fleet(stored, a_stream):
    """A pool and a worker that hold on to our finalizer and to somebody else's."""
    stored.pool()
    stored.worker("w1", streams=[a_stream("1"), a_stream("2")])
    return stored


def left(stored):
    return [stored.finalizers(*each) for each in OBJECTS]


def test_only_our_finalizer_goes_and_nothing_else_changes(cli, fleet):
    done = cli("uninstall", "--yes", "--operator-namespace", fleet.namespace)
    assert (done.returncode, done.stderr) == (0, "")
    assert left(fleet) == [[OTHERS], [OTHERS]]
    assert "1 StreamPool and 1 FingerWorker in namespace" in done.stdout
    assert "1 worker may still be running streams: w1 (2)." in done.stdout
    assert f"FingerWorker {fleet.namespace}/w1: finalizer removed" in done.stdout
    again = cli("uninstall", "--operator-namespace", fleet.namespace)
    assert (again.returncode, again.stdout.startswith("Nothing to do")) == (0, True)


def test_a_pool_that_no_parser_gets_through_is_let_go_as_well(cli, stored):
    stored.deep_pool()
    done = cli("uninstall", "--yes", "--operator-namespace", stored.namespace)
    assert (done.returncode, done.stderr) == (0, "")
    left = stored.kubectl("get", "streampools", "radio", "-o", "jsonpath={.metadata.finalizers}")
    assert left == f'["{OTHERS}"]'


def test_what_is_being_deleted_vanishes(cli, fleet):
    fleet.kubectl("patch", "fw", "w1", "--type=merge", "-p", f'{{"metadata":{{"finalizers":["{OURS}"]}}}}')
    fleet.kubectl("delete", "fw", "w1", "--wait=false")
    done = cli("uninstall", "--yes", "--operator-namespace", fleet.namespace)
    assert "1 of them is being deleted and vanishes at once" in done.stdout
    assert fleet.kubectl("get", "fw") == ""


@pytest.mark.parametrize(("answer", "stays"), [("y\n", False), ("n\n", True), ("\n", True), ("", True)])
def test_it_asks(cli, fleet, answer, stays):
    done = cli("uninstall", "--operator-namespace", fleet.namespace, answer=answer)
    assert done.returncode == int(stays)
    assert (OURS in left(fleet)[0]) is stays


@contextmanager
def renewing(fleet):
    """An operator that goes on renewing its Lease."""
    fleet.lease("fingerv7-operator", holder="replica-1")
    ended = Event()

    def renew() -> None:
        while not ended.wait(0.2):
            renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            fleet.kubectl("patch", "lease", "fingerv7-operator", "-p", f'{{"spec":{{"renewTime":"{renewed}"}}}}')

    with ThreadPoolExecutor(1) as threads:
        renewals = threads.submit(renew)
        try:
            yield
        finally:
            ended.set()
        renewals.result()


def test_a_running_operator_is_respected(cli, fleet):
    with renewing(fleet):
        done = cli("uninstall", "--yes")
        assert done.returncode == 1
        assert "the operator is still running (replica-1 has just renewed" in done.stderr
        assert OURS in left(fleet)[0]
        assert cli("uninstall", "--yes", "--force").returncode == 0
    assert left(fleet) == [[OTHERS], [OTHERS]]


def test_an_operator_that_could_not_give_its_lease_up_is_waited_for(cli, fleet):
    fleet.lease("fingerv7-operator", holder="replica-1", age_s=25)
    done = cli("uninstall", "--yes", "--operator-namespace", fleet.namespace)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Lease {fleet.namespace}/fingerv7-operator was renewed 2" in done.stdout.splitlines()[0]
    assert "s at most to see whether it is renewed again" in done.stdout.splitlines()[0]
    assert left(fleet) == [[OTHERS], [OTHERS]]


def test_an_operator_that_stopped_renewing_is_gone(cli, fleet):
    fleet.lease("fingerv7-operator", holder="replica-1", age_s=140)
    done = cli("uninstall", "--yes", "--operator-namespace", fleet.namespace)
    assert done.returncode == 0
    assert f"Lease {fleet.namespace}/fingerv7-operator was renewed 2 min ago." in done.stdout
    assert "waits" not in done.stdout


class Contested(Cluster):
    """Somebody changes the object between our read and our write, the first `times` times."""

    times = 0
    edit = staticmethod(lambda: None)

    def get(self, resource, namespace, name):
        read = super().get(resource, namespace, name)
        if self.times:
            self.times -= 1
            self.edit()
        return read


@pytest.mark.parametrize("times", [2, 99])
def test_an_object_that_changes_meanwhile_is_read_again(fleet, kubeconfig, times):
    cluster = Contested(kubeconfigs.load(file=str(kubeconfig()), context=None))
    cluster.times = times
    edits = iter(range(times))
    cluster.edit = lambda: fleet.kubectl("annotate", "spool", "radio", f"edit={next(edits)}", "--overwrite")
    options = {"namespace": fleet.namespace, "operator_namespace": fleet.namespace, "yes": True, "force": False}
    if times > 10:
        with pytest.raises(ConflictError, match="keeps changing; try again"):
            uninstall(cluster, **options)
    else:
        assert uninstall(cluster, **options) == 0
        assert left(fleet) == [[OTHERS], [OTHERS]]
