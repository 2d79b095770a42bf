"""Assertions for test suites."""
