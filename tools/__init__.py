"""Run by hand or by make; `reference` also by a test."""
