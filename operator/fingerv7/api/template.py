"""What of a pod template the API server refuses already: what is copied along with a Deployment's, and would undo the
hand-over.

Only the schema knows of it. The models take a template as it is, because a pool that was stored with something of
this has to be served: its condition says the same, in the same sentences.
"""

from __future__ import annotations

from fingerv7.api.fields import VALIDATIONS, Rule
from fingerv7.api.structural import JsonSchema

NO_COMMAND = (
    "has no command, so the guard that stops it with its fence cannot start it: write what the image's ENTRYPOINT is "
    "into `command`, such as [python, -m, fingerv7], and its CMD into `args`. A worker that checks the fence itself "
    "needs none with spec.workers.fenceCheck: Worker"
)
WORKERS_PROBE = (
    "the operator sets it, because only a look at the fence stops a worker in time. Use a readinessProbe, or "
    "WORKER_HEALTH_URL in spec.workers.sidecar.env"
)
POST_START = (
    "while that runs, a kubelet stops the container for nothing, not even its fence. Do it before the worker starts, "
    "in `command`"
)
PRE_STOP = (
    "the operator sets it, to hand the streams over first. What the worker has to do after that belongs behind its "
    "SIGTERM"
)
RESTARTED = "it must be Always, because a worker that the fence stopped has to come back"
SHARED_PROCESSES = "other containers could read the sidecar's token through /proc; leave it out"
OWN_ACCOUNT = "every worker has an account of its own, of which only the sidecar has the token; leave it out"
HOST_NETWORK = (
    "the sidecar needs the ports 8089 and 8090 in every pod, so two pods could not share a node, and the node would "
    "show the streams' URLs; leave it out"
)

_THE_WORKER = "the container that is FingerV7"
_ANYTHING: JsonSchema = {"type": "object", "additionalProperties": True}
_LIFECYCLE: JsonSchema = {
    **_ANYTHING,
    "description": "As in any container.",
    "properties": {
        "postStart": {**_ANYTHING, "description": "Not for the container that is FingerV7."},
        "preStop": {**_ANYTHING, "description": "The container that is FingerV7 gets its own."},
    },
}
_COMMAND: JsonSchema = {
    "description": "What it starts, instead of its image's ENTRYPOINT. The container that is FingerV7 needs one with "
    "`fenceCheck: Guard`.",
    "type": "array",
    "maxItems": 1000,
    "x-kubernetes-list-type": "atomic",
    # Linux starts a process with no longer word.
    "items": {"type": "string", "maxLength": 131_071},
}
_PROBE: JsonSchema = {**_ANYTHING, "description": "The container that is FingerV7 gets its own."}
_OFF: JsonSchema = {"type": "boolean", "description": "Has to be left out, or false."}
_ABSENT: JsonSchema = {"type": "string", "maxLength": 253, "description": "Has to be left out."}
_ALWAYS: JsonSchema = {"type": "string", "maxLength": 63, "description": "Has to be left out, or Always."}


def container_schema(schema: JsonSchema) -> None:
    """Add what `WORKER_RULES` look at."""
    probes = {"livenessProbe": _PROBE, "startupProbe": _PROBE}
    schema["properties"] |= {"command": _COMMAND, **probes, "lifecycle": _LIFECYCLE}


def pod_schema(schema: JsonSchema) -> None:
    """Add what rules of a pod's spec look at, and these rules."""
    schema["properties"] |= {
        **dict.fromkeys(("hostNetwork", "hostPID", "shareProcessNamespace"), _OFF),
        **dict.fromkeys(("serviceAccountName", "serviceAccount"), _ABSENT),
        "restartPolicy": _ALWAYS,
    }
    schema[VALIDATIONS] = [rule.as_json() for rule in _POD_RULES]


_POD_RULES = (
    Rule("!has(self.hostNetwork) || !self.hostNetwork", f"hostNetwork: {HOST_NETWORK}"),
    Rule(
        "(!has(self.hostPID) || !self.hostPID) && (!has(self.shareProcessNamespace) || !self.shareProcessNamespace)",
        f"hostPID, shareProcessNamespace: {SHARED_PROCESSES}",
    ),
    Rule(
        "(!has(self.serviceAccountName) || self.serviceAccountName == '') && "
        "(!has(self.serviceAccount) || self.serviceAccount == '')",
        f"serviceAccountName: {OWN_ACCOUNT}",
    ),
    Rule("!has(self.restartPolicy) || self.restartPolicy == 'Always'", f"restartPolicy: {RESTARTED}"),
)


def _worker_rules(wrong: str, message: str, when: str = "true") -> tuple[Rule, Rule]:
    """Refuse a container of FingerV7 of which `wrong` is true, if `when` is of `spec.workers`, written as `{0}`.

    Not if it was stored like that, so that such a pool can still be scaled. Two rules, for new objects and for
    changed ones, because CEL does not know how large the value of an optional is, and takes it for unaffordable.
    """
    found = f"({when}) && {{0}}.template.spec.containers.exists(c, c.name == {{0}}.container && ({wrong}))"
    now, before = found.format("self"), found.format("oldSelf")
    return (
        Rule(f"oldSelf.hasValue() || !({now})", message, optional_old=True),
        Rule(f"!({now}) || ({before})", message),
    )


WORKER_RULES = (
    *_worker_rules(
        "!has(c.command) || c.command.size() == 0", f"{_THE_WORKER} {NO_COMMAND}", "{0}.fenceCheck == 'Guard'"
    ),
    *_worker_rules("has(c.livenessProbe)", f"{_THE_WORKER} has a livenessProbe; {WORKERS_PROBE}"),
    *_worker_rules("has(c.startupProbe)", f"{_THE_WORKER} has a startupProbe; {WORKERS_PROBE}"),
    *_worker_rules(
        "has(c.lifecycle) && has(c.lifecycle.postStart)", f"{_THE_WORKER} has a postStart hook; {POST_START}"
    ),
    *_worker_rules("has(c.lifecycle) && has(c.lifecycle.preStop)", f"{_THE_WORKER} has a preStop hook; {PRE_STOP}"),
)
"""Of `spec.workers`."""
