"""What is known of each activation function: value, slope, range, flat parts, closed forms. Values, no torch."""

from photic.activations.activation import Activation
from photic.activations.registry import find, names

__all__ = ["Activation", "find", "names"]
