"""Writes stories."""
