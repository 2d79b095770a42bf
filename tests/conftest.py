"""One thread per worker: two test workers share two cores, and results do not depend on how many."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
