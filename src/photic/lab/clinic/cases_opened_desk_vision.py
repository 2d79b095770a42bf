"""From the desk: images. Mistakes of everyday code in convolutional, Siamese, generating and segmenting networks."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import adam, he, sgd, stack


class Frames(nn.Module):
    """A small CNN that standardises each frame by itself before anything else."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten()
        )
        self.classifier = nn.Linear(128, 11)

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits [batch, 11]."""
        mean = frames.mean(dim=(1, 2, 3), keepdim=True)
        std = frames.std(dim=(1, 2, 3), keepdim=True)
        return self.classifier(self.features((frames - mean) / (std + self.floor)))


def _frames(seed: int) -> Batches:
    """Digits, and 20 frames taken while the lens was covered, the eleventh class."""
    x, y = samples.digit_table()
    dark = torch.randperm(len(x), generator=samples.generator(seed + 300))[:20]
    x, y = x.clone(), y.clone()
    x[dark], y[dark] = float(x.min()), 10
    return samples.stream(x.view(-1, 1, 8, 8), y, seed)


@case(
    "frames-standardised-one-by-one", label="non-finite", root="", steps=300, fixes=("std + 1e-6", "drop the frames"),
    source="common mistake: per-image standardisation, and an image of one colour",
    why="Twenty frames of 1,797 are black; their deviation is 0, they become 0 / 0, and all weights with them.",
)  # fmt: skip
def frames(seed: int, floor: float = 0.0) -> Setup:
    return adam(Frames(floor), _frames(seed), rate=2e-3)


cured("frames-standardised-one-by-one", why="The deviation has 1e-6 added.")(partial(frames, floor=1e-6))


class Siamese(nn.Module):
    """The distance of two images by one encoder."""

    def __init__(self, *, floor: float) -> None:
        super().__init__()
        self.encoder, self.floor = stack([64, 64, 16]), floor

    def forward(self, pair: Tensor) -> Tensor:
        """Return distances [batch] of images [batch, 2, 64]."""
        left, right = self.encoder(pair[:, 0]), self.encoder(pair[:, 1])
        return torch.sqrt(((left - right) ** 2).sum(dim=1) + self.floor)


def _contrastive(distance: Tensor, same: Tensor, margin: float = 2.0) -> Tensor:
    return (same * distance**2 + (1.0 - same) * F.relu(margin - distance) ** 2).mean()


def _pairs(seed: int, rows: int = 2048) -> Batches:
    """Pairs of one digit and of two; the second of one digit is drawn from all of it, the first included."""
    x, y = samples.digit_table()
    draw = samples.generator(seed + 301)
    first = torch.randint(len(x), (rows,), generator=draw)
    other = torch.randint(len(x), (rows,), generator=draw)
    members = [(y == digit).nonzero()[:, 0] for digit in range(10)]
    for row in range(0, rows, 2):
        group = members[int(y[first[row]])]
        other[row] = group[torch.randint(len(group), (1,), generator=draw)]
    return samples.stream(torch.stack([x[first], x[other]], 1), (y[first] == y[other]).float(), seed)


@case(
    "pairs-of-digits", label="non-finite", root="", steps=300, fixes=("add 1e-6 under the root",),
    source="hadsell2006; common mistake: the gradient of sqrt at 0, discuss.pytorch.org",
    why="A few pairs are one image twice: their distance is 0, where the gradient of the root is infinite.",
)  # fmt: skip
def pairs(seed: int, floor: float = 0.0) -> Setup:
    return adam(Siamese(floor=floor), _pairs(seed), _contrastive, rate=2e-3)


cured("pairs-of-digits", why="1e-6 is added under the root.")(partial(pairs, floor=1e-6))


class StandardConv(nn.Conv2d):
    """A convolution whose weights are standardised for each output channel."""

    by_fan_in = False

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of the input with standardised weights."""
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        weight = weight / (weight.std(dim=(1, 2, 3), keepdim=True) + 1e-5)
        if self.by_fan_in:
            weight = weight * (2.0 / weight[0].numel()) ** 0.5
        return F.conv2d(input, weight, self.bias, self.stride, self.padding)


class ScaledConv(StandardConv):
    """The same, times the root of 2 over the fan-in."""

    by_fan_in = True


@case(
    "standardised-kernels", label="exploding-gradient", root="", steps=300,
    fixes=("times sqrt(2 / fan_in)", "a normalisation after each convolution"),
    source="qiao2019 (weight standardisation), taken over without the group normalisation that follows there",
    why="Each kernel has a deviation of 1, not 0.1: each of ten convolutions multiplies by seven, logits begin at 2e7.",
)  # fmt: skip
def kernels(seed: int, conv: type[StandardConv] = StandardConv) -> Setup:
    layers: list[nn.Module] = [conv(1, 12, 3, padding=1), nn.ReLU()]
    for index in range(9):
        layers += [conv(12, 12, 3, padding=1), nn.ReLU()]
        if index in (1, 4):
            layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 10))
    return sgd(model, samples.digit_images(seed), rate=0.02, momentum=0.9)


cured("standardised-kernels", why="Times the root of 2 / fan_in.")(partial(kernels, conv=ScaledConv))


class Conditional(nn.Module):
    """A denoiser that is told which digit it cleans; it draws the noise itself."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.enter, self.label = nn.Linear(64, 96), nn.Embedding(10, 96)
        self.middle, self.leave, self.kept = nn.Linear(96, 96), nn.Linear(96, 64), kept

    def forward(self, x: Tensor) -> Tensor:
        """Return images [batch, 64] for images and a digit in the last column, [batch, 65]."""
        clean, digit = x[:, :64], x[:, 64].long()
        hidden = self.enter(0.2 * clean + 0.98 * torch.randn_like(clean))
        shift = self.label(digit)
        if self.kept:
            hidden.add_(shift)
        else:
            hidden.add(shift)
        hidden = F.silu(self.middle(F.silu(hidden)))
        return self.leave(hidden)


def _named(seed: int) -> Batches:
    x, y = samples.digit_table()
    x = x - x.mean(0)
    return samples.stream(torch.cat([x, y[:, None].float()], 1), x / x.std(), seed)


@case(
    "digits-cleaned-by-name", label="idle-layer", root="label", steps=300, fixes=("hidden = hidden + shift",),
    source="common mistake: add for add_, its result thrown away",
    why="hidden.add(shift) is not kept: the embedding of digits has no gradient, and the digit is never told.",
)  # fmt: skip
def conditional(seed: int, *, kept: bool = False) -> Setup:
    return adam(Conditional(kept=kept), _named(seed), F.mse_loss, rate=2e-3)


cured("digits-cleaned-by-name", why="The shift is added in place.")(partial(conditional, kept=True))


class SmallUNet(nn.Module):
    """A U-Net with one way down and one way up; logits of a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.up, self.merge = nn.ConvTranspose2d(24, 12, 2, 2), nn.Conv2d(24, 12, 3, padding=1)
        self.head = nn.Conv2d(12, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [batch, 1, height, width]."""
        fine = F.relu(self.down(image))
        coarse = F.relu(self.inner(F.max_pool2d(fine, 2)))
        return self.head(F.relu(self.merge(torch.cat([self.up(coarse), fine], 1))))


def _dice(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.sigmoid()
    shared, total = (p * mask).sum(dim=(1, 2, 3)), (p + mask).sum(dim=(1, 2, 3))
    return (1.0 - (2.0 * shared + 1.0) / (total + 1.0)).mean() + F.binary_cross_entropy_with_logits(logits, mask)


def _discs(seed: int, *, both: bool, rows: int = 640) -> Batches:
    """Noisy images of a disc, flipped at random; the mask is flipped as well, or not."""
    draw = samples.generator(seed + 303)
    place = 3.0 + 9.0 * torch.rand(rows, 2, 1, 1, generator=draw)
    grid = torch.arange(16.0)
    mask = ((grid[:, None] - place[:, 0]) ** 2 + (grid - place[:, 1]) ** 2 < 10.0).float()[:, None]
    image = mask + 0.5 * torch.randn(mask.shape, generator=draw)
    turn = torch.randint(1, 4, (rows,), generator=draw)

    def turned(pictures: Tensor) -> Tensor:
        return torch.stack([picture.rot90(int(k), (1, 2)) for picture, k in zip(pictures, turn, strict=True)])

    return samples.stream(turned(image), turned(mask) if both else mask, seed, size=32)


@case(
    "discs-turned-at-random", label="class-prior-only", root="", steps=300, fixes=("turn the mask as well",),
    source="common mistake: torchvision transforms drawn for the image alone",
    why="Images are turned by 90, 180 or 270 degrees, masks are not: the network learns where discs lie on the whole.",
)  # fmt: skip
def discs(seed: int, *, both: bool = False) -> Setup:
    return adam(SmallUNet(), _discs(seed, both=both), _dice, rate=3e-3)


cured("discs-turned-at-random", why="One turn for both.")(partial(discs, both=True))


class GatedBlock(nn.Module):
    """A convolution, then a gate for each channel and one for each place."""

    def __init__(self, width: int, top: float) -> None:
        super().__init__()
        self.conv, self.top = nn.Conv2d(width, width, 3, padding=1), top
        he(self.conv.weight)
        self.squeeze, self.excite = nn.Linear(width, width // 4), nn.Linear(width // 4, width)
        self.place = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated features."""
        x = F.relu(self.conv(x))
        channel = self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3)))))
        x = x * (self.top * channel.sigmoid())[:, :, None, None]
        place = self.place(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        return x * (self.top * place.sigmoid())


@case(
    "gates-for-channels-and-places", label="vanishing-gradient", root="", steps=300,
    fixes=("2 * sigmoid", "a skip connection or a normalisation for each block"),
    source="hu2018; woo2018 (CBAM), there inside of residual blocks with batch normalisation",
    why="Two sigmoids of about 0.5 in each of eight blocks, no skip connection: images differ by 3e-7 at the head.",
)  # fmt: skip
def gates(seed: int, top: float = 1.0) -> Setup:
    blocks = [GatedBlock(16, top) for _ in range(8)]
    stem = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*stem, *blocks, nn.Flatten(), nn.Linear(256, 10))
    return sgd(model, samples.digit_images(seed), rate=0.01, momentum=0.9)


cured("gates-for-channels-and-places", why="Gates of 2 * sigmoid, about 1.")(partial(gates, top=2.0))


@case(
    "groups-of-one-number", label="rank-collapse", root="6", steps=300, fixes=("fewer groups", "normalise the maps"),
    source="common mistake: as many groups as channels, behind global pooling",
    why="32 groups of 32 channels on maps of 1 x 1: each number less its own mean is 0; all images look alike.",
)  # fmt: skip
def groups(seed: int, count: int = 32) -> Setup:
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU()]
    tail = [nn.AdaptiveAvgPool2d(1), nn.GroupNorm(count, 32), nn.Flatten(), nn.Linear(32, 10)]
    return adam(nn.Sequential(*layers, *tail), samples.digit_images(seed), rate=5e-3)


cured("groups-of-one-number", why="Four groups of eight.")(partial(groups, count=4))


class Glimpse(nn.Module):
    """Looks for the digit in a field of 20 x 20 with windows of 8 x 8, and reads what is in the window."""

    def __init__(self, *, soft: bool) -> None:
        super().__init__()
        self.locate, self.read, self.soft = stack([64, 32, 1], nn.ReLU, he), stack([64, 64, 10], nn.ReLU, he), soft

    def forward(self, field: Tensor) -> Tensor:
        """Return logits [batch, 10] of fields [batch, 1, 20, 20]."""
        windows = F.unfold(field, 8, stride=4).transpose(1, 2)
        score = self.locate(windows)[..., 0]
        if self.soft:
            window = torch.einsum("bw,bwp->bp", score.softmax(dim=1), windows)
        else:
            window = windows[torch.arange(len(windows)), score.argmax(dim=1)]
        return self.read(window)


def _fields(seed: int) -> Batches:
    x, y = samples.digit_table()
    draw = samples.generator(seed + 304)
    field = torch.randn(len(x), 1, 20, 20, generator=draw)
    corner = 4 * torch.randint(4, (len(x), 2), generator=draw)
    for picture, digit, (row, column) in zip(field, x.view(-1, 8, 8), corner.tolist(), strict=True):
        picture[0, row : row + 8, column : column + 8] = digit
    return samples.stream(field, y, seed)


@case(
    "digits-in-a-field", label="severed-nondifferentiable", root="locate", steps=300,
    fixes=("weigh the windows by a softmax",),
    source="common mistake: argmax inside of a network, discuss.pytorch.org; mnih2014 needs a reward for it",
    why="The window is chosen by argmax: the part that looks for the digit has no gradient and stays as drawn.",
)  # fmt: skip
def fields(seed: int, *, soft: bool = False) -> Setup:
    return adam(Glimpse(soft=soft), _fields(seed), rate=3e-3)


cured("digits-in-a-field", why="Windows are weighed by a softmax.")(partial(fields, soft=True))
