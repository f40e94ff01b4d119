"""Kept: the record, its schema and the store."""
