"""FLOOR 1. Thinking: no I/O, no clock, no threads. The REST table, streams, deltas, retries, and the two machines."""
