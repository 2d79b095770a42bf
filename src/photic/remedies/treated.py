"""The treated set-up: a fresh one with a prescription carried out on its model, loss and optimizer."""

from __future__ import annotations

import torch

from photic.checkups.setup import Setup
from photic.checkups.training import evaluate
from photic.probes.generators import seeded
from photic.probes.iterators import relist
from photic.remedies.carry_out import carry_out, substitute_loss
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.standard_loss import StandardLoss
from photic.remedies.stepping import change_optimizer
from photic.remedies.surgery import compute_in, gate_recurrence, give_answers, loss_in, register_modules, unshare, widen
from photic.remedies.units import ScaledBackward, fill_input, standardise_input, standardise_output


def treated_setup(material: Material, prescription: Prescription | None, *, seed: int) -> Setup:
    """Return a fresh set-up with the prescription carried out on it."""
    setup = material.fresh(seed)
    if prescription is None or prescription.only_judged:
        return setup
    material = material.under(prescription)
    if prescription.precision:
        compute_in(setup.model, getattr(torch, prescription.precision))
    gate_recurrence(setup.model, prescription.gated, seed=seed)
    unshare(setup.model, prescription.unshared, seed=seed)
    give_answers(setup.model, prescription.answers, seed=seed)
    if prescription.widened:
        widen(setup.model, prescription.widened, seed=seed)
    relist(setup.model, prescription.relisted)
    carry_out(prescription, setup.model, seed=seed, batch=material.training[0])
    if prescription.registered:
        register_modules(setup.model)
    loss, unit = substitute_loss(prescription, setup.model, setup.loss), prescription.gradient_unit
    if prescription.standard_loss:
        loss = StandardLoss()
    if prescription.precision == "float64" and loss is not None:
        loss = loss_in(loss, torch.float64)  # beside outputs of that type
    if prescription.filled_input:
        fill_input(setup.model)
    if prescription.standardised_input:
        standardise_input(setup.model, material.training)
    if prescription.standardised_target:
        unit /= standardise_output(setup.model, material.training) ** 2
    if unit * prescription.loss_scale != 1.0 and loss is not None:
        loss = ScaledBackward(loss, unit * prescription.loss_scale)
    if prescription.shared:  # which arguments are the same shows where it is called
        with seeded(seed):
            evaluate(setup.model, loss, material.training[:1])
    optimizer = change_optimizer(prescription, setup.optimizer, setup.model)
    return Setup(setup.model, material.batches, loss, optimizer)
