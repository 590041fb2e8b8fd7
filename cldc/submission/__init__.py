"""Submit a dataset exactly once, from a local package to a tagged bundle.

`plan` checks everything that can be checked before uploading, and `steps` carries the plan out. Everything up to the tag is
private to the competition, repeatable and free; the tag (`steps.set_tag`) is the commit point: it alone spends quota, and it
is the last step.
"""
