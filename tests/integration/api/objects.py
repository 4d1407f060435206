"""An assignment as the operator writes it into a FingerWorker, and the names of both kinds in a path."""

from __future__ import annotations

WORKER = "fingerworkers"
POOL = "streampools"


def stream(number: int, **fields):
    return {
        "id": f"s{number}",
        "url": f"https://radio.example/{number}",
        "name": f"Station {number}",
        "token": f"{1200:016d}-{number:010d}",
        **fields,
    }


def assignment(epoch: int = 1, leader_epoch: int = 1200, **fields):
    return {
        "status": {
            "assignment": {
                "epoch": epoch,
                "leaderEpoch": leader_epoch,
                "hash": "0123",
                "streams": [stream(1)],
                "revoking": [],
                **fields,
            }
        }
    }
