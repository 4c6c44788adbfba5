"""What wakes the watchers of a chat: one file per kind of wire."""
