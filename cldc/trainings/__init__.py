"""Run many trainings at once: on this machine, or on other machines through an executor such as Dask's.

`many.train_all` hands trainings to a trainer, whose work runs in a standard `concurrent.futures.Executor`: `local.LocalTrainer`
trains here, `workers.WorkerTrainer` sends each dataset to a worker and stores the record that it returns, and
`dask.dask_trainer` creates one for a Dask cluster.
"""
