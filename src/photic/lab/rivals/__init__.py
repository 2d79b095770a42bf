"""The published rules of other tools, restated from their sources, on the same trainings."""
