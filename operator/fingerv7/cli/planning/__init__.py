"""`fingerv7 plan`: what would move and why, computed by the operator's own code, without touching anything.

- `arguments`: the command line;
- `documents`, `fleet`, `rules`: workers, their present streams and the balancing rules, from YAML or the cluster;
- `table_file`, `database`: streams, from CSV or PostgreSQL;
- `command`: gathers these, asks `core`, and hands the outcome to one of
- `text`, `data`, `history`, `chart`: tables for people, JSON and YAML for programs, replayed scenarios, pictures.
"""
