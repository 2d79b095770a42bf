"""Experiments on top of everything: the demonstration and its examples."""
