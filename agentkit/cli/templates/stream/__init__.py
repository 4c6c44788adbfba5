"""An app that shows its result while it grows."""
