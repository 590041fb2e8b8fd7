"""Programs for the `codalab` environment (Python 3.8 or later, without cldc): started by path, one process each."""
