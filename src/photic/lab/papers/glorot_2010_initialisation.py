"""Glorot & Bengio 2010: why deep sigmoid and tanh networks did not train, and the normalised initialisation."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.activations import find
from photic.lab.claims import Claim, Figure, Numbers, Size, around
from photic.lab.datasets.shapeset import CHANCE_ERROR, PROBABILITIES, shapeset_parts
from photic.lab.drawings import layers_over_time, surfaces
from photic.lab.drawings_glorot import (
    error_curves,
    groups,
    histograms,
    last_histograms,
    percentiles,
    weight_gradients,
)
from photic.lab.error_rates import best_group
from photic.lab.glorot_table import CONFIGURATIONS, PRINTED, SHAPESET
from photic.lab.online import MODULES, SIZES, VARIANCES, course, images, network
from photic.lab.tracing import plain, trace
from photic.theory.moments import mean_square, slope_square

KEY = "glorot2010"
TITLE = "Understanding the difficulty of training deep feedforward neural networks"
FULL = (
    "layers of 300 units, 60,000 updates, one seed; figures 6 to 8 have the paper's 1,000 units at either size. The paper's 5 million updates "
    "of 1,000 units are `--paper-size`, for a GPU (`--device cuda`): not run by us, 2.5 days of one core for the five networks at 8.5 ms an "
    "update. MNIST and CIFAR-10 are trained from files of your own; its ImageNet of 37x37 was never released."
)
_INPUT_SQUARE = 0.371  # E x^2 of Shapeset with pixels in [-1, 1], measured on 50,000 images


def expected_ratio(activation: str, weights: str, *, depth: int = 5, width: int = 1000) -> float:
    """Return the rms gradient at hidden layer 1 over that at hidden layer `depth`, for infinite width.

    The length is followed layer by layer, q' = n Var[w] E phi(sqrt(q) z)^2; the gradient of an entry is multiplied by
    n Var[w] E phi'^2 on its way back. Exact for wide layers and inputs of one length.
    """
    curve = find(activation)
    assert curve is not None
    q = 1024 * VARIANCES[weights](1024, width) * _INPUT_SQUARE
    gain = width * VARIANCES[weights](width, width)
    product = 1.0
    for _ in range(depth - 1):
        product *= gain * slope_square(curve, variance=q).value
        q = gain * mean_square(curve, variance=q).value
    return math.sqrt(product)


def initial_state(seed: int, size: Size) -> Numbers:
    """Five hidden layers of 1,000 units and 300 Shapeset images: everything that figures 6 to 8 show."""
    batch = images(300, 1000 + seed)
    found: Numbers = {}
    for activation in MODULES:
        for weights in VARIANCES:
            name = f"{activation} {weights}"
            layers = trace(network(activation, weights, width=1000, depth=5, seed=seed), batch)
            hidden = layers.gradients[:5]
            found[f"{name} activations"] = layers.activation_deviations
            found[f"{name} gradients"] = hidden
            found[f"{name} weight gradients"] = layers.weight_gradients[1:5]
            found[f"{name} ratio"] = hidden[0] / hidden[4]
            found[f"{name} ratio over theory"] = hidden[0] / hidden[4] / expected_ratio(activation, weights)
            found[f"{name} weight ratio"] = layers.weight_gradients[1] / layers.weight_gradients[4]
            found[f"{name} activation ratio"] = layers.activation_deviations[4] / layers.activation_deviations[0]
            found[f"{name} shrinks"] = float(all(a < b for a, b in itertools.pairwise(hidden)))
    with torch.no_grad():
        logits = network("tanh", "normalized", width=1000, depth=5, seed=seed)(batch[0])
    error = torch.softmax(logits, 1) - F.one_hot(batch[1], 9)
    found["logit gradient"] = float(error.square().mean().sqrt())
    return found


def distributions(seed: int, size: Size) -> Numbers:
    """Histograms of activations, back-propagated gradients and weight gradients of tanh networks (figures 6 to 8).

    A record keeps moments and quantiles, not every number, so the tensors are taken from autograd; their root mean squares
    are compared with photic's record in the tests.
    """
    found: Numbers = {}
    pixels, labels = images(300, 1000 + seed)
    for weights in VARIANCES:
        model = network("tanh", weights, width=1000, depth=5, seed=seed)
        kept: dict[str, list[Tensor]] = {"activations": [], "pre": []}
        h = pixels
        for place, layer in enumerate(model):
            h = layer(h)
            if place < 10:
                kept["activations" if place % 2 else "pre"].append(h)
        linears = [layer.weight for layer in model if isinstance(layer, nn.Linear)][1:5]
        loss = F.cross_entropy(h, labels, reduction="sum")
        gradients = torch.autograd.grad(loss, [*kept["pre"], *linears])
        for title, values in (
            ("activations", kept["activations"]),
            ("gradients", gradients[:5]),
            ("weight gradients", [g / 300 for g in gradients[5:]]),
        ):
            arrays = [value.detach().numpy().ravel() for value in values]
            # Each layer has bins of its own width: a narrow distribution gets as many as a wide one.
            fixed = title == "activations"
            widths = [1.0 if fixed else float(np.quantile(np.abs(array), 0.9995)) for array in arrays]
            rows = [
                np.histogram(array, bins=101 if fixed else 61, range=(-width, width))[0]
                / array.size
                / (2 * width)
                * (101 if fixed else 61)
                for array, width in zip(arrays, widths, strict=True)
            ]
            found[f"{weights} {title}"] = [[float(x) for x in row] for row in rows]
            found[f"{weights} {title} widths"] = widths
            found[f"{weights} {title} rms"] = [
                float(np.sqrt(np.square(array, dtype=np.float64).mean())) for array in arrays
            ]
    return found


def saturation(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """Sigmoid, four hidden layers: the means of the layers over 400 updates at 0.1; of 300 units over 60,000 in the full size."""
    if size != "quick":
        read = course("sigmoid", "standard", seed=seed, **SIZES[size], depth=4, device=device)
        return {**read, "top at the end": read["means"][-1][3]}
    model = network("sigmoid", "standard", width=1000, depth=4, seed=seed)
    test, _ = images(300, 1000 + seed)
    means, deviations = list[list[float]](), list[list[float]]()
    updates = list(range(0, 401, 20))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pixels, labels = images(10 * updates[-1], seed)
    for step in range(updates[-1] + 1):
        if step in updates:
            with torch.no_grad():
                h, row, spread = test, list[float](), list[float]()
                for layer in model:
                    h = layer(h)
                    if isinstance(layer, nn.Sigmoid):
                        row.append(float(h.mean()))
                        spread.append(float(h.std()))
            means.append(row)
            deviations.append(spread)
        if step < updates[-1]:
            chosen = slice(10 * step, 10 * step + 10)
            optimizer.zero_grad()
            F.cross_entropy(model(pixels[chosen]), labels[chosen]).backward()
            optimizer.step()
    early, late = means[updates.index(100)], means[-1]
    return {
        "updates": updates,
        "means": means,
        "deviations": deviations,
        "top at 100": early[3],
        "top at 400": late[3],
        "lowest other": min(late[:3]),
        "falls towards the input": float(late[2] > late[1] > late[0]),
    }


def surface(seed: int, size: Size) -> Numbers:
    """Cross-entropy and quadratic cost over one weight of each layer of a network with one tanh unit (figure 5)."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    x = torch.rand(20, generator=generator, dtype=torch.float64) * 2 - 1
    y = (torch.rand(20, generator=generator) < 0.5).double()
    axis = torch.linspace(-8, 8, 81, dtype=torch.float64)
    first = axis[:, None, None].expand(81, 81, 1).clone().requires_grad_()
    second = axis[None, :, None].expand(81, 81, 1).clone().requires_grad_()
    output = second * torch.tanh(first * x)
    costs = {
        "cross-entropy": F.binary_cross_entropy_with_logits(output, y.expand_as(output), reduction="none").mean(2),
        "quadratic": (torch.sigmoid(output) - y).square().mean(2),
    }
    found: Numbers = {"axis": axis.tolist()}
    for name, cost in costs.items():
        slopes = torch.autograd.grad(cost.sum(), (first, second), retain_graph=True)
        steepness = torch.cat(slopes, 2).norm(dim=2)
        found[name] = cost.detach().tolist()
        found[f"{name} flat"] = float((steepness < 0.01 * steepness.max()).double().mean())
    found["flatter"] = found["quadratic flat"] / max(found["cross-entropy flat"], 1e-3)
    return found


def singular_values(seed: int, size: Size) -> Numbers:
    """Mean singular value of the Jacobian of one hidden layer to the next, tanh, at a Shapeset image."""
    pixels, _ = images(1, 1000 + seed)
    found: Numbers = {}
    for weights in VARIANCES:
        model = network("tanh", weights, width=1000, depth=5, seed=seed)
        with torch.no_grad():
            h, values = pixels, list[float]()
            for place in range(0, 10, 2):
                linear = model[place]
                assert isinstance(linear, nn.Linear)
                h = torch.tanh(linear(h))
                if place:  # J = d z^(i+1) / d z^i = diag(f'(s^(i+1))) W
                    values.append(float(torch.linalg.svdvals(linear.weight * (1.0 - h.square()).T).mean()))
        found[weights] = float(np.mean(values))
    return found


def gallery(seed: int, size: Size) -> Numbers:
    """20,000 images of Shapeset: shares of the classes, occlusion, contrast."""
    pixels, labels, hidden = shapeset_parts(20_000, seed=seed)
    shares = np.bincount(labels, minlength=9) / len(labels)
    return {
        "largest deviation": float(np.abs(shares - np.array(PROBABILITIES)).max()),
        "majority error": float(1.0 - shares.max()),
        "most hidden": float(hidden.max()),
        "darkest": float(pixels.min()),
        "brightest": float(pixels.max()),
    }


def online(seed: int, size: Size, device: str = "cpu") -> Numbers:
    """Five hidden layers of 300 units, SGD at 0.03 on batches of 10, online: 10,000 updates, 60,000 in the full size."""
    found: Numbers = {"width": SIZES[size]["width"]}
    for name, (activation, weights) in CONFIGURATIONS.items():
        found[f"{name} course"] = read = course(activation, weights, seed=seed, **SIZES[size], device=device)
        found["updates"], found[name] = read["updates"], float(np.mean(read["errors"][-3:]))
    found["Tanh over Tanh N"] = found["Tanh"] - found["Tanh N"]
    found["Tanh over Softsign"] = found["Tanh"] - found["Softsign"]
    others = min(found[name] for name in ("Sigmoid", "Tanh", "Softsign", "Softsign N"))
    found["best of all is Tanh N"] = others - found["Tanh N"]
    ranks = [found[name] for name in SHAPESET]  # the paper's order, worst first
    found["smallest gap in figure 11's order"] = min(a - b for a, b in itertools.pairwise(ranks))
    found["Softsign over Softsign N"] = found["Softsign"] - found["Softsign N"]
    last = found["Tanh course"]["percentiles"][-1]
    found["saturated in order"] = float(all(a >= b for a, b in itertools.pairwise(last)))
    found["softsign's largest percentile"] = max(found["Softsign course"]["percentiles"][-1])
    found["column"] = {name: 100.0 * found[name] for name in CONFIGURATIONS}
    found["best group"] = best_group(found["column"], 3000)
    found["apart"] = len(CONFIGURATIONS) - len(found["best group"])
    for name in ("Tanh", "Tanh N"):
        drift = np.array(found[f"{name} course"]["weight gradients"])[-10:].mean(0)
        found[f"{name} weight gradients, layer 1 over 5"] = float(drift[0] / drift[4])
    return found


def table(seed: int, size: Size) -> Numbers:
    """Which rows of table 1 differ from the best of their column at p = 0.005, on test sets of 10,000."""
    found: Numbers = {"columns": {"Shapeset-3x2": SHAPESET, **PRINTED}}
    for dataset, column in found["columns"].items():
        group = best_group(column, 10_000)
        found[f"{dataset} best group"] = group
        found[dataset] = len(column) - len(group)
        found[f"{dataset} normalized apart"] = float(any(name.endswith("N") and name not in group for name in column))
    return found


def errata(seed: int, size: Size) -> Numbers:
    """Two sentences of the paper as printed and as they should read: equation 13, and the singular values of a layer."""
    linear = plain([1024, *[1000] * 5, 9], nn.Identity, VARIANCES["normalized"], seed=seed, uniform=True)
    layers = trace(linear, images(300, 1000 + seed))
    generator = torch.Generator()
    generator.manual_seed(seed)
    values = torch.linalg.svdvals(torch.randn(1000, 1000, generator=generator, dtype=torch.float64) / 1000**0.5)
    # n Var[W] = 1: equation 13 says that all layers have the variance of its last factor
    first, last = (300 * layers.gradients[0]) ** 2, (300 * layers.gradients[4]) ** 2  # of the cost of one image
    return {
        "equation 13 as printed": first / _INPUT_SQUARE,
        "equation 13 mended": first / last,
        "volume over mean": float(values.log().mean().exp() / values.mean()),
        "volume": float(values.log().mean().exp()),
    }


_EXACT = "3 %: theory for infinite width, followed layer by layer; finite width and the seeds spread by about 1 %"
_WIDE = "theory for inputs of one length; the spread of |x|^2 over the images adds up to 15 %"
_AT_INIT = partial(Claim, experiment=initial_state, seeds=5)
_OF_DEVIATIONS = partial(
    _AT_INIT, seeds=10, tolerance="3 %; theory, layer by layer: layer 5 over layer 1 is 0.1061, normalised 0.6112"
)
_FULL = partial(Claim, experiment=online, size="full", seeds=1)
_CHANCE = "chance 83.3 %; three deviations of 3,000 images are 2 points"
_GAP = "error rates on 3,000 images, mean of three readings: a difference deviates by about 1 point; three of them"

CLAIMS = (
    _AT_INIT(text="With the standard initialisation the back-propagated gradients of a tanh network become smaller towards the input.",
             place="section 4.2.2, figure 7 top", number="tanh standard ratio over theory", low=0.97, high=1.03, tolerance=_EXACT,
             theirs="smaller in lower layers"),
    _AT_INIT(text="The shrinking is steady: each layer's gradients are smaller than those of the layer above.",
             place="figure 7 top", number="tanh standard shrinks", low=1.0, tolerance="every layer, every seed"),
    _AT_INIT(text="With the normalised initialisation the back-propagated gradients of a tanh network keep their size far better.",
             place="figure 7 bottom", number="tanh normalized ratio", low=0.5, high=0.7, tolerance="0.55 in theory; " + _WIDE),
    _AT_INIT(text="Softsign with the standard initialisation loses its gradient towards the input too.", place="section 4.2.2",
             number="softsign standard ratio over theory", low=0.97, high=1.15, tolerance=_WIDE),
    _AT_INIT(text="Through sigmoid layers the gradient falls by the slope of the logistic and the weights, exactly as theory says.",
             place="equations 2 and 6", number="sigmoid standard ratio over theory", low=0.97, high=1.03, tolerance=_EXACT),
    _AT_INIT(text="The normalised initialisation does not save the sigmoid: its gradients still fall 300 times over five layers.",
             place="equations 2 and 6", number="sigmoid normalized ratio over theory", low=0.97, high=1.03, tolerance=_EXACT),
    _AT_INIT(text="Even with the standard initialisation the weight gradients are about the same in all layers.",
             place="section 4.2.1, equation 14; figure 8 top", number="tanh standard weight ratio", low=0.9, high=1.1,
             theirs="about equal", tolerance="1 for equal widths; 10 % for the saturation that a linear regime leaves out"),
    _AT_INIT(text="With the normalised initialisation they are so as well.", place="figure 8 bottom",
             number="tanh normalized weight ratio", low=0.9, high=1.1, theirs="equal", tolerance="as for figure 8 top"),
    _OF_DEVIATIONS(text="Activations of tanh layers gather at 0 the more the higher the layer, with the standard initialisation.",
             place="figure 6 top", number="tanh standard activation ratio", low=0.1029, high=0.1093, theirs="0-peak grows"),
    _OF_DEVIATIONS(text="With the normalised initialisation activations stay alike over the layers.", place="figure 6 bottom",
             number="tanh normalized activation ratio", low=0.5929, high=0.6295),
    Claim(text="The mean singular value of the Jacobian of a layer is around 0.5 with the standard initialisation.",
          place="section 4.2.1", experiment=singular_values, number="standard", low=0.46, high=0.5, seeds=3, theirs="0.5",
          tolerance="quarter circle: 8 / (3 pi sqrt(3)) = 0.490, less up to 5 % for tanh's slope"),
    Claim(text="It is around 0.8 with the normalised one.", place="section 4.2.1", experiment=singular_values, seeds=3,
          number="normalized", low=0.7, high=0.85, theirs="0.8", tolerance="quarter circle 0.849, times tanh's rms slope of 0.85 to 0.93"),
    Claim(text="The average singular value is the ratio by which a layer changes volumes.", place="section 4.2.1", experiment=errata,
          number="volume over mean", low=0.95, high=1.05, tolerance="1 if the sentence held; 1,000 units spread by 0.2 %",
          note="An erratum: volumes change by the geometric mean of the singular values, exp(-1/2) = 0.607 for a square Gaussian matrix "
               "of gain 1; their average is 8 / (3 pi) = 0.849."),
    Claim(text="That ratio is exp(-1/2) per dimension for a square matrix of gain 1.", place="section 4.2.1, mended", experiment=errata,
          number="volume", **dict(zip(("low", "high"), around(0.6065, relative=0.01), strict=True)), theirs="–",
          tolerance="log of a Gaussian determinant: -1/2 per dimension; 1,000 dimensions, 1 %"),
    Claim(text="The variance of the back-propagated gradient at layer i is (n Var[W])^(d-i) Var[x].", place="equation 13", experiment=errata,
          number="equation 13 as printed", low=0.5, high=2.0, tolerance="linear network with n Var[W] = 1: within a factor of two",
          note="An erratum: the last factor must be the variance of the gradient at the top layer, as in equation 6; that of the input does "
               "not enter at all."),
    Claim(text="With the top layer's gradient as its last factor equation 13 is right.", place="equation 13, mended", experiment=errata,
          number="equation 13 mended", low=0.85, high=1.15,
          tolerance="linear network; four layers of 1,000 units deviate by sqrt(4 x 2 / 1,000) = 9 %, nine directions and three seeds average"),
    Claim(text="The top hidden layer of a sigmoid network is very quickly pushed to 0.", place="section 3.1, figure 2",
          experiment=saturation, number="top at 100", high=0.25, seeds=3, theirs="saturates at 0", tolerance="half of its start at 0.5"),
    Claim(text="Meanwhile the lower layers' mean activation is above 0.5 and falls from the output to the input.", seeds=3,
          place="section 3.1, figure 2", experiment=saturation, number="falls towards the input", low=1.0, tolerance="every seed"),
    Claim(text="The top layer does not leave its saturation in what follows.", place="section 3.1, figure 2", seeds=3,
          experiment=saturation, number="top at 400", high=0.15, tolerance="below its value after 100 updates"),
    Claim(text="The quadratic cost has wider plateaus than cross-entropy.", place="section 4.1, figure 5", experiment=surface,
          number="flatter", seeds=16, low=1.5, theirs="plateaus clearly more present",
          tolerance="share of the surface with a slope below 1 % of the steepest, at least half as much again"),
    Claim(text="On MNIST only the sigmoid differs from the best.", place="table 1, p = 0.005", experiment=table, number="MNIST", low=1, high=1,
          theirs="bold cells", tolerance="unpaired test of the printed rates, 10,000 images; the bold cells could not be read",
          note="Computed from the rates that the paper prints. On your own files: photic reproduce glorot2010 --data FOLDER."),
    Claim(text="On CIFAR-10 both networks with the normalised initialisation are the best group.", place="table 1, p = 0.005",
          experiment=table, number="CIFAR-10", low=3, high=3, tolerance="as for MNIST: the three without it are apart",
          note="Computed from the rates that the paper prints. On your own files: photic reproduce glorot2010 --data FOLDER."),
    Claim(text="No normalised network differs from the best of its column, on ImageNet either.", place="table 1, p = 0.005",
          experiment=table, number="ImageNet normalized apart", high=0.0, tolerance="as for MNIST",
          note="Computed from the rates that the paper prints; its ImageNet at 37x37 was never released."),
    Claim(text="Shapeset-3x2 has nine classes of one or two shapes, not balanced: chance errs in 83.3 %.", place="section 2.1",
          experiment=gallery, number="majority error", seeds=8, tolerance="three deviations of a share of 20,000: 0.8 points",
          **dict(zip(("low", "high"), around(CHANCE_ERROR, absolute=0.008), strict=True))),
    Claim(text="The second shape hides at most half of the first.", place="section 2.1", experiment=gallery, number="most hidden",
          low=0.3, high=0.5, theirs="fifty percent", tolerance="exact"),
    Claim(text="A sigmoid network of depth five does not learn Shapeset: Table 1 gives it the error of chance.", place="table 1",
          experiment=online, number="Sigmoid", low=0.81, high=0.86, theirs="82.61 %", tolerance=_CHANCE),
    Claim(text="The normalised initialisation learns faster than the standard one with tanh.", place="figure 11",
          experiment=online, number="Tanh over Tanh N", low=0.03, theirs="below at all times", tolerance=_GAP),
    Claim(text="Softsign learns faster at the beginning than tanh.", place="section 3.3, figures 3 and 11",
          experiment=online, number="Tanh over Softsign", low=0.03, theirs="faster", tolerance=_GAP),
    _FULL(text="The sigmoid does not escape from its saturation at depth five.", place="section 3.1, figure 11", number="Sigmoid",
          low=0.81, high=0.86, theirs="never observed", tolerance=_CHANCE),
    Claim(text="At depth four the top layer leaves its saturation around epoch 100.", place="section 3.1, figure 2", experiment=saturation,
          number="top at the end", low=0.1, seeds=1, size="full", theirs="around epoch 100", tolerance="mean activation clear of 0",
          note="Not reached: the text does not say how long an epoch is. If it is 20,000 updates, epoch 100 is 2 million; we ran 60,000."),
    _FULL(text="The test errors end in this order: sigmoid, tanh, softsign, softsign normalised, tanh normalised.", place="figure 11",
          number="smallest gap in figure 11's order", low=0.0, theirs="82.61, 27.15, 16.27, 16.06, 15.60 %",
          tolerance="the smallest step down from one to the next is not negative; a difference of two rates deviates by about 1 point"),
    _FULL(text="With the standard initialisation tanh ends far behind the normalised one.", place="table 1, figure 11",
          number="Tanh over Tanh N", low=0.05, theirs="27.15 % against 15.60 %", tolerance=_GAP),
    _FULL(text="Softsign is more robust than tanh with the standard initialisation.", place="table 1, figure 11",
          number="Tanh over Softsign", low=0.05, theirs="27.15 % against 16.27 %", tolerance=_GAP),
    _FULL(text="For softsign the normalised initialisation changes little.", place="table 1, figure 11",
          number="Softsign over Softsign N", low=-0.03, high=0.05, theirs="16.27 % against 16.06 %", tolerance=_GAP,
          note="The sentence is about the end of training, 5 million updates. After 60,000 the normalised network is still ahead; in a run "
               "of 100,000 updates 1.8 points were left of its lead."),
    _FULL(text="Tanh with the normalised initialisation comes out best of all.", place="table 1, figure 11",
          number="best of all is Tanh N", low=-0.01, theirs="15.60 % against 16.06 % at best", tolerance="better, or as good within one deviation"),
    _FULL(text="Tanh layers with the standard initialisation saturate one after the other, the first layer first.",
          place="section 3.2, figure 3 top", number="saturated in order", low=1.0,
          tolerance="98th percentiles of |activation| fall from layer 1 to 5"),
    _FULL(text="With the standard initialisation the weight gradients of a tanh network drift apart in training, larger in lower layers.",
          place="section 4.2.1, figure 9 top", number="Tanh weight gradients, layer 1 over 5", low=1.25, theirs="larger in lower layers",
          tolerance="0.98 at the start; the mean of ten readings, each of which scatters by 20 %, and three deviations of it"),
    _FULL(text="On Shapeset-3x2 the sigmoid and tanh with the standard initialisation are apart from the best, softsign with it is not.",
          place="table 1, p = 0.005", number="apart", low=2, high=2, theirs="2 of 5",
          tolerance="two error rates on 3,000 images, p = 0.005; the paper's rates as if on 10,000",
          note="After 60,000 of 5 million updates softsign is on its way: figure 11 shows it catch up."),
    _FULL(text="Softsign layers saturate less: none reaches its limits.", place="section 3.3, figure 3 bottom",
          number="softsign's largest percentile", high=0.97, theirs="0.6 to 0.8", tolerance="98th percentile of |activation| clear of 1"),
)  # fmt: skip

FIGURES = {
    "2": Figure(title="mean and deviation of sigmoid layers in training", experiments=(saturation,), draw=layers_over_time),
    "3": Figure(title="98th percentile, deviation: tanh, softsign", experiments=(online,), draw=partial(percentiles, courses=("Tanh", "Softsign"))),
    "4": Figure(title="activations at the end of training: tanh and softsign", experiments=(online,),
                draw=partial(last_histograms, courses=("Tanh", "Softsign"))),
    "5": Figure(title="cost over two weights: cross-entropy and quadratic", experiments=(surface,), draw=surfaces),
    "6": Figure(title="activations at the start", experiments=(distributions,), draw=partial(histograms, what="activations")),
    "7": Figure(title="back-propagated gradients at the start", experiments=(distributions,), draw=partial(histograms, what="gradients")),
    "8": Figure(title="weight gradients at the start", experiments=(distributions,), draw=partial(histograms, what="weight gradients")),
    "9": Figure(title="weight gradients in training: tanh, both initialisations", experiments=(online,),
                draw=partial(weight_gradients, courses=("Tanh", "Tanh N"))),
    "10": Figure(title="as figure 3: tanh, normalised", experiments=(online,), draw=partial(percentiles, courses=("Tanh N",))),
    "11": Figure(title="test error while training online", experiments=(online,), draw=partial(error_curves, theirs=SHAPESET)),
    "table-1": Figure(title="test errors, and which are as good as the best", experiments=(table, online), draw=groups),
}  # fmt: skip
