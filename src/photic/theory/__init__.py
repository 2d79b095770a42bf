"""What should be measured: mean-field maps, gains, depth scales, finite width. NumPy only."""
