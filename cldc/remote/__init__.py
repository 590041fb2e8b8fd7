"""Preflights as private runs on a CodaLab, several at once: its workers are the engine, and no quota is spent.

`pipeline.preflight_remotely` uploads what is not there yet, starts the runs, follows them, checks them as those of this
machine and removes what it made. What an interrupted call left is found on the server by its name and what it was made
from, as a submission's is, and nothing is made twice.
"""
