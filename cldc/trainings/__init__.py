"""Run many trainings at once: on this machine, or on other machines through an executor such as Dask's.

`many.train_all` hands trainings to a trainer, whose work runs in a standard `concurrent.futures.Executor`: `local.LocalTrainer`
trains here, `dask.DaskTrainer` on a cluster, whose workers run `workers.train_sent`.
"""
