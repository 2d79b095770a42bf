"""Rules on structure and scale: zero times zero, rank collapse, idle layers, missing normalisation, gates, attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.diagnosis.test_data_rules import adam, classes, found, sgd


class Branch(nn.Module):
    """A linear way and a trained branch beside it, whose part is multiplied by a constant, a gate, or zero weights."""

    def __init__(self, factor: float, *, gated: bool = False, zero: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(16, 32), nn.Linear(32, 4)
        self.inner, self.outer = nn.Linear(32, 32), nn.Linear(32, 32, bias=False)
        self.gate = nn.Parameter(torch.tensor(factor)) if gated else factor
        if zero:
            nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.gate * self.outer(torch.relu(self.inner(x))))


def test_a_gate_and_a_branch_that_both_start_at_zero_are_zero_times_zero() -> None:
    first = found(Branch(0.0, gated=True, zero=True), classes(0), F.cross_entropy, adam())[0]
    assert (first.problem, first.sites) == ("zero-times-zero", ("outer",))


@pytest.mark.parametrize(
    "model",
    [Branch(0.0, gated=True), Branch(1.0, zero=True), Branch(1e-5, gated=True)],
    ids=["rezero", "fixup", "layerscale"],
)
def test_one_zero_alone_and_a_gate_that_opens_are_good_starts(model: nn.Module) -> None:
    assert found(model, classes(0), F.cross_entropy, adam(1e-2)) == []


def test_a_branch_times_a_small_constant_is_idle() -> None:
    first = found(Branch(1e-6), classes(0), F.cross_entropy, sgd())[0]
    assert (first.problem, first.sites) == ("idle-layer", ("inner", "outer"))
    assert found(Branch(0.1), classes(0), F.cross_entropy, sgd()) == []


@pytest.mark.parametrize("value", [0.01, 0.3])
def test_equal_weights_make_one_unit_of_a_layer(value: float) -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 4))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.weight, value)
            nn.init.zeros_(layer.bias)
    assert found(model, classes(0), F.cross_entropy, sgd())[0].problem == "rank-collapse"


class Mixer(nn.Module):
    """Attention alone, twelve times, with or without skips."""

    def __init__(self, *, skip: bool, scale: float = 1.0, layers: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Linear(4, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 96) for _ in range(layers))
        self.head, self.skip, self.scale = nn.Linear(32, 4), skip, scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.view(-1, 4, 4))
        for layer in self.layers:
            query, key, value = layer(x).chunk(3, -1)
            shares = (self.scale * query @ key.transpose(-1, -2)).softmax(-1)
            x = (x if self.skip else 0) + shares @ value
        return self.head(x.mean(1))


def test_attention_without_skips_makes_one_position_of_all() -> None:
    assert found(Mixer(skip=False), classes(0), F.cross_entropy, adam())[0].problem == "rank-collapse"
    assert "rank-collapse" not in [
        f.problem for f in found(Mixer(skip=True, scale=0.1), classes(0), F.cross_entropy, adam())
    ]


def test_scores_in_the_thousands_saturate_attention_and_usual_ones_do_not() -> None:
    first = found(Mixer(skip=True, scale=3e4, layers=2), classes(0), F.cross_entropy, adam())[0]
    assert (first.problem, first.sites[0]) == ("saturated-attention", "/softmax#1")
    assert found(Mixer(skip=True, scale=0.2, layers=2), classes(0), F.cross_entropy, adam()) == []


class Fused(nn.Module):
    """`scaled_dot_product_attention` on one layer's queries and keys."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.mix, self.head = nn.Linear(4, 32), nn.Linear(32, 96), nn.Linear(32, 4)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.view(-1, 4, 4))
        query, key, value = (part.unflatten(-1, (2, 16)).transpose(1, 2) for part in self.mix(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(query * self.scale, key, value, is_causal=True)
        return self.head((x + mixed.transpose(1, 2).flatten(2)).mean(1))


@pytest.mark.parametrize(("scale", "sick"), [(1e5, True), (1.0, False)])
def test_fused_attention_is_judged_by_its_logits(scale: float, sick: bool) -> None:
    problems = [f.problem for f in found(Fused(scale), classes(0), F.cross_entropy, adam())]
    assert problems == (["saturated-attention"] if sick else [])


class Reader(nn.Module):
    """An LSTM or GRU over four steps of four numbers."""

    def __init__(self, kind: Any = nn.LSTM, *, forget: float | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = kind(4, 32, batch_first=True), nn.Linear(32, 4)
        if forget is not None:
            with torch.no_grad():
                self.layer.bias_ih_l0[32:64] = forget

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.view(-1, 4, 4))[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_thrown_about_by_a_raw_input_are_saturated(kind: Any) -> None:
    assert "saturated-gates" in [f.problem for f in found(Reader(kind), classes(0, 3000.0), F.cross_entropy, adam())]
    assert found(Reader(kind), classes(0), F.cross_entropy, adam()) == []


def test_gates_that_a_bias_holds_open_are_meant_to() -> None:
    assert found(Reader(forget=9.0), classes(0), F.cross_entropy, adam()) == []


def test_gates_made_by_hand_are_judged_alike() -> None:
    class Gated(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.gate, self.value, self.head = nn.Linear(16, 32), nn.Linear(16, 32), nn.Linear(32, 4)
            with torch.no_grad():
                self.gate.weight.mul_(scale)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.sigmoid(self.gate(x)) * self.value(x))

    assert [f.problem for f in found(Gated(100.0), classes(0), F.cross_entropy, adam())] == ["saturated-gates"]
    assert found(Gated(1.0), classes(0), F.cross_entropy, adam()) == []


class Stream(nn.Module):
    """Residual blocks with He weights, with or without a normalisation before each."""

    def __init__(self, depth: int, *, norm: bool, post: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head, self.post = nn.Linear(16, 32), nn.Linear(32, 4), post
        self.norms = nn.ModuleList(nn.LayerNorm(32) if norm else nn.Identity() for _ in range(depth))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(depth)
        )
        for block in self.blocks:
            nn.init.kaiming_normal_(block[0].weight)  # pyright: ignore
            nn.init.kaiming_normal_(block[2].weight)  # pyright: ignore

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = norm(x + block(x)) if self.post else x + block(norm(x))
        return self.head(x)


def test_a_stream_that_grows_without_normalisation_lacks_one() -> None:
    assert found(Stream(24, norm=False), classes(0), F.cross_entropy, sgd(0.01))[0].problem == "missing-normalisation"
    assert found(Stream(24, norm=True), classes(0), F.cross_entropy, sgd(0.01)) == []


@pytest.mark.parametrize(("post", "rate", "sick"), [(True, 1e-2, True), (True, 1e-4, False), (False, 1e-3, False)])
def test_deep_post_norm_at_full_rate_from_the_first_step_wants_a_warm_up(post: bool, rate: float, sick: bool) -> None:
    problems = [f.problem for f in found(Stream(26, norm=True, post=post), classes(0), F.cross_entropy, adam(rate))]
    assert problems == (["post-norm-without-warmup"] if sick else [])


def deep(deviation: float, activation: type[nn.Module], depth: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs in (16, *[64] * depth):
        layers += [nn.Linear(inputs, 64), activation()]
        nn.init.normal_(layers[-2].weight, std=deviation)  # pyright: ignore
    return nn.Sequential(*layers, nn.Linear(64, 4))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_weights_a_tenth_of_what_is_wanted_are_too_small(activation: type[nn.Module]) -> None:
    first = found(deep(0.01, activation), classes(0), F.cross_entropy, sgd())[0]
    assert (first.problem, first.sites[0]) == ("weights-too-small", "0")
    assert "/ fan_in" in first.reason


def test_weights_a_hundred_times_what_is_wanted_are_too_large() -> None:
    first = found(deep(1.0, nn.ReLU, depth=2), classes(0), F.cross_entropy, sgd(0.01))[0]
    assert (first.problem, first.sites[0]) == ("weights-too-large", "0")


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_weights_as_wanted_raise_no_alarm(activation: type[nn.Module]) -> None:
    assert found(deep(0.15, activation), classes(0), F.cross_entropy, sgd()) == []


class Rounded(nn.Module):
    """A code that is rounded, with or without a way around, or made a sign, or chosen."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lower, self.head, self.how = nn.Linear(16, 32), nn.Linear(32, 4), how

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(self.lower(x)))


@pytest.mark.parametrize(
    ("how", "operation"),
    [(torch.round, "round"), (torch.sign, "sign"), (torch.floor, "floor"), (lambda x: (x > 0).float(), "gt"),
     (lambda x: F.one_hot(x.argmax(-1), 32).float(), "argmax")],
)  # fmt: skip
def test_an_operation_without_derivative_is_named(how: Any, operation: str) -> None:
    first = found(Rounded(how), classes(0), F.cross_entropy, sgd())[0]
    assert (first.problem, first.sites[0].split("/")[1].split("#")[0]) == ("severed-nondifferentiable", operation)


@pytest.mark.parametrize(
    "how", [lambda x: x + (torch.round(x) - x).detach(), lambda x: x * (x > 0), lambda x: x.topk(8)[0].repeat(1, 4)]
)
def test_a_way_around_is_no_cut(how: Any) -> None:
    assert found(Rounded(how), classes(0), F.cross_entropy, sgd()) == []


class TwoHeads(nn.Module):
    """An encoder with a reconstruction and a class beside it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder, self.classes = nn.Linear(16, 8), nn.Linear(8, 16), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.decoder(code), self.classes(code)


@pytest.mark.parametrize("number", [lambda term: term.item(), lambda term: float(term.detach())])
def test_a_term_of_the_loss_that_becomes_a_number_severs_its_head(number: Any) -> None:
    def loss(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return output[0].square().mean() + number(F.cross_entropy(output[1], target))

    assert found(TwoHeads(), classes(0), loss, adam())[0].problem == "severed-gradient"


def test_a_term_that_is_only_logged_and_a_head_without_use_sever_nothing() -> None:
    def logged(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        value = output[0].square().mean() + F.cross_entropy(output[1], target)
        assert value.item() > 0.0
        return value

    def unused(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return output[0].square().mean()

    assert found(TwoHeads(), classes(0), logged, adam()) == []
    assert found(TwoHeads(), classes(0), unused, adam()) == []


class Turns(nn.Module):
    """Two halves of which the batch says whose turn it is; the other half is detached."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        if int(turn):
            return self.second(hidden.detach())
        return F.linear(hidden, self.second.weight.detach(), self.second.bias.detach())


def test_halves_that_take_turns_are_not_severed() -> None:
    batches = [((x, torch.tensor(turn)), y) for x, y in classes(0) for turn in (1, 0)]
    assert found(Turns(), batches, F.cross_entropy, adam()) == []
