"""Questions to people: opened, listed, answered once."""
