"""Networks as users write them, to be read and to be checked."""
