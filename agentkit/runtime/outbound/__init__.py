"""Requests that leave the platform: which addresses may be reached, and templates filled at call time."""
