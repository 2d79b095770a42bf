"""One thread per worker: two test workers share two cores, and results do not depend on how many. And ears for Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import settings as drawn

from tests import children

torch.set_num_threads(1)
# No test is timed: beside other work an example may take a second to draw.
drawn.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
drawn.load_profile("untimed")
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
    """Here too one process per worker, unless a test asks for more."""
    take_back = children.one_arm_at_a_time()
    yield
    take_back()


@pytest.fixture(scope="session")
def forking() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which photic's own processes, which prove a patch or load a program, begin with torch imported.

    That they begin from nothing is tested in test_proof.py, test_sources.py and start.md.
    """

    def run(
        command: list[str],
        *,
        input: str = "",
        env: dict[str, str] | None = None,
        capture_output: bool = False,
        **_: Any,
    ) -> subprocess.CompletedProcess[str]:
        done = children.run(command, input=input, **(env or {}))
        for number, text in () if capture_output else ((1, done.stdout), (2, done.stderr)):
            os.write(number, text.encode())
        return done

    @contextmanager
    def within() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "run", run)
            yield

    return within


@pytest.fixture
def forked(forking: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with forking():
        yield


def pytest_collection_finish() -> None:
    """Spare the collector what lives as long as the session: it would go through all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


# Seconds alone on two cores that another test of the same thing saves: run with `-m slow`, like the reproductions.
SLOW = {
    "tests/checkups/test_watching_loops.py": ("[gru on raw series]", "[lstm on raw series]"),
    "tests/checkups/test_watching_compiled.py": ("training_in_another[after]", "[after-wrapped-aot_eager]"),
    "tests/cli/test_proof.py": ("::test_the_patched_text_is_trained",),
    "tests/cli/test_run_faults.py": ("::test_a_script_that_leaves_through_the_back_door",),
    "tests/docs/test_pages.py": ("[cookbook/distributed.md]", "[cookbook/loading.md]", "[tutorial.md]"),
    "tests/lab/test_engines.py": ("[loky]",),
    "tests/lab/test_papers.py": ("[xiong2020]", "[balduzzi2017]", "[yang2019]", "[schoenholz2017]", "[zhang2019]"),
    "tests/lab/test_rounding.py": ("at_every_step[dtype0]",),
    "tests/remedies/test_posted.py": ("[positions by arange]", "[scores into ctc]"),
    "tests/remedies/test_patches.py": ("-method]", "-inherited]", "-a sequential]", "-modules in a factory]", "-a function as"),
    "tests/remedies/test_steady_cures.py": ("::test_what_climbs_with_another_seed",),
    "tests/remedies/test_structure.py": ("[residual-without-norm-skip-init]", "[neighbours-sixteen-hops-initial-residual]"),
    "tests/remedies/test_unseen_cuts.py": ("softmax[topk-squeezed]", "softmax[min]"),
    "tests/theory/test_predictions.py": ("-1024]",),
    "tests/web/test_export.py": tuple(
        f"an_answer[{name}]" for name in ("free", "precision", "normalisation", "xavier", "centring", "backpropagation", "saturation",
                                         "residual", "depth", "he", "time", "tanh")
    ),
    "tests/web/test_report_page.py": ("dresses[light-1280]", "dresses[dark-2560]", "dresses[light-2560]"),
    "tests/web/test_server.py": ("harmless[2560-light]", "harmless[1280-dark]"),
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, before pytest chooses by marks."""
    for item in items:
        if any(part in item.nodeid for part in SLOW.get(item.nodeid.partition("::")[0], ())):
            item.add_marker(pytest.mark.slow)
