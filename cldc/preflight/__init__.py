"""Train on a dataset as the competition does, before submitting.

`inputs` gets the script and the label book. `pipeline.preflight` runs the script in its own environment on a read-only copy of a
valid dataset, follows its output, checks its artifacts and stores the result with `result_store`.
"""
