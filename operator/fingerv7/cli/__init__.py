"""`fingerv7` / `kubectl fingerv7`: where a stream is and why, what would move, and how to remove everything."""
