"""The Kubernetes API as the operator uses it: a client, informers, leader election, Events, JSON ↔ values.

kopf and the `kubernetes` package are too slow for thousands of objects and hide what a failed write means
(docs/architecture.md); everything on the hot path is here, on aiohttp and orjson.
"""
