"""Runs in the `codalab` environment: CodaLab's own `cl`, kept loaded for many commands."""
