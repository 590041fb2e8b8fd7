"""A submission, from a package on this machine to a tagged bundle, exactly once.

`plan` decides what is to be done and checks everything that can be checked before a byte is uploaded; `submit` does the
`steps` in order. Everything up to the tag is private to the competition, repeatable and free; the tag (`tag`) is the
commit point: it alone spends quota, and it is the last step.
"""
