"""Where the runtime's truth is kept: one file per kind of database, and all of them pass the same conformance suite."""
