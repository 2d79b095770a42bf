"""The sum over the ranks is the same on each, whatever their number, and right."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests import children

RANK = """
import json, os, sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from photic.integrations.exchange import add_up

me, ranks, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
store = dist.FileStore(str(folder / "store"), ranks)
dist.init_process_group("gloo", store=store, rank=me, world_size=ranks, timeout=timedelta(seconds=60))
group = dist.new_group(backend="gloo", timeout=timedelta(seconds=60))
found = []
for length in (1, 1000, 1000):
    vector = torch.randn(length, dtype=torch.float64, generator=torch.Generator().manual_seed(me))
    add_up(vector, group)
    found.append(vector.tolist())
(folder / f"{me}.part").write_text(json.dumps(found))
(folder / f"{me}.part").rename(folder / f"{me}.json")
while not all((folder / f"{other}.json").exists() for other in range(ranks)):
    pass
os._exit(0)  # gloo's teardown hangs now and then
"""


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_rank_has_the_same_sum(ranks: int, tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(RANK)
    words = [[sys.executable, "rank.py", str(me), str(ranks), str(tmp_path)] for me in range(ranks)]
    with ThreadPoolExecutor(ranks) as pool:
        ended = list(pool.map(lambda command: children.run(command, cwd=tmp_path), words))
    assert [done.returncode for done in ended] == [0] * ranks, [done.stderr for done in ended]
    found = [json.loads((tmp_path / f"{me}.json").read_text()) for me in range(ranks)]
    assert all(each == found[0] for each in found)  # to the last bit
    for place, length in enumerate((1, 1000, 1000)):
        drawn = [
            torch.randn(length, dtype=torch.float64, generator=torch.Generator().manual_seed(me)) for me in range(ranks)
        ]
        assert found[0][place] == pytest.approx(torch.stack(drawn).sum(0).tolist(), rel=1e-12, abs=1e-12)
