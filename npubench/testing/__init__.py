"""Shipped for tests: the simulated device."""
