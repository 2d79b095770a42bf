"""The cookbook's pages do what they say: each page's Python runs as it stands, and prints or passes.

A page opens with `<!-- run: WAY -->` or `<!-- run: WAY; needs: LIBRARY -->`. WAY is `python`, `pytest` or
`torchrun N`; a library that is not here skips the page: `python3 dev.py test --integrations` has them all.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "cookbook").glob("*.md"))
# The interpreter's end takes gloo's threads down while they wait for it, and hangs or aborts now and then, also without photic.
LEAVE = "import os, sys\nsys.stdout.flush()\nos._exit(0)\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    head = re.match(r"<!-- run: (python|pytest|torchrun \d+)(?:; needs: ([\w, ]+))? -->\n", text)
    assert head, f"{page} does not say how it is run"
    for library in (head[2] or "").replace(",", " ").split():
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed here")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S))
    assert code
    script = tmp_path / "test_page.py"
    way, *ranks = head[1].split()
    script.write_text(code + LEAVE if way == "torchrun" else code)
    start = {
        "python": [sys.executable],
        "pytest": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", *ranks],
    }[way]
    offline = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [*start, str(script)], cwd=tmp_path, env={**os.environ, **offline}, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in re.findall(r"^    # prints: (.*)$|^# prints: (.*)$", code, flags=re.M):
        assert "".join(expected) in done.stdout + done.stderr, done.stdout + done.stderr
