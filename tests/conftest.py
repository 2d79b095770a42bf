"""One thread per worker: two test workers share two cores, and results do not depend on how many. And ears for Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)
if (
    not torch.cuda.is_available()
):  # the GPU's kernels are tested in triton's interpreter, chosen before triton is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a shell's job in the background; scripts under test would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_arm_at_a_time() -> Iterator[None]:
    """Here too one process per worker, unless a test asks for more: no arm's numbers depend on it, and a fork costs more than most arms."""
    from photic.remedies import treat as module

    def at_once(model: torch.nn.Module, asked: int | None, _: float) -> int:
        return plain(model, asked or 1)

    plain = module.at_once
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "at_once", at_once)
        yield


def pytest_collection_finish() -> None:
    """Spare the collector what lives as long as the session: it would go through all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
