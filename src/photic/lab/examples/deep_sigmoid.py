"""A network that does not learn: ten hidden layers, each followed by the logistic sigmoid.

The data are the 1,797 handwritten digits that ship with scikit-learn, 8 x 8 pixels, scaled to mean 0 and deviation 1.
`photic check deep_sigmoid.py:network` says what is wrong with it,
`photic treat deep_sigmoid.py:network` cures it.
"""

from functools import cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class DeepSigmoid(nn.Module):
    def __init__(self, depth=10, width=128):
        super().__init__()
        sizes = [64] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.sigmoid(layer(x))
        return self.head(x)


@cache
def digits():
    """Training and test images with their labels; every fifth image is for testing."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32)
    images = (images - images.mean()) / images.std()
    labels = torch.tensor(labels)
    test = torch.arange(len(labels)) % 5 == 0
    return images[~test], labels[~test], images[test], labels[test]


def batches(size=32):
    """One epoch of batches in random order."""
    images, labels, _, _ = digits()
    for chosen in torch.randperm(len(labels)).split(size):
        yield images[chosen], labels[chosen]


def build():
    return DeepSigmoid()


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def network():
    return build(), batches, F.cross_entropy, optimizer
