"""The planner's speed and quality beside Kafka's UniformAssignor: `make bench-planner`.

The rooms behind it:

- `worlds`: fleets and catalogs, made up but the same on every machine, and the events that happen to them;
- `ours`, `measure`: this project's planner, and the process that times it;
- `peer` with `kafka/`: the same worlds as topics and members for Kafka's assignor, in a JVM;
- `judge`: moves, bounds and spread, counted by one function for both.
"""
