"""What watching costs, and what others cost: interleaved blocks of steps in one process, median of paired ratios.

Wall time is what users wait for; CPU time of the process is less disturbed where the machine is shared.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.probes import pace

Case = tuple[nn.Module, Tensor, Tensor]
FEWEST = 7  # rounds


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )
        self.na, self.nb, self.relu = nn.BatchNorm2d(after), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        self.skip = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.nb(self.b(self.relu(self.na(self.a(x)))))
        out += self.skip(x)
        return self.relu(out)


class Gpt(nn.Module):
    def __init__(self, width: int = 256, depth: int = 6, tokens: int = 256) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.embedding, self.head = nn.Embedding(tokens, width), nn.Linear(width, tokens)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        return self.head(self.body(self.embedding(x), mask=mask, is_causal=True)).flatten(0, 1)


def mlp(depth: int, width: int, rows: int) -> Case:
    hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*hidden, nn.Linear(width, 10)), torch.randn(rows, width), torch.randint(10, (rows,))


def cnn(rows: int = 32) -> Case:
    plan = ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    model = nn.Sequential(*stem, *[Block(*b) for b in plan], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))
    return model, torch.randn(rows, 3, 32, 32), torch.randint(10, (rows,))


def gpt(width: int = 256, depth: int = 6, tokens: int = 256, rows: int = 8, length: int = 128) -> Case:
    text = torch.randint(tokens, (rows, length))
    return Gpt(width, depth, tokens), text, torch.randint(tokens, (rows * length,))


CASES: dict[str, tuple[Callable[[], Case], int]] = {
    "MLP 10 x 512": (lambda: mlp(10, 512, 256), 10),
    "CNN, ResNet-like": (cnn, 2),
    "GPT 6 x 256": (gpt, 2),
    "MLP 100 x 64": (lambda: mlp(100, 64, 64), 40),
}
LARGE: dict[str, tuple[Callable[[], Case], int]] = {
    "GPT 12 x 768, 8 x 1024 tokens": (lambda: gpt(768, 12, 8192, 8, 1024), 10),
    "CNN, ResNet-like, 512 images": (lambda: cnn(512), 10),
    "MLP 10 x 4096": (lambda: mlp(10, 4096, 4096), 10),
    "MLP 10 x 512": (lambda: mlp(10, 512, 256), 40),
}


class Norms:
    """Two operations on all gradients, nothing about signals."""

    def __init__(self, model: nn.Module, _: Any) -> None:
        self.model = model

    def after_backward(self) -> None:
        torch._foreach_norm([p.grad for p in self.model.parameters() if p.grad is not None])


class NaiveHooks:
    """What people paste: forward and tensor hooks with a few torch statistics each."""

    def __init__(self, model: nn.Module, _: Any) -> None:
        self.read: list[Any] = []
        for module in model.modules():
            if not list(module.children()):
                module.register_forward_hook(self.see)

    def statistics(self, t: Tensor) -> None:
        self.read.append((t.mean(), t.std(), t.abs().max(), (t == 0).float().mean()))

    def see(self, _: Any, __: Any, output: Tensor) -> None:
        with torch.no_grad():
            self.statistics(output)
        if output.requires_grad:
            output.register_hook(lambda gradient: self.statistics(gradient))

    def after_backward(self) -> None:
        self.read.clear()


class Watched:
    def __init__(self, model: nn.Module, optimizer: Any, **options: Any) -> None:
        self.watch = photic.watch(model, optimizer, **options)


VARIANTS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "nothing": lambda *_: None,
    "nothing again": lambda *_: None,
    "watch, default": Watched,
    "watch, every step": lambda m, o: Watched(m, o, every=1),
    "foreach norms": Norms,
    "naive hooks": NaiveHooks,
}


def others() -> dict[str, Callable[[nn.Module, Any], Any]]:
    found: dict[str, Callable[[nn.Module, Any], Any]] = {}
    with contextlib.suppress(Exception):
        import wandb

        class Wandb:
            def __init__(self, model: nn.Module, _: Any) -> None:
                wandb.init(mode="offline", dir=tempfile.mkdtemp(), settings=wandb.Settings(silent=True))
                wandb.watch(model, log="all", log_freq=1)

            def after_backward(self) -> None:
                wandb.log({})

        found["wandb.watch, every step"] = Wandb
    with contextlib.suppress(Exception):
        from torch.utils.tensorboard import SummaryWriter

        class TensorBoard:
            def __init__(self, model: nn.Module, _: Any) -> None:
                import tempfile

                self.model, self.writer, self.step = model, SummaryWriter(tempfile.mkdtemp()), 0

            def after_backward(self) -> None:
                self.step += 1
                for name, p in self.model.named_parameters():
                    self.writer.add_histogram(name, p.detach(), self.step)
                    self.writer.add_histogram(f"{name}.grad", p.grad, self.step)

        found["TensorBoard histograms"] = TensorBoard
    return found


def compare(
    build: Callable[[], Case],
    block: int,
    seconds: float,
    variants: dict[str, Any],
    dear: Iterable[str] = (),
    *,
    compiled: bool = False,
    device: str = "cpu",
    half: bool = False,
) -> dict[str, dict[str, float]]:
    torch.manual_seed(0)
    model, x, y = (part.to(device) for part in build())
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    loops = {}
    for name, make in variants.items():
        twin: Any = copy.deepcopy(model)
        if compiled:
            twin = torch.compile(twin)
        optimizer = torch.optim.SGD(twin.parameters(), lr=1e-3)
        loops[name] = (twin, optimizer, make(twin, optimizer))

    def steps(name: str, count: int) -> tuple[float, float]:
        twin, optimizer, watcher = loops[name]
        wait()
        start, burnt = time.perf_counter(), time.process_time()
        for _ in range(count):
            optimizer.zero_grad()
            with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                loss = F.cross_entropy(twin(x), y)
            loss.backward()
            if hasattr(watcher, "after_backward"):
                watcher.after_backward()
            optimizer.step()
        wait()
        return time.perf_counter() - start, time.process_time() - burnt

    for name in loops:
        steps(name, 8)  # warm up; the start-up audits at 0 and 2 fall into it
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    beside: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}  # the plain blocks of the same rounds

    def rounds(names: list[str], seconds: float) -> None:
        until, done = time.perf_counter() + seconds, 0
        while time.perf_counter() < until or done < FEWEST:
            plain, done = steps("nothing", block), done + 1
            for name in names:
                watch = getattr(loops[name][2], "watch", None)
                if watch is not None:
                    watch.pace.__dict__.update(_last=time.perf_counter())
                times[name].append(plain if name == "nothing" else steps(name, block))
                beside[name].append(plain)

    # The dear ones go apart: they leave work to processes and threads that would run on beside the others' blocks.
    rounds([name for name in loops if name not in dear], seconds)

    def equal(names: Iterable[str]) -> float:
        twins = [loops[name][0] for name in names if name in loops]
        pairs = [pair for twin in twins for pair in zip(loops["nothing"][0].parameters(), twin.parameters())]
        return sum(torch.equal(a, b) for a, b in pairs) / len(pairs)

    same = equal(("watch, default", "watch, every step"))
    by_itself = equal(("nothing again",))  # below 1 where torch itself is not deterministic: some of its GPU kernels
    if set(dear) & set(loops):
        rounds([name for name in loops if name in dear], 0.0)
    result = {}
    for name, taken in times.items():
        ratios = [a[0] / b[0] for a, b in zip(taken, beside[name])]
        burnt = [a[1] / b[1] for a, b in zip(taken, beside[name])]
        quarters = statistics.quantiles(ratios, n=4)
        row = {
            "median": statistics.median(ratios),
            "low": quarters[0],
            "high": quarters[2],
            "total": sum(a for a, _ in taken) / sum(a for a, _ in beside[name]),
            "cpu median": statistics.median(burnt),
            "cpu total": sum(b for _, b in taken) / sum(b for _, b in beside[name]),
        }
        watch = getattr(loops[name][2], "watch", None)
        if watch is not None:
            watch.close()
            row["audits"] = float(sum(len(t.audited) for t in watch._tracks.values()))
            row["steps"] = float(watch.steps)
            row["own estimate"] = watch.overhead
            assert not watch.faults, watch.faults
        result[name] = row
    result["bit-identical"] = {"share": same, "share without": by_itself}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each workload")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--compiled", action="store_true", help="compile the models; rivals that hook modules are left out"
    )
    parser.add_argument("--only", default="", help="workloads whose name starts so")
    parser.add_argument(
        "--device", default="cpu", help="cuda: with the larger workloads, and a clock that waits for it"
    )
    parser.add_argument("--half", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--alone", action="store_true", help="leave out what keeps histograms of everything")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pace.START_UP = (0, 2)  # pyright: ignore  # the allowance is over after the warm-up: the steady state is measured
    plain = ("nothing", "nothing again", "watch, default", "foreach norms")
    dear = {} if options.compiled or options.alone else others()
    variants = {n: VARIANTS[n] for n in plain} if options.compiled else {**VARIANTS, **dear}
    how = {"compiled": options.compiled, "device": options.device, "half": options.half}
    results = {}
    for name, (build, block) in (CASES if options.device == "cpu" else LARGE).items():
        if name.startswith(options.only):
            results[name] = compare(build, block, options.seconds, variants, dear, **how)
            print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(results))
        return
    print("time of a block of steps relative to none: median (quartiles), and of all steps\n")
    print(
        "| network | watched by | median | quartiles | all steps | CPU, median | CPU, all | audits |\n|---|---|---|---|---|---|---|---|"
    )
    for name, rows in results.items():
        for variant, row in rows.items():
            if "median" in row:
                audits = f"{row['audits']:.0f} in {row['steps']:.0f} steps" if "audits" in row else ""
                wall = f"{row['median']:.3f} | {row['low']:.3f} .. {row['high']:.3f} | {row['total']:.3f}"
                print(f"| {name} | {variant} | {wall} | {row['cpu median']:.3f} | {row['cpu total']:.3f} | {audits} |")
            else:
                said = f"{100 * row['share']:.0f} % (of two loops without: {100 * row['share without']:.0f} %)"
                print(f"| {name} | parameters bit-identical with and without | {said} | | | | | |")


if __name__ == "__main__":
    main()
