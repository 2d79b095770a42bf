"""The moment pass against the machine's streaming read: GB/s of float32 read, interleaved, median of many."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from photic.kernels.moments import numba_pass, team, torch_passes

SIZES = {"4 k": 1 << 12, "128 k": 1 << 17, "1 M": 1 << 20, "16 M, beyond the cache": 1 << 24}


def rates(size: int) -> dict[str, float]:
    x = torch.randn(size)
    row, bins = np.zeros(numba_pass.WIDTH), np.zeros(numba_pass.BINS, np.int64)
    address, histogram = int(row.ctypes.data), int(bins.ctypes.data)

    def one_pass(every: int) -> Callable[[], None]:
        run = team.pass_float32 if torch.get_num_threads() > 1 else numba_pass.pass_float32
        return lambda: run(x.data_ptr(), size, 0x00800000, every, address, histogram)

    actions: dict[str, Callable[[], object]] = {
        "streaming read (torch.sum)": lambda: x.sum(),
        "moments": one_pass(0),
        "moments, histogram of 1 line in 16": one_pass(16),
        "moments, whole histogram": one_pass(1),
        "moments by torch's reductions": lambda: torch_passes.moments(x),
    }
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(max(9, min(400, (1 << 25) // size))):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    return {name: 4.0 * size / statistics.median(taken) / 1e9 for name, taken in times.items()}


def gpu_rates(size: int) -> dict[str, float]:
    """The same on a GPU, by its own clock: reads are queued, so the host's clock would time the queue."""
    from photic.kernels.moments import triton_pass

    x, row = torch.randn(size, device="cuda"), torch.zeros(triton_pass.WIDTH, dtype=torch.float64, device="cuda")
    actions: dict[str, Callable[[], object]] = {
        "streaming read (torch.sum)": lambda: x.sum(),
        "moments": lambda: triton_pass.launch(x, row),
        "moments by torch's reductions": lambda: torch_passes.moments(x),
    }
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(60):
        for name, action in actions.items():
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            action()
            end.record()
            end.synchronize()
            if turn >= 10:  # the first turns compile
                times[name].append(start.elapsed_time(end) / 1e3)
    return {name: 4.0 * size / statistics.median(taken) / 1e9 for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--threads", type=int, default=1, help="of torch; above 1 its team reads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {name: rates(size) for name, size in SIZES.items()}
    if torch.cuda.is_available():
        results |= {f"{name}, on the GPU:": gpu_rates(size) for name, size in {**SIZES, "256 M": 1 << 28}.items()}
    if options.json:
        print(json.dumps(results))
        return
    print("| elements | what | GB/s | of the streaming read |\n|---|---|---|---|")
    for name, found in results.items():
        read = found["streaming read (torch.sum)"]
        for action, rate in found.items():
            print(f"| {name} | {action} | {rate:.1f} | {100 * rate / read:.0f} % |")


if __name__ == "__main__":
    main()
