"""Attach to a model, measure, detach without trace."""
