"""`fingerv7` / `kubectl fingerv7`: where a stream is and why, and how to remove everything without an operator."""
