"""Stands in for FingerV7 wherever its real behaviour matters and its audio does not: tests, benchmarks, the demo.

It does what the design asks of a worker (config, confirmation, fence, reports) and keeps a journal in PostgreSQL of
what it processed when, so that `checker` can say whether any stream ever ran twice, or nowhere for too long.
It shares no code with the operator or the sidecar, as a worker in any other language would not.
"""
