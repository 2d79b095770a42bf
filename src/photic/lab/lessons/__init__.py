"""Lessons: small experiments on real PyTorch networks, for the page that one learns from."""
