"""The GPU's pass equals the reference, in triton's interpreter where there is no GPU."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from photic.kernels.moments.reference import moments as reference

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton", reason="triton is not installed; `python3 dev.py test` installs it on Linux")
if DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("no GPU, and TRITON_INTERPRET=1 was not set before triton came", allow_module_level=True)

from photic.kernels.moments import triton_pass  # noqa: E402

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from photic.kernels.moments import triton_pass

def compiled(kernel, types, **constants):
    source = ASTSource(fn=kernel, signature=types | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": True})
    print(len(made.asm["cubin"]))

for kind in ("fp32", "fp16"):
    types = {"values": f"*{kind}", "count": "i32", "rows": "*fp64", "tiny": "i32"}
    compiled(triton_pass._read, types, block=triton_pass._BLOCK)
compiled(triton_pass._add_up, {"rows": "*fp64", "programs": "i32", "result": "*fp64"}, most=triton_pass._PROGRAMS)
"""

FLOATS = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 3.4e38, math.inf, -math.inf, math.nan]),
)


def same(values: Tensor) -> bool:
    ours = triton_pass.moments(values.to(DEVICE))
    truth = reference(values.double().numpy(), smallest_normal=torch.finfo(values.dtype).tiny)
    assert (ours.count, ours.zeros, ours.subnormals) == (truth.count, truth.zeros, truth.subnormals)
    assert (ours.nonfinite, ours.maximum) == (truth.nonfinite, truth.maximum)
    assert ours.rms == pytest.approx(truth.rms, rel=1e-6)
    assert ours.mean == pytest.approx(truth.mean, rel=1e-9, abs=1e-6 * truth.rms)
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(FLOATS, max_size=40))
def test_numbers_of_every_kind(values: list[float]) -> None:
    assert same(torch.from_numpy(np.array(values, dtype=np.float32)))


@pytest.mark.parametrize("dtype", triton_pass.DTYPES)
@pytest.mark.parametrize("poison", [0.0, math.nan, -math.inf, 1e-42])
def test_several_blocks_and_views_without_order(dtype: torch.dtype, poison: float) -> None:
    values = torch.randn((3, 70, 41), generator=torch.Generator().manual_seed(1)).to(dtype)
    values.view(-1)[::97] = poison
    for view in (values, values.mT, values[..., ::2], values.unsqueeze(0).expand(2, 3, 70, 41), values[:0]):
        assert same(view)


@pytest.mark.parametrize("size", [1e-38, 1e-25, 1e25, 3e38])
def test_squares_that_float32_cannot_hold(size: float) -> None:
    assert same(torch.full((5000,), size))


def test_more_blocks_than_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_pass, "_BLOCK", 64)
    monkeypatch.setattr(triton_pass, "_PROGRAMS", 4)
    assert same(torch.randn(1000, generator=torch.Generator().manual_seed(2)))


def test_rows_are_those_of_the_moment_at_which_they_were_sent() -> None:
    rows = triton_pass.DeviceRows(2, torch.device(DEVICE))
    triton_pass.launch(torch.ones(10, device=DEVICE), rows.table[1])
    rows.send()
    triton_pass.launch(torch.zeros(10, device=DEVICE), rows.table[1])
    sums = [row[:6] for row in rows.take()]
    assert sums == [[0.0] * 6, [10.0, 10.0, 1.0, 0.0, 0.0, 0.0]]


def test_a_glance_leaves_a_gpus_tensors_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: the same path over the interpreter; a module that runs twice is read as one."""
    from photic.probes import glances

    monkeypatch.setattr(glances, "gpu_pass", lambda: triton_pass)
    model = torch.nn.Linear(6, 6).to(DEVICE)
    faults: list[Exception] = []
    glance = glances.Glance(model, {}, faults.append)
    glance.install()
    parts = [torch.randn(3, 6, generator=torch.Generator().manual_seed(k)) * (k + 1) for k in range(2)]
    for part in parts:
        assert glance.launch(next(iter(glance._readers.values()))[1].place, part.to(DEVICE))
        glance.counts[1][0] += part.numel()
    read, whole = glance.moments(1)[0], reference(torch.cat(parts).numpy())
    assert read is not None and not faults
    assert (read.count, read.maximum) == (whole.count, whole.maximum)
    assert read.rms == pytest.approx(whole.rms, rel=1e-6)
    assert glance.moments(0)[0] is None
    glance.remove()


def test_the_kernels_compile_for_a_gpu_without_one(tmp_path: Path) -> None:
    """The interpreter takes what triton's compiler refuses: a name in an annotation that is not triton's, say."""
    script = tmp_path / "compiled.py"
    script.write_text(COMPILED)
    surroundings = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(script)], env=surroundings, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    sizes = [int(line) for line in done.stdout.split()]
    assert len(sizes) == 3 and min(sizes) > 0
