"""The server as an assistant meets it: `photic mcp` in a process of its own, spoken to by the SDK's client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from photic.cli.assistant import of_run
from photic.cli.main import run

SICK = """
import torch
import torch.nn.functional as F
from torch import nn

print("the user's own print must not disturb the protocol")

class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(10))
        self.head = nn.Linear(32, 4)
    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)

def build():
    generator = torch.Generator().manual_seed(0)
    centres = 2.0 * torch.randn(4, 32, generator=generator)
    y = torch.randint(4, (512,), generator=generator)
    x = centres[y] + torch.randn(512, 32, generator=generator)
    batches = [(a, b) for a, b in zip(x.split(64), y.split(64))]
    return Deep(), batches, F.cross_entropy, lambda model: torch.optim.SGD(model.parameters(), 0.1)
"""


def talk(folder: Path, conversation: Any) -> Any:
    mcp: Any = pytest.importorskip("mcp", exc_type=ImportError)
    parameters = mcp.StdioServerParameters(command=sys.executable, args=["-m", "photic", "mcp"], cwd=str(folder))

    async def main() -> Any:
        async with mcp.Client(parameters) as client:
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(main(), 900))


@pytest.mark.filterwarnings("ignore")  # the SDK's own
def test_an_assistant_checks_explains_treats_and_writes_only_with_the_confirmation(tmp_path: Path) -> None:
    source = tmp_path / "model.py"
    source.write_text(SICK)

    async def conversation(client: Any) -> None:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"check", "findings", "explain", "treat", "apply_patch"}
        found = (await client.call_tool("check", {"target": "model.py:build", "steps": 0})).structured_content
        assert found["healthy"] is False and found["findings"][0]["problem"] == "vanishing-gradient"
        assert found["findings"][0]["where"].startswith("model.py:") and len(found["layers"]) == 11
        told = (await client.call_tool("explain", {"problem": "vanishing-gradient"})).structured_content
        assert "Sources: " in told["vanishing-gradient"]
        missing = await client.call_tool("check", {"target": "model.py:bild"})
        assert missing.is_error and "did you mean build?" in missing.content[0].text
        treated = (await client.call_tool("treat", {"target": "model.py:build", "steps": 60})).structured_content
        assert treated["accepted"] and treated["patch"] and source.read_text() == SICK
        refused = await client.call_tool("apply_patch", {"confirmation": "yes"})
        assert refused.is_error and source.read_text() == SICK
        await client.call_tool("apply_patch", {"confirmation": treated["confirmation"]})
        assert source.read_text() != SICK and (tmp_path / "model.py.orig").read_text() == SICK
        again = await client.call_tool("apply_patch", {"confirmation": treated["confirmation"]})
        assert again.is_error

    talk(tmp_path, conversation)


def test_the_findings_of_a_run_are_read_from_its_store_and_its_record(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        SICK + "\nmodel, batches, loss, make = build()\noptimizer = make(model)\n"
        "for k in range(12):\n    x, y = batches[k % 8]\n    optimizer.zero_grad()\n    loss(model(x), y).backward()\n    optimizer.step()\n"
    )
    store = tmp_path / "run.sqlite"
    assert run(["run", "--record", str(store), str(tmp_path / "train.py")]) == 0
    live, saved = of_run(store), of_run(store.with_suffix(".json"))
    assert live["steps"] == 12 and [f["problem"] for f in live["findings"]] == [f["problem"] for f in saved["findings"]]
    assert live["findings"][0]["problem"] == "vanishing-gradient" and saved["healthy"] is False
    with pytest.raises(ValueError, match="there is no file"):
        of_run(tmp_path / "nothing.sqlite")
