"""The organiser's side: a competition set up on a CodaLab, its profile, and its scoring daemon.

The daemon is CodaLab's own and runs in the `codalab` environment, started by `inside/`. The sandbox is set up and scored
with the same functions as a class's own CodaLab.
"""
