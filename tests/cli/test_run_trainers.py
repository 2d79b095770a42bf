"""`photic run` on scripts that leave the loop to a trainer. These run in `python3 dev.py test --integrations`, where they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.cli.test_run import MODEL, photic, whole

LIGHTNING = (
    MODEL
    + """
import lightning as L
from torch.utils.data import DataLoader, TensorDataset

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = Net({act})
    def training_step(self, batch, index):
        return F.cross_entropy(self.net(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.05)

trainer = L.Trainer(max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
                    enable_model_summary=False, accumulate_grad_batches=2, gradient_clip_val=1.0)
trainer.fit(Module(), DataLoader(TensorDataset(X, Y), batch_size=8))
"""
)
TRAINER = """
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=64, n_positions=32, bos_token_id=0, eos_token_id=0))
rows = [{"input_ids": t, "labels": t} for t in torch.randint(64, (64, 16))]
arguments = TrainingArguments("out", max_steps=30, per_device_train_batch_size=8, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True)
Trainer(model=model, args=arguments, train_dataset=rows).train()
"""


@pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="lightning is not installed here")
@pytest.mark.parametrize(("act", "healthy"), [("", True), ("torch.sigmoid, 10, False", False)])
def test_lightning(tmp_path: Path, act: str, healthy: bool) -> None:
    (tmp_path / "script.py").write_text(LIGHTNING.replace("{act}", act))
    done = photic(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    record, reader = whole(tmp_path)
    assert record.healthy == healthy, done.stderr
    assert len(reader.rows("loss")) >= 3
    assert any(site.name.startswith(("net.layers", "layers")) for site in record.run.sites)


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="transformers' Trainer needs accelerate")
def test_transformers_trainer(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TRAINER)
    done = photic(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    record, reader = whole(tmp_path)
    assert record.healthy, done.stderr
    assert reader.facts()["steps"] == 30
    assert "transformer.h.1.attn" in {site.module for site in record.run.sites}
