"""One thread per worker: two test workers share two cores, and results do not depend on how many. And ears for Ctrl-C."""

from __future__ import annotations

import os
import signal

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
