"""Tensor in, numbers out; one folder per operation, `reference.py` is its definition."""
