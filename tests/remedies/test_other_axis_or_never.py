"""Attentions over the examples, shares added up again, layers never called: found and cured; as they were meant they are left alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.diagnosis.recurrent import attends_examples
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.patch import apply_patch, write_patch
from tests.remedies.sources import reloaded
from tests.remedies.test_lost_on_the_way import adam, dealt, drawn
from tests.remedies.test_structure import CATALOGUE, cured
from tests.zoo import seeded


def words(rows: int = 512, places: int = 10) -> Tensor:
    return torch.randint(1, 12, (rows, places), generator=torch.Generator().manual_seed(4))


def counted() -> list[Any]:
    """More threes than fives? A first word that is always the same is what is read out."""
    x = words()
    x[:, 0] = 0
    return dealt(x, ((x == 3).sum(1) > (x == 5).sum(1)).long())


def endings() -> list[Any]:
    """Each word is asked for an ending that depends on itself and on the first word."""
    x = words(places=6)
    return dealt(x, (x % 3 + x[:, :1]) % 3)


def of_words(scores: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, -2), y.flatten())


class Layers(nn.Module):
    """torch's own transformer layers, which take the first axis for time if they are not told."""

    def __init__(self, *, right: bool, length: int = 10) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(12, 16), nn.Parameter(0.1 * drawn(length, 16))
        layer = partial(nn.TransformerEncoderLayer, 16, 2, 32, dropout=0.0, batch_first=right)
        self.blocks, self.head = nn.ModuleList([layer(), layer()]), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.word(x) + self.place
        for block in self.blocks:
            h = block(h)
        return self.head(h[:, 0])


class Tags(nn.Module):
    """An attention that is made by hand of torch's module; `turned` hands it the time first, as it wants it."""

    def __init__(self, *, right: bool, turned: bool = False) -> None:
        super().__init__()
        self.word, self.place, self.turned = nn.Embedding(12, 16), nn.Embedding(6, 16), turned
        self.attention = nn.MultiheadAttention(16, 2, batch_first=right)
        self.body, self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.word(x) + self.place(torch.arange(x.shape[1]))
        given = h.transpose(0, 1) if self.turned else h
        read = self.attention(given, given, given)[0]
        h = h + (read.transpose(0, 1) if self.turned else read)
        return self.head(h + self.body(h))


def topics() -> list[Any]:
    x = words(places=20)
    y = torch.randint(0, 3, (512,), generator=torch.Generator().manual_seed(5))
    x[:, ::2] = y[:, None] * 4 + x[:, ::2] % 4
    return dealt(x, y)


class Histogram(nn.Module):
    """Each word is shared out over topics, and a text is the sum of these shares."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.axis, self.word = -1 if right else 1, nn.Embedding(16, 16)
        self.topics, self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.softmax(self.topics(self.word(x)), dim=self.axis).sum(1))


def waves() -> list[Any]:
    x = 6.0 * torch.rand(512, 2, generator=torch.Generator().manual_seed(6)) - 3.0
    return dealt(x, torch.sin(x[:, :1]) * x[:, 1:])


class Forgotten(nn.Module):
    """Three layers are made, and two are called."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.first = right, nn.Linear(2, 32)
        self.middle = nn.Sequential(nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32))
        self.last = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.last(h + self.middle(h) if self.right else h)


def asked() -> list[Any]:
    keys = torch.stack([torch.randperm(4, generator=torch.Generator().manual_seed(k)) for k in range(512)])
    values, query = words(places=4) % 5, torch.arange(512) % 4
    return dealt(torch.cat([keys, values, query[:, None]], 1), values[keys == query[:, None]], 32)


class Asked(nn.Module):
    """Additive attention, with a tanh on the sum of query and key or without; layers with a ReLU come after it."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.key, self.value = right, nn.Embedding(4, 32), nn.Embedding(5, 32)
        self.ask, self.tell, self.score = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 1, bias=False)
        self.out = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x: Tensor) -> Tensor:
        both = self.ask(self.key(x[:, -1])).unsqueeze(1) + self.tell(self.key(x[:, :4]))
        shares = self.score(torch.tanh(both) if self.right else both).squeeze(-1).softmax(1)
        return self.out((shares[..., None] * self.value(x[:, 4:8])).sum(1))


FOUND: dict[str, tuple[str, str, Any, Any, Any, str]] = {
    "layers of torch": ("mixed-examples", "batch-first", Layers, counted, F.cross_entropy, "attend over the first axis"),
    "an attention of torch": ("mixed-examples", "batch-first", Tags, endings, of_words, "attends over the first axis"),
    "shares added up": ("idle-layer", "softmax-axis", Histogram, topics, F.cross_entropy, "that is 1, whatever the scores are"),
    "never called": ("idle-layer", "forgotten-layer", Forgotten, waves, F.mse_loss, "the forward uses none of them"),
    "no tanh": ("idle-layer", "bent-sum", Asked, asked, F.cross_entropy, "a softmax"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_each_is_found_and_cured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, remedy, kind, batches, loss, said = FOUND[name]
    build = partial(kind, right=False)
    findings = photic.check(seeded(build), batches(), loss, adam).findings
    assert any(f.problem == problem and said in f.reason for f in findings), findings
    treatment = cured(remedy, monkeypatch, build, batches(), loss, optimizer=adam, steps=200)
    treated, untreated = (next(t for t in treatment.trials if t.remedy == n) for n in (remedy, "untreated"))
    assert (treated.held_back_loss or 0.0) < 0.5 * (untreated.held_back_loss or 0.0)


@pytest.mark.parametrize("name", FOUND)
def test_as_it_was_meant_it_is_left_alone(name: str) -> None:
    problem, remedy, kind, batches, loss, _ = FOUND[name]
    checkup = photic.check(seeded(partial(kind, right=True)), batches(), loss, adam)
    assert problem not in {f.problem for f in checkup.findings}, checkup.findings
    assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(checkup.run)), str)


def test_an_attention_that_is_given_the_time_first_is_no_other_axis() -> None:
    graph = Graph.of(measure(seeded(partial(Tags, right=False, turned=True)), endings()[0], of_words))
    assert not attends_examples(graph)
    assert attends_examples(Graph.of(measure(seeded(partial(Tags, right=False)), endings()[0], of_words)))


def test_examples_that_are_to_look_at_each_other_are_no_alarm() -> None:
    class Rows(nn.Module):
        """How far is each example from the mean of the batch? An attention over the examples that is meant."""

        def __init__(self) -> None:
            super().__init__()
            self.enter, self.attention = nn.Linear(3, 16), nn.MultiheadAttention(16, 2)
            self.head = nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.enter(x)
            return self.head(h + self.attention(h, h, h)[0])[..., 0]

    x = drawn(512, 4, 3) + drawn(8, 1, 1, 1).expand(8, 64, 4, 3).reshape(512, 4, 3)
    away = x.mean(2) - x.reshape(8, 64, 4, 3).mean((1, 3))[:, None].expand(8, 64, 4).reshape(512, 4)
    checkup = photic.check(seeded(Rows), dealt(x, away), F.mse_loss, adam)
    assert all(f.severity == "info" for f in checkup.findings if f.problem == "mixed-examples"), checkup.findings


SOURCE = """import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.word = nn.Embedding(12, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.extra = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        h = self.encoder(self.word(x))[:, 0]
        return self.head(h)

"""


LINES = {
    "batch-first": "TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)",
    "forgotten-layer": "self.head(h + torch.relu(self.extra(h)))",
}


@pytest.mark.parametrize("remedy", LINES)
def test_the_patch_computes_what_the_trial_computed(
    remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    net, batches = reloaded(path).Net, counted()
    run = photic.check(seeded(net), batches, F.cross_entropy, adam).run
    prescription = CATALOGUE[remedy].prescribe(Graph.of(run))
    assert not isinstance(prescription, str), prescription
    model = seeded(net)
    patch, paste = write_patch(prescription, run, net, model)
    assert LINES[remedy] in patch and not paste, patch + paste
    carry_out(prescription, model, seed=0, batch=batches[0])
    apply_patch(patch)
    patched = seeded(reloaded(path).Net)
    torch.testing.assert_close(patched(batches[0][0]), model(batches[0][0]))


class Language(nn.Module):
    """Texts as torch's tutorial deals them, [places, texts]: the first axis is time, and no later place is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.place, self.head = nn.Embedding(12, 16), nn.Embedding(24, 16), nn.Linear(16, 12)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.word(x) + self.place(torch.arange(len(x)))[:, None]
        return self.head(self.encoder(h, nn.Transformer.generate_square_subsequent_mask(len(x)), is_causal=True))


@pytest.mark.parametrize("rate", [1e-2, 1e-7])
def test_a_language_model_with_the_time_first_is_no_alarm(rate: float) -> None:
    texts = words(25 * 8, 10).view(8, 25, 10)
    batches = [(text[:-1], text[1:].flatten()) for text in texts]
    model = seeded(Language)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    found = photic.check(model, batches, of_words, optimizer).findings
    assert "mixed-examples" not in {f.problem for f in found}, found


class Left(nn.Module):
    """Layers that are made and never called: in a list, or two before the same one."""

    def __init__(self, *, listed: bool) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 8)
        if listed:
            self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        else:
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.out(x)


@pytest.mark.parametrize("listed", [True, False])
def test_several_forgotten_layers_are_called_one_after_the_other(listed: bool) -> None:
    batches = dealt(drawn(64, 6), torch.arange(64) % 3, 16)
    build = partial(Left, listed=listed)
    run = photic.check(seeded(build), batches, F.cross_entropy, adam).run
    prescription = CATALOGUE["forgotten-layer"].prescribe(Graph.of(run))
    assert not isinstance(prescription, str), prescription
    model, plain = seeded(build), seeded(build)
    patch, paste = write_patch(prescription, run, build, model)
    assert not patch and "before it x = x + " in paste
    carry_out(prescription, model, seed=0, batch=batches[0])
    h: Tensor = plain.enter(batches[0][0])
    if listed:
        h = h + torch.relu(plain.blocks[1](torch.relu(plain.blocks[0](h))))
    else:
        h = h + torch.relu(plain.one(h))
        h = h + torch.relu(plain.two(h))
    torch.testing.assert_close(model(batches[0][0]), plain.out(h))


def test_a_layer_of_a_decoder_turns_all_of_its_attentions() -> None:
    class Turned(nn.Module):
        def __init__(self, *, right: bool) -> None:
            super().__init__()
            self.layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=right)
            self.head = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x, x.flip(1))[:, 0])

    x = drawn(16, 5, 8)
    build = partial(Turned, right=False)
    prescription = CATALOGUE["batch-first"].prescribe(
        Graph.of(measure(seeded(build), (x, torch.arange(16) % 3), F.cross_entropy))
    )
    assert not isinstance(prescription, str), prescription
    model = seeded(build)
    carry_out(prescription, model, seed=0, batch=(x, torch.arange(16) % 3))
    torch.testing.assert_close(model(x), seeded(partial(Turned, right=True))(x))
