"""The scoring program, run by the `codalab` environment's Python; it imports nothing of cldc."""
