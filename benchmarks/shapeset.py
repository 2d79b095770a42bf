"""Images of Shapeset-3x2 a second, drawn by two processes of one thread; the lab asks for 20,000."""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from photic.lab.datasets.shapeset import shapeset

WANTED = 20_000


def drawn(seed: int, images: int) -> tuple[float, float]:
    """Return wall and processor seconds of drawing that many images, after a first block that is not timed."""
    shapeset(1000, seed=seed)
    wall, processor = time.perf_counter(), time.process_time()
    for block in range(images // 10_000):
        shapeset(10_000, seed=1000 * seed + block)
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--images", type=int, default=100_000, help="of each process")
    options = parser.parse_args()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        times = list(pool.map(drawn, (1, 2), (options.images, options.images)))
    wall = sum(options.images / seconds for seconds, _ in times)
    alone = options.images / (sum(seconds for _, seconds in times) / 2)
    found = {"images_per_second": wall, "per_processor_second": alone, "wanted": WANTED, "reached": wall >= WANTED}
    if options.json:
        print(json.dumps(found))
    else:
        print(
            f"{wall:,.0f} images a second in two processes, {alone:,.0f} in a second of one processor (wanted: {WANTED:,})"
        )


if __name__ == "__main__":
    main()
