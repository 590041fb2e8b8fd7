"""Change what a dataset holds: carry out decisions, draw splits, import pictures."""
