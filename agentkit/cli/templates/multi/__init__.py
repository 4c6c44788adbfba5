"""An app of several functions that remembers, for use in a session."""
