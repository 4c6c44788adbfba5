"""What runs server-side tools: `internal/` holds the platform's own."""
