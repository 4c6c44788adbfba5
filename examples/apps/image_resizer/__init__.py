"""Resizes pictures."""
