"""Engines: who carries out independent jobs, this machine's processes or a cluster that others run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

Engine = Literal["loky", "ray", "dask", "slurm", "submitit-local"]


def carry_out(
    function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], *, engine: Engine = "loky", processes: int = 1
) -> Iterator[Any]:
    """Yield what `function` returns for each job, in any order.

    Args:
        jobs: positional arguments of each call.
        engine: `loky`: joblib's processes on this machine, or this process itself for one. `ray`: the cluster that
            `RAY_ADDRESS` names, or a local one. `dask`: the scheduler at `DASK_SCHEDULER_ADDRESS`, or a local one.
            `slurm`: an array of jobs by submitit; `submitit-local` the same on this machine.
        processes: how many jobs at once; on a cluster at most.

    Raises:
        ImportError: if the engine is not installed.
    """
    if not jobs:
        return
    if engine == "loky" and processes == 1:
        yield from (function(*job) for job in jobs)
    elif engine == "loky":
        import joblib

        with joblib.parallel_config(backend="loky", n_jobs=processes):
            calls = (joblib.delayed(function)(*job) for job in jobs)
            yield from joblib.Parallel(return_as="generator_unordered")(calls)
    elif engine in ("ray", "dask"):
        yield from _through_joblib(function, jobs, engine, processes)
    else:
        yield from _through_submitit(function, jobs, engine, processes)


def _through_joblib(function: Callable[..., Any], jobs: Sequence[Any], engine: str, processes: int) -> Iterator[Any]:
    import importlib

    import joblib

    close: Callable[[], None] | None = None
    if engine == "ray":
        ray: Any = importlib.import_module("ray")
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            ray.init(address=address) if address else ray.init(num_cpus=processes, include_dashboard=False)
            close = ray.shutdown
        importlib.import_module("ray.util.joblib").register_ray()
    else:
        address = os.environ.get("DASK_SCHEDULER_ADDRESS")
        distributed: Any = importlib.import_module("distributed")
        local = {"n_workers": processes, "threads_per_worker": 1, "dashboard_address": None}
        client: Any = distributed.Client(address) if address else distributed.Client(**local)
        close = client.close
    try:
        with joblib.parallel_config(backend=engine, n_jobs=processes):
            yield from joblib.Parallel()(joblib.delayed(function)(*job) for job in jobs)
    finally:
        if close is not None:
            close()


def _through_submitit(function: Callable[..., Any], jobs: Sequence[Any], engine: str, processes: int) -> Iterator[Any]:
    import importlib

    from photic.lab import cache

    submitit: Any = importlib.import_module("submitit")
    logs: Path = cache.folder() / "submitit"
    executor: Any = submitit.AutoExecutor(folder=logs, cluster="slurm" if engine == "slurm" else "local")
    executor.update_parameters(cpus_per_task=1, timeout_min=24 * 60)
    if engine == "slurm":
        executor.update_parameters(slurm_array_parallelism=processes)
        yield from (job.result() for job in executor.map_array(function, *zip(*jobs, strict=True)))
        return
    for start in range(0, len(jobs), processes):
        running = [executor.submit(function, *job) for job in jobs[start : start + processes]]
        yield from (job.result() for job in running)
