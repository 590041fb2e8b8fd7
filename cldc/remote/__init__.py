"""Run preflights as private runs on a CodaLab, several at once, on its workers and without spending quota.

`pipeline.preflight_remotely` uploads missing datasets, starts the runs, follows them, checks them like runs on this
machine and removes its bundles. The next call finds the bundles of an interrupted call by name and dependencies,
as for a submission, so no bundle is created twice.
"""
