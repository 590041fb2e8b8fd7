"""Change a dataset's content: carry out decisions, draw splits, import pictures."""
