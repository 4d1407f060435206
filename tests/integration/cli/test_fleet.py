"""Against what a real operator and real sidecars write, and then without them."""

from __future__ import annotations

import pytest

from devenv.fleet import Fleet

pytestmark = pytest.mark.integration

LEASE = {"FINGERV7_LEASE_SECONDS": "3", "FINGERV7_RENEW_DEADLINE_SECONDS": "2", "FINGERV7_RETRY_SECONDS": "0.5"}


@pytest.mark.long
def test_a_fleet_from_its_first_stream_to_its_removal(cluster, postgres, cli, tmp_path):
    with Fleet(cluster, postgres, rows=5, poll_interval="500ms", restart=False, folder=tmp_path) as fleet:
        here = ("-n", fleet.namespace)
        one = min(fleet.table.active_ids())

        def says(stream, code, words):
            """Wait until that is the answer; its whole text."""

            def answer():
                done = cli("why", stream, *here)
                assert "Traceback" not in done.stderr
                return done.stdout if (done.returncode, words in done.stdout) == (code, True) else None

            return fleet.wait_for(answer, 30, f"the answer of {stream} is {code}: {words}")

        assert "no operator has looked at StreamPool radio yet" in cli("why", one, *here).stdout

        operator = fleet.start_operator(**LEASE)
        says(one, 1, "(NoEligibleWorker)")
        fleet.start_worker("w1", 3)
        fleet.wait_for(lambda: len(fleet.running()) == 3, 30, "three streams run")
        runs = next(iter(fleet.running()))
        waits = min(fleet.table.active_ids() - fleet.running().keys())
        assert "under token 0" in says(runs, 0, "is on worker w1, which confirmed that it runs it")
        says(waits, 1, "is full; add workers or raise spec.maxStreams (NoCapacity)")
        says("nobody", 1, "had no active row with this id when it was read last (5 streams)")

        refused = cli("uninstall", "--yes", *here, "--operator-namespace", fleet.namespace)
        assert (refused.returncode, "the operator is still running" in refused.stderr) == (1, True)

        operator.kill()
        assert cli("why", runs, *here).returncode == 0, "a worker goes on without an operator"
        fleet.workers["w1"].kill()
        says(runs, 1, "is with worker w1, of which nothing is heard")

        fleet.cluster.kubectl(*here, "delete", "spool,fw", "--all", "--wait=false")
        done = cli("uninstall", "--yes", *here, "--operator-namespace", fleet.namespace)
        assert (done.returncode, done.stderr) == (0, "")
        assert "2 of them are being deleted and vanish at once" in done.stdout
        assert "1 worker may still be running streams: w1 (3)." in done.stdout
        assert fleet.cluster.kubectl(*here, "get", "spool,fw") == ""
