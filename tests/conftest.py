"""One thread per worker: two test workers share two cores, and results do not depend on how many."""

from __future__ import annotations

import os

import torch

torch.set_num_threads(1)
if (
    not torch.cuda.is_available()
):  # the GPU's kernels are tested in triton's interpreter, chosen before triton is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")
