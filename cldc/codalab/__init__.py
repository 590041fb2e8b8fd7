"""The only room that knows CodaLab.

`server.CodaLab` is the way in: `rest` reads, `cl` changes. `records` has what they tell of, `failures` what can go wrong
beyond `cldc.errors`, `wait` the waiting. `inside/session.py` runs in the codalab environment.
"""
