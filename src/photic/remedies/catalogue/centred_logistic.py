"""Centred logistic initialisation: the sigmoid stays, its weights are drawn so that it acts as a Xavier tanh."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, activation_before, matrices
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation


@remedy(
    treats=("vanishing-gradient", "saturated-activation", "weights-too-small"),
    changes="weights",
    sources=("glorot2010", "lecun1998"),
    rank=1,
)
def centred_logistic(graph: Graph) -> Prescription | str:
    """Centred logistic weights: the sigmoid stays and acts as a Xavier tanh.

    What it changes: the initial weights and biases of the layers around logistic sigmoids. Since
    sigmoid(z) = 1/2 + tanh(z/2)/2, a layer fed by a sigmoid gets Var[w] = 16 / fan_in and a bias of minus half the sum
    of its weights, which takes away the mean of 1/2; the first layer and the output get 4 / fan_in. The network then
    equals a tanh network with Var[w] = 1 / fan_in, exactly.

    When not to: the mean comes back as the weights move; a tanh is simpler where the activation may be changed.
    """
    layers = matrices(graph)
    after = {index: activation_after(graph, index) for index in layers}
    before = {index: activation_before(graph, index) for index in layers}
    if not any(after[index] == "sigmoid" for index in layers):
        return "no logistic sigmoid follows any layer"
    if not all("sigmoid" in (after[index], before[index]) for index in layers):
        return "other activations stand between the sigmoids"
    chosen = []
    for index in layers:
        fed = before[index] == "sigmoid"
        scale = 16.0 if fed and after[index] == "sigmoid" else 4.0
        chosen.append(initialisation(graph, index, "centred", scale=scale, shift=-0.5 if fed else 0.0))
    return Prescription(
        layers=tuple(chosen),
        why="centred logistic: sigmoid(z) = 1/2 + tanh(z/2)/2, so these weights make it a Xavier tanh network",
    )
