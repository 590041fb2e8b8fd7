"""Submit a dataset exactly once, from a local package to a tagged bundle.

`plan` decides what to do and checks everything that can be checked before uploading; `submit` does the
`steps` in order. Everything up to the tag is private to the competition, repeatable and free; the tag (`tag`) is the
commit point: it alone spends quota, and it is the last step.
"""
