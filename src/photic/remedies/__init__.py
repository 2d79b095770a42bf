"""Change, try, keep or undo; one change per file in the catalogue."""
