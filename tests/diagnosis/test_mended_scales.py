"""Scales, factors and numbers that hold a network where it starts: found where they are, not where they only look so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import check
from photic.probes.row_order import moved_answers
from photic.records.findings import Checkup

draw = torch.Generator().manual_seed(5)
TEACHER = torch.randn(16, 4, generator=draw)
BATCHES = [(x, (x @ TEACHER).argmax(1)) for x in (torch.randn(32, 16, generator=draw) for _ in range(40))]


def classes(scale: float = 1.0) -> Callable[[], Iterator[Any]]:
    return lambda: iter([(scale * x, y) for x, y in BATCHES])


def asked(
    model: nn.Module,
    batches: Any = None,
    loss: Any = F.cross_entropy,
    *,
    rate: float = 1e-2,
    steps: int | None = None,
) -> Checkup:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    return check(model, classes() if batches is None else batches, loss, optimizer, steps=steps)


def alarms(checkup: Checkup) -> list[str]:
    return [finding.problem for finding in checkup.findings if finding.severity != "info"]


class Branch(nn.Module):
    """A plain layer and a branch beside it, times a factor."""

    def __init__(self, factor: float, *, learned: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.branch, self.head = nn.Linear(16, 2), nn.Linear(16, 32), nn.Linear(32, 4)
        self.up = nn.Linear(2, 4)
        self.factor: Any = nn.Parameter(torch.tensor(factor)) if learned else factor

    def gate(self) -> Any:
        return self.factor

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.way(x)) + self.gate() * self.head(torch.relu(self.branch(x)))


class Cut(Branch):
    def gate(self) -> Any:
        return torch.relu(self.factor)


class LeftOut(Branch):
    """Stochastic depth: the branch is there in every third step."""

    turn = 0

    def gate(self) -> Any:
        self.turn += 1
        return float(self.turn % 3 == 2)


def hard(checkup: Checkup) -> Any:
    return next(f for f in checkup.findings if f.problem == "idle-layer")


def shuffled() -> Iterator[Any]:
    """The classes of an exclusive or, of which a linear way learns nothing."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(80):
        x = torch.randn(64, 16, generator=generator)
        yield x, 2 * (x[:, 0] > 0).long() + (x[:, 1] * x[:, 2] > 0).long()


def test_a_branch_times_a_fixed_zero_is_idle() -> None:
    found = hard(asked(Branch(0.0), shuffled))
    assert found.severity == "warning" and set(found.sites) == {"branch", "head"}


def test_a_gate_that_a_relu_holds_at_zero_never_opens() -> None:
    assert "idle-layer" in alarms(asked(Cut(-0.5, learned=True), shuffled))


def test_a_learned_factor_of_zero_opens() -> None:
    assert "idle-layer" not in [f.problem for f in asked(Branch(0.0, learned=True), shuffled).findings]


def test_a_branch_left_out_at_random_is_not_idle() -> None:
    assert "idle-layer" not in [f.problem for f in asked(LeftOut(0.0), shuffled).findings]


class Corrected(nn.Module):
    """A frozen layer and a correction of low rank beside it."""

    def __init__(self, scaling: float, *, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(16, 4).requires_grad_(False)
        self.first = nn.Parameter(torch.zeros(16, 2) if both else torch.randn(16, 2) / 4.0)
        self.second, self.scaling = nn.Parameter(torch.zeros(2, 4)), scaling

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scaling * (x @ self.first @ self.second)


def test_a_correction_scaled_by_zero_is_idle_and_not_two_zeros() -> None:
    assert alarms(asked(Corrected(0.0)))[:1] == ["idle-layer"]
    assert alarms(asked(Corrected(1.0, both=True)))[:1] == ["zero-times-zero"]
    assert "idle-layer" not in alarms(asked(Corrected(1.0)))


class Threshold(nn.Module):
    """The larger of the signal and a learned threshold, in the place of a ReLU."""

    def __init__(self, tau: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.above = nn.Linear(16, 32), nn.Linear(32, 4)
        self.tau, self.shift = nn.Parameter(torch.full((32,), tau)), nn.Parameter(torch.zeros(1, 32))

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.max(self.below(x) + self.shift, self.tau))


def test_a_threshold_above_all_of_the_signal_kills_the_layer_below() -> None:
    assert alarms(asked(Threshold(9.0)))[:1] == ["dead-units"]
    assert not alarms(asked(Threshold(0.0)))


class Normalised(nn.Module):
    """Two layers with a normalisation between them, torch's or written out."""

    def __init__(self, kind: str, eps: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.above, self.kind, self.eps = nn.Linear(16, 32, bias=False), nn.Linear(32, 4), kind, eps
        self.norm: nn.Module = nn.Identity()
        if kind in ("batch", "layer"):
            self.norm = nn.BatchNorm1d(32, eps=eps) if kind == "batch" else nn.LayerNorm(32, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x)
        if self.kind == "length":
            h = 6.0 * F.normalize(h, dim=-1, eps=self.eps)
        elif self.kind == "root":
            h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + self.eps)
        return self.above(torch.tanh(self.norm(h)))


KINDS = ("batch", "layer", "length", "root")
SICK = {"batch": 1e-5, "layer": 1e-5, "length": 1e-3, "root": 1e-6}


def test_an_epsilon_far_above_the_variance_is_found_in_every_normalisation() -> None:
    for kind in KINDS:
        assert alarms(asked(Normalised(kind, SICK[kind]), classes(1e-6)))[:1] == ["frozen-by-epsilon"], kind


def test_an_epsilon_below_the_variance_is_no_finding() -> None:
    for kind in KINDS:
        assert not alarms(asked(Normalised(kind, 1e-19), classes(1e-6))), kind
        assert not alarms(asked(Normalised(kind, SICK[kind]))), kind


class ByHand(nn.Module):
    """Codes of length 1, written out, and a head."""

    def __init__(self, *, divided: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.above, self.divided = nn.Linear(16, 32, bias=False), nn.Linear(32, 4), divided

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x)
        if self.divided:
            centred = h - h.mean(-1, keepdim=True)
            h = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-20).sqrt()
        return self.above(h)


def test_a_normalisation_written_out_takes_the_scale_of_the_input_away() -> None:
    for scale in (1e-6, 300.0):
        assert not [f for f in alarms(asked(ByHand(divided=True), classes(scale))) if f != "learning-rate-too-small"]
    assert "unscaled-input" in alarms(asked(ByHand(divided=False), classes(300.0)))


class Products(nn.Module):
    """Layers written out with matrices of their own."""

    def __init__(self, start: Callable[[int, int], Tensor], *, positive: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ws = nn.ParameterList([nn.Parameter(start(a, b)) for a, b in ((16, 64), (64, 64), (64, 4))])
        self.positive = positive

    def forward(self, x: Tensor) -> Tensor:
        for index, w in enumerate(self.ws):
            x = x @ (w.exp() if self.positive else w)
            x = torch.relu(x) if index < 2 else x
        return x


def normal(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns)


def scaled(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) * (2.0 / rows) ** 0.5


def positive(rows: int, columns: int) -> Tensor:
    return torch.rand(rows, columns)


def numbers() -> Iterator[Any]:
    return iter([(x, torch.tanh(x @ TEACHER)) for x, _ in BATCHES])


def test_matrices_of_products_drawn_too_large_are_found() -> None:
    for start in (normal, positive):
        assert alarms(asked(Products(start), numbers, F.mse_loss))[:1] == ["weights-too-large"]
    assert not alarms(asked(Products(scaled), numbers, F.mse_loss))


class Tables(nn.Module):
    """A factorisation: the product of two rows."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = nn.Embedding(20, 256), nn.Embedding(20, 256)
        for table in (self.one, self.other):
            nn.init.normal_(table.weight, std=deviation)

    def forward(self, pair: Tensor) -> Tensor:
        return (self.one(pair[:, 0]) * self.other(pair[:, 1])).sum(1)


def pairs() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(20, 3, generator=generator) @ torch.randn(3, 20, generator=generator)
    for _ in range(60):
        pair = torch.randint(20, (64, 2), generator=generator)
        yield pair, table[pair[:, 0], pair[:, 1]]


def test_tables_of_deviation_one_are_too_large_for_their_products() -> None:
    assert alarms(asked(Tables(1.5), pairs, F.mse_loss))[:1] == ["weights-too-large"]
    assert not alarms(asked(Tables(0.2), pairs, F.mse_loss))


class Codes(nn.Module):
    """Two codes of length 1, each of one half."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = (nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.one(x[:, :8]), dim=-1), F.normalize(self.other(x[:, 8:]), dim=-1)


def matching(factor: float) -> Callable[[Any, Any], Tensor]:
    def loss(output: tuple[Tensor, Tensor], _: Any) -> Tensor:
        return F.cross_entropy(factor * (output[0] @ output[1].T), torch.arange(len(output[0])))

    return loss


def halves() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(2)
    for _ in range(60):
        half = torch.randn(48, 8, generator=generator)
        yield torch.cat([half, half.flip(1)], 1), torch.zeros(48)


def test_cosines_times_the_temperature_keep_the_loss_up() -> None:
    found = asked(Codes(), halves, matching(0.1), rate=3e-3)
    assert alarms(found)[:1] == ["loss-saturation"]
    assert not alarms(asked(Codes(), halves, matching(10.0), rate=3e-3))


def welsch(scale: float) -> Callable[[Any, Any], Tensor]:
    return lambda output, target: (1.0 - torch.exp(-(output - target).square().sum(1) / (2.0 * scale**2))).mean()


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))


def test_a_robust_loss_narrow_beside_the_errors_is_flat() -> None:
    assert alarms(asked(plain(), numbers, welsch(0.1)))[:1] == ["loss-saturation"]
    assert not alarms(asked(plain(), numbers, welsch(2.0)))
    assert "loss-saturation" not in alarms(asked(plain(), noise, F.mse_loss))  # nothing to learn, and yet a slope


def noise() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(4)
    return iter([(x, torch.randn(32, 4, generator=generator)) for x, _ in BATCHES])


def sure(bias: float) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    nn.init.constant_(model[2].bias, bias)  # pyright: ignore[reportArgumentType]
    return model


def seldom() -> Iterator[Any]:
    return iter([(x, (x[:, :1] > 1.0).float()) for x, _ in BATCHES])


def test_a_sigmoid_that_begins_at_a_prior_is_flat_under_a_squared_error() -> None:
    assert alarms(asked(sure(-11.0), seldom, F.mse_loss))[:1] == ["loss-saturation"]
    assert not alarms(asked(sure(-1.5), seldom, F.mse_loss))
    assert not alarms(asked(sure(-4.0), seldom, F.binary_cross_entropy))


class Snakes(nn.Module):
    """x + sin(a x)^2 / a over many layers, with the logarithm of a learned."""

    def __init__(self, logarithm: float, *, depth: int = 12, encoded: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(2 if i == 0 else 24, 24) for i in range(depth)])
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        self.log_a = nn.Parameter(torch.full((24,), logarithm))
        self.head, self.encoded = nn.Linear(24, 1), encoded

    def forward(self, x: Tensor) -> Tensor:
        if self.encoded:
            x = torch.sin(200.0 * x)
        for layer in self.layers:
            x = layer(x)
            a = self.log_a.exp()
            x = x + torch.sin(a * x).square() / a
        return self.head(x)


def field() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(6)
    for _ in range(60):
        x = 2.0 * torch.rand(64, 2, generator=generator) - 1.0
        yield x, 1.6 * torch.sin(3.0 * x[:, :1]) * torch.cos(2.0 * x[:, 1:])


def test_a_deep_network_whose_gradients_are_noise_is_found_while_it_learns_a_little() -> None:
    assert alarms(asked(Snakes(5.0), field, F.mse_loss, rate=1e-3))[:1] == ["shattered-gradient"]
    assert "shattered-gradient" not in alarms(asked(Snakes(0.0), field, F.mse_loss, rate=1e-3))


def test_waves_of_the_input_bend_the_gradient_without_harm() -> None:
    found = asked(Snakes(0.0, encoded=True), waves, F.mse_loss, rate=1e-3)
    assert found.run.neighbours is not None and found.run.neighbours < 0.25
    assert "shattered-gradient" not in alarms(found)


def waves() -> Iterator[Any]:
    return ((x, torch.sin(200.0 * x[:, :1])) for x, _ in field())


class Factors(nn.Module):
    """Users times items, and a head that tells the factors apart or none."""

    def __init__(self, start: Callable[[int, int], Tensor], *, head: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Embedding.from_pretrained(start(20, 8), freeze=False)
        self.other = nn.Embedding.from_pretrained(start(20, 8), freeze=False)
        self.head = nn.Linear(8, 1) if head else None

    def forward(self, pair: Tensor) -> Tensor:
        both = self.one(pair[:, 0]) * self.other(pair[:, 1])
        return both.sum(1) if self.head is None else self.head(both)[:, 0]


def alike(rows: int, columns: int) -> Tensor:
    return torch.full((rows, columns), 0.3)


def drawn(rows: int, columns: int) -> Tensor:
    return 0.3 * torch.randn(rows, columns)


def test_the_factors_of_constant_tables_stay_one_factor() -> None:
    assert alarms(asked(Factors(alike), pairs, F.mse_loss))[:1] == ["rank-collapse"]
    assert not alarms(asked(Factors(drawn), pairs, F.mse_loss))
    assert "rank-collapse" not in alarms(asked(Factors(alike, head=True), pairs, F.mse_loss))


class Averaged(nn.Module):
    """Convolutions, a normalisation of each image, a mean over its places, and a head."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.last = nn.Conv1d(1, 16, 3), nn.Linear(16, 4), last
        self.norm = nn.InstanceNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x[:, None])
        h = self.norm(torch.relu(h)) if self.last else torch.relu(self.norm(h))
        return self.head(h.mean(-1))


def tones() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(80):
        y = torch.randint(4, (48,), generator=generator)
        speed = torch.tensor([0.3, 0.9, 1.6, 2.6])[y][:, None]
        yield torch.sin(speed * torch.arange(24) + 6.0 * torch.rand(48, 1, generator=generator)), y


def test_a_mean_over_what_was_centred_says_nothing() -> None:
    found = asked(Averaged(last=True), tones)
    assert alarms(found)[:1] == ["class-prior-only"] and found.findings[0].severity == "warning"
    assert not alarms(asked(Averaged(last=False), tones))


class Recurrent(nn.Module):
    """A recurrent layer over signals [batch, time], and a head on its last step, or on all of them."""

    def __init__(self, kind: type[nn.RNNBase] = nn.GRU, *, batch_first: bool, every: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = kind(1, 24, batch_first=batch_first), nn.Linear(24, 4)
        self.batch_first, self.every = batch_first, every

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x[..., None])[0]
        return self.head(out).flatten(0, 1) if self.every else self.head(out[:, -1])


class TimeFirst(Recurrent):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.t()[..., None])[0][-1])


def test_a_layer_that_takes_the_examples_for_time_is_found() -> None:
    for kind in (nn.GRU, nn.LSTM, nn.RNN):
        found = asked(Recurrent(kind, batch_first=False), tones, steps=20)
        assert alarms(found)[:1] == ["class-prior-only"] and found.findings[0].sites == ("layer",)
    assert "class-prior-only" not in alarms(asked(Recurrent(batch_first=True), tones))
    assert "class-prior-only" not in alarms(asked(TimeFirst(batch_first=False), tones))


def test_a_model_that_answers_at_each_step_may_have_time_first() -> None:
    every = Recurrent(batch_first=False, every=True)
    assert "class-prior-only" not in alarms(asked(every, lambda: ((x.t(), y.repeat(24)) for x, y in tones()), steps=20))


class Ordered(nn.Module):
    """A recurrent classifier of padded rows that sorts them by their length, and puts the answers back or not."""

    def __init__(self, *, back: bool, sorts: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.layer = nn.Embedding(8, 16), nn.GRU(16, 24, batch_first=True)
        self.head, self.back, self.sorts = nn.Linear(24, 3), back, sorts

    def forward(self, tokens: Tensor) -> Tensor:
        lengths, order = (tokens > 0).sum(1).sort(descending=True)
        if not self.sorts:
            lengths, order = (tokens > 0).sum(1), torch.arange(len(tokens))
        rows = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens[order]), lengths, batch_first=True, enforce_sorted=self.sorts
        )
        logits = self.head(self.layer(rows)[1][-1])
        return logits[order.argsort()] if self.back else logits


def words() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(8)
    for _ in range(80):
        lengths = torch.randint(2, 9, (48,), generator=generator)
        text = torch.randint(4, 8, (48, 8), generator=generator)
        y = torch.randint(3, (48,), generator=generator)
        text[:, 0] = y + 1
        text[torch.arange(8) >= lengths[:, None]] = 0
        yield text, y


def test_answers_in_the_order_of_the_lengths_are_found() -> None:
    found = asked(Ordered(back=False), words, rate=3e-3)
    assert alarms(found)[:1] == ["class-prior-only"] and (found.run.moved_answers or 0.0) > 0.5
    assert not alarms(asked(Ordered(back=True), words, rate=3e-3))
    for model in (Ordered(back=True), Ordered(back=False, sorts=False), Branch(1.0)):
        assert moved_answers(model, next(words()) if isinstance(model, Ordered) else BATCHES[0]) == 0.0


def test_examples_that_speak_to_each_other_are_not_said_to_be_moved() -> None:
    class Mixing(Branch):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.cumsum(0))

    assert moved_answers(Mixing(1.0), BATCHES[0]) is None
    model = Branch(1.0).train()
    model.branch.eval()
    moved_answers(model, BATCHES[0])
    assert model.training and not model.branch.training


class Views(nn.Module):
    """Two noisy views, an encoder and a predictor; the goal is detached or not. A head that is trained beside looks on."""

    def __init__(self, *, stop: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
        self.predictor = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
        self.head, self.stop = nn.Linear(16, 4), stop

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if not self.training:
            return self.head(self.encoder(x))
        one, two = (self.encoder(x + 0.3 * torch.randn_like(x)) for _ in range(2))
        goal = two.detach() if self.stop else two
        return F.cosine_similarity(self.predictor(one), goal).mean(), self.head(one.detach())


def alike_and_named(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return 1.0 - output[0] + F.cross_entropy(output[1], target)


def test_codes_that_both_move_towards_each_other_become_one() -> None:
    found = asked(Views(stop=False), loss=alike_and_named, rate=3e-3, steps=60)
    assert alarms(found)[:1] == ["rank-collapse"]
    assert "rank-collapse" not in alarms(asked(Views(stop=True), loss=alike_and_named, rate=3e-3, steps=60))
