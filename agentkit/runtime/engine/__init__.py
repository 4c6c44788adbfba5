"""What delivers wake-ups to the loop: one file per kind of queue, and none of them is trusted for correctness."""
