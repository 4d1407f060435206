"""The development cluster and PostgreSQL: what `make up`, the integration tests and the demo run against.

A real API server is needed (conflicts, CEL, RBAC, watches, Leases), on machines with and without Docker, several
at once, and nothing may stay behind. `cluster.py` and `postgres.py` are the two doors; the rest are their rooms.
"""
