"""Runs in the `analysis` environment, with numpy: finds suspicious labels by the strokes of the drawings."""
