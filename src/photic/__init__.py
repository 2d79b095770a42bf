"""photic tells how deep the error gradient reaches in a neural network, why it fades, and what cures it."""

__version__ = "0.1.0"
