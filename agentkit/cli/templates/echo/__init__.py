"""An app that says what it was told: the smallest there is."""
