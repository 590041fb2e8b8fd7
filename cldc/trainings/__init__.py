"""Many trainings at once: on this machine, or on others that share the work through an executor such as Dask's.

`many.train_all` hands trainings to a trainer, whose work runs in a standard `concurrent.futures.Executor`: `local.LocalTrainer`
trains here, `workers.WorkerTrainer` sends each dataset to whoever trains it and keeps the record that comes back, and
`dask.dask_trainer` is one for a Dask cluster.
"""
