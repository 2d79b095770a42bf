"""Real architectures with random weights, torch's own and those of `transformers`, for the table of what is seen."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Built = tuple[nn.Module, Any, Callable[[Any, Any], Tensor] | None]
Builder = Callable[[], Built]

_VOCABULARY = 64
_SMALL: dict[str, int] = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
    "vocab_size": _VOCABULARY, "max_position_embeddings": 64,
}  # fmt: skip


def _tokens(batch: int = 4) -> Tensor:
    return torch.randint(_VOCABULARY, (batch, 16))


def _text(model: nn.Module) -> Built:
    return model, {"input_ids": _tokens(), "labels": _tokens()}, None


def _images(model: nn.Module) -> Built:
    return model, {"pixel_values": torch.randn(4, 3, 32, 32), "labels": torch.randint(10, (4,))}, None


class _Block(nn.Module):
    """Residual block with batch norm, in-place ReLU and `out += x`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm, self.group = nn.BatchNorm2d(width), nn.GroupNorm(4, width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.group(self.second(self.relu(self.norm(self.first(x)))))
        out += x
        return self.relu(out)


class _LastStep(nn.Module):
    def __init__(self, kind: Callable[..., nn.RNNBase]) -> None:
        super().__init__()
        self.layer, self.head = kind(8, 32, num_layers=2, bidirectional=True, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


def _classified(model: nn.Module, *shape: int) -> Built:
    for module in model.modules():  # torch's default weights would fade: they are sqrt(6) too small for ReLU
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight)
    return model, (torch.randn(16, *shape), torch.randint(10, (16,))), F.cross_entropy


def _mlp() -> Built:
    hidden = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return _classified(nn.Sequential(*hidden, nn.Linear(64, 10)), 64)


def _cnn() -> Built:
    stages = [
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 32, 1), nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ConvTranspose2d(32, 16, 2, stride=2), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    ]  # fmt: skip
    return _classified(nn.Sequential(*stages), 3, 16, 16)


def _residual() -> Built:
    stages = [nn.Conv2d(3, 16, 3, padding=1), *[_Block(16) for _ in range(4)]]
    return _classified(nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), 3, 16, 16)


def _encoder(*, norm_first: bool) -> Built:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=norm_first)
    model = nn.Sequential(
        nn.Linear(8, 32), nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.Linear(32, 8)
    )
    x = torch.randn(8, 12, 8)
    return model, (x, torch.randn(8, 12, 8)), F.mse_loss


TORCH: dict[str, Builder] = {
    "MLP, 10 layers": _mlp,
    "CNN (depthwise, strided, transposed, pooled)": _cnn,
    "residual CNN (BatchNorm, GroupNorm, in place)": _residual,
    "RNN, 2 layers, bidirectional": lambda: _classified(_LastStep(nn.RNN), 20, 8),
    "LSTM, 2 layers, bidirectional": lambda: _classified(_LastStep(nn.LSTM), 20, 8),
    "GRU, 2 layers, bidirectional": lambda: _classified(_LastStep(nn.GRU), 20, 8),
    "transformer encoder, pre-norm": lambda: _encoder(norm_first=True),
    "transformer encoder, post-norm": lambda: _encoder(norm_first=False),
}


def transformers() -> dict[str, Builder]:
    """Return tiny random networks of the `transformers` architectures; none where the package is missing or broken."""
    try:
        t: Any = importlib.import_module("transformers")
    except Exception:  # a broken torchvision beside it raises RuntimeError
        return {}
    grouped: dict[str, int] = {**_SMALL, "num_key_value_heads": 2}
    mamba = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 1,
        "vocab_size": _VOCABULARY, "chunk_size": 8,
    }  # fmt: skip
    vision = {"num_labels": 10, "hidden_sizes": [16, 32], "depths": [2, 2]}
    return {
        "GPT-2": lambda: _text(
            t.GPT2LMHeadModel(t.GPT2Config(n_embd=64, n_layer=3, n_head=4, vocab_size=_VOCABULARY, n_positions=64))
        ),
        "Llama": lambda: _text(t.LlamaForCausalLM(t.LlamaConfig(**grouped))),
        "Qwen3": lambda: _text(t.Qwen3ForCausalLM(t.Qwen3Config(head_dim=16, **grouped))),
        "Gemma": lambda: _text(t.GemmaForCausalLM(t.GemmaConfig(head_dim=16, **grouped))),
        "Mixtral": lambda: _text(t.MixtralForCausalLM(t.MixtralConfig(num_local_experts=4, **grouped))),
        "Mamba2": lambda: _text(t.Mamba2ForCausalLM(t.Mamba2Config(**mamba))),
        "RWKV": lambda: _text(
            t.RwkvForCausalLM(
                t.RwkvConfig(hidden_size=64, num_hidden_layers=2, vocab_size=_VOCABULARY, context_length=32)
            )
        ),
        "BERT": lambda: _text(t.BertForMaskedLM(t.BertConfig(**_SMALL))),
        "T5": lambda: _text(
            t.T5ForConditionalGeneration(
                t.T5Config(
                    d_model=64,
                    d_kv=16,
                    d_ff=128,
                    num_layers=2,
                    num_heads=4,
                    vocab_size=_VOCABULARY,
                    decoder_start_token_id=0,
                )
            )
        ),
        "ViT": lambda: _images(
            t.ViTForImageClassification(
                t.ViTConfig(
                    hidden_size=64,
                    num_hidden_layers=3,
                    num_attention_heads=4,
                    intermediate_size=128,
                    image_size=32,
                    patch_size=8,
                    num_labels=10,
                )
            )
        ),
        "ResNet": lambda: _images(t.ResNetForImageClassification(t.ResNetConfig(embedding_size=16, **vision))),
        "ConvNeXt": lambda: _images(
            t.ConvNextForImageClassification(t.ConvNextConfig(num_stages=2, image_size=32, **vision))
        ),
        "Whisper": lambda: _whisper(t),
    }


def _whisper(t: Any) -> Built:
    config = t.WhisperConfig(
        d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=_VOCABULARY, max_source_positions=50, num_mel_bins=16,
        decoder_start_token_id=0, pad_token_id=1, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    batch = {"input_features": torch.randn(2, 16, 100), "labels": _tokens(2)}
    return t.WhisperForConditionalGeneration(config), batch, None
