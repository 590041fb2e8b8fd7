"""Trains on a dataset as the competition does, before anything is submitted.

`pipeline.preflight` runs the training script in its own environment on a read-only copy of a valid dataset, follows what
it prints, checks what it leaves and keeps the result (`records`). `sources` says where script and label book come from.
"""
