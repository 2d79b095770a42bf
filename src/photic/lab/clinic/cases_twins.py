"""Twins: every sick case again, with the one thing put right that made it sick."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from photic.lab.clinic import cases_activation as activation
from photic.lab.clinic import cases_data as data
from photic.lab.clinic import cases_depth as depth
from photic.lab.clinic import cases_loss as loss
from photic.lab.clinic import cases_optimizer as optimizer
from photic.lab.clinic import cases_precision as precision
from photic.lab.clinic import cases_recurrent as recurrent
from photic.lab.clinic import cases_structure as structure
from photic.lab.clinic import cases_transformer as transformer
from photic.lab.clinic.case import Build, cured
from photic.lab.clinic.networks import he, xavier

# sick case -> (what was put right and what was measured, builder)
TWINS: dict[str, tuple[str, Build]] = {
    "sigmoid-8-circles": ("tanh and Xavier's start.", partial(depth.sigmoid_circles, activation=nn.Tanh, start=xavier)),
    "sigmoid-11-blobs": ("tanh.", partial(depth.sigmoid_blobs, activation=nn.Tanh)),
    "sigmoid-10-digits": ("tanh and Xavier's start.", partial(depth.sigmoid_digits, activation=nn.Tanh, start=xavier)),
    "tanh-default-20": ("Xavier's start.", partial(depth.tanh_default, start=xavier)),
    "relu-default-20": ("He's start.", partial(depth.relu_default, start=he)),
    "relu-xavier-30": ("He's start.", partial(depth.relu_xavier, start=he)),
    "gelu-default-16": ("He's start.", partial(depth.gelu_default, start=he)),
    "sigmoid-convolutions": ("ReLU.", partial(depth.sigmoid_convolutions, activation=nn.ReLU)),
    "relu-small-uniform-circles": ("He's start.", partial(depth.small_uniform, start=he)),
    "tanh-small-normal-digits": ("Xavier's start.", partial(depth.small_normal, start=xavier)),
    "relu-four-times-he": ("He's start.", partial(depth.relu_large, variance=2.0)),
    "linear-too-large": ("a variance of 1 / fan_in.", partial(depth.linear_large, variance=1.0)),
    "elu-six-times-lecun": ("a variance of 1.5 / fan_in.", partial(depth.elu_large, variance=1.5)),
    "normal-one": ("He's start.", partial(depth.normal_one, start=he)),
    "exponential-8-circles": ("ReLU.", partial(depth.exponential, activation=nn.ReLU)),
    "batch-norm-50": ("six layers.", partial(depth.normalised, depth=6)),
    "constant-weights": ("He's start.", partial(depth.constant_weights, start=he)),
    "zero-weights": ("He's start.", partial(depth.zero_weights, start=he)),
    "relu-he-80": ("eight layers.", partial(depth.relu_deep, depth=8)),
    "sigmoid-large-weights": ("a variance of 1 / fan_in.", partial(activation.sigmoid_large, variance=1.0)),
    "tanh-large-weights": ("a variance of 1 / fan_in.", partial(activation.tanh_large, variance=1.0)),
    "softmax-hidden": ("ReLU.", partial(activation.softmax_hidden, activation=nn.ReLU)),
    "dead-layer": ("biases of 0.", partial(activation.dead_layer, bias=0.0)),
    "dead-convolution": ("biases of 0.", partial(activation.dead_convolution, bias=0.0)),
    "narrow-relu-20": ("a slope of 0.3 below 0.", partial(activation.narrow, activation=partial(nn.LeakyReLU, 0.3))),
    "killed-by-first-step": ("x and y standardised.", partial(activation.killed, scaled=True)),
    "relu-output": ("no ReLU at the end.", partial(activation.relu_output, last=nn.Identity)),
    "sigmoid-output-wide-target": ("no sigmoid at the end.", partial(activation.sigmoid_output, last=nn.Identity)),
    "hard-tanh-shifted": ("biases of 0.", partial(activation.hard_tanh, bias=0.0)),
    "double-softmax": ("no softmax.", partial(loss.double_softmax, last=nn.Identity)),
    "softmax-one-unit": ("a sigmoid.", partial(loss.softmax_one_unit, last=nn.Sigmoid)),
    "softmax-one-unit-regression": ("no softmax.", partial(loss.softmax_regression, last=nn.Identity)),
    "sigmoid-before-logits": ("no sigmoid.", partial(loss.sigmoid_before_logits, last=nn.Identity)),
    "squared-error-of-softmax": ("cross entropy.", partial(loss.sure_and_wrong, loss=F.cross_entropy)),
    "minimax-generator": (
        "the loss -log D, from logits.",
        partial(loss.minimax_generator, loss=F.binary_cross_entropy_with_logits),
    ),
    "term-turned-into-number": ("the term stays a tensor.", partial(loss.number_term, loss=loss.with_tensor)),
    "root-at-zero": ("1e-6 inside the root.", partial(loss.root_at_zero, small=1e-6)),
    "unused-branch-of-where": ("the root's input clamped.", partial(loss.unused_branch, clamped=True)),
    "logarithm-of-zero": (
        "the loss from logits.",
        partial(loss.logarithm, loss=F.binary_cross_entropy_with_logits),
    ),
    "hinge-beyond-margin": ("the hinge is not clamped.", partial(loss.clamped_hinge, clamped=False)),
    "raw-cancer-table": ("columns standardised.", partial(data.raw_cancer, raw=False)),
    "pixels-times-hundred-tanh": ("pixels of deviation 1.", partial(data.large_pixels, scale=1.0)),
    "pixels-shifted": ("mean 0.", partial(data.shifted_pixels, shift=0.0)),
    "pixels-in-thousandths": ("pixels of deviation 1.", partial(data.small_pixels, scale=1.0)),
    "fourth-power": ("x and y standardised.", partial(data.fourth_power, scaled=True)),
    "target-in-thousands": ("target standardised.", partial(data.large_target, target_scale=1.0, target_shift=0.0)),
    "target-in-hundreds-descent": ("target standardised.", partial(data.hundreds, target_scale=1.0, target_shift=0.0)),
    "adam-rate-one": ("a rate of 0.001.", partial(optimizer.adam_rate, rate=1e-3)),
    "descent-rate-ten": ("a rate of 0.1.", partial(optimizer.descent_rate, rate=0.1)),
    "momentum-too-strong": ("a rate of 0.001.", partial(optimizer.heavy_momentum, rate=1e-3)),
    "line-rate-beyond-curvature": ("a rate of 0.01.", partial(optimizer.line, rate=0.01)),
    "ascent": ("descent.", partial(optimizer.ascent, maximize=False)),
    "rate-typed-wrong": ("a rate of 0.003.", partial(optimizer.tiny_rate, rate=3e-3)),
    "decay-too-strong": ("a decay of 1e-4.", partial(optimizer.strong_decay, decay=1e-4)),
    "loss-below-epsilon": ("an epsilon of 1e-18.", partial(optimizer.below_epsilon, eps=1e-18)),
    "epsilon-of-one": ("an epsilon of 1e-8.", partial(optimizer.large_epsilon, eps=1e-8)),
    "no-epsilon": ("an epsilon of 1e-8.", partial(optimizer.no_epsilon, eps=1e-8)),
    "gradients-never-cleared": ("gradients cleared.", partial(optimizer.never_cleared, kind=torch.optim.SGD)),
    "optimizer-of-another-model": ("the model is not copied.", partial(optimizer.stale, copied=False)),
    "narrow-layer-left-out": ("the optimizer holds all layers.", partial(optimizer.left_out, complete=True)),
    "frozen-head-owned": ("the head is not frozen.", partial(optimizer.frozen_head, unfrozen=True)),
    "clipped-to-nothing": ("a limit of 1.", partial(optimizer.clipped, kind=optimizer.GentleClipping)),
    "transformer-rate": ("a rate of 0.003.", partial(optimizer.transformer_rate, rate=3e-3)),
    "half-tiny-loss": ("the loss in its own units.", partial(precision.tiny_loss, factor=1.0)),
    "half-deep-tanh": ("a variance of 1 / fan_in.", partial(precision.deep_half, variance=1.0)),
    "bfloat16-weights": ("float32 weights.", partial(precision.bfloat_weights, dtype=torch.float32)),
    "half-overflow": ("He's start.", partial(precision.half_overflow, variance=2.0)),
    "half-epsilon": ("an epsilon of 1e-4.", partial(precision.half_epsilon, eps=1e-4)),
    "half-exponentials": ("the largest score is subtracted.", partial(precision.half_exponentials, safe=True)),
    "detached-code": ("no detach.", partial(structure.detached, cut="none")),
    "encoder-under-no-grad": ("no no_grad.", partial(structure.under_no_grad, cut="none")),
    "data-of-code": ("the tensor itself.", partial(structure.data_attribute, cut="none")),
    "rounded-code": ("straight through.", partial(structure.rounded, cut="round-through")),
    "sign-of-code": ("straight through, and tanh's slope.", partial(structure.signed, cut="sign-through")),
    "argmax-choice": ("softmax.", partial(structure.argmax_choice, soft=True)),
    "layers-in-plain-list": ("a ModuleList.", partial(structure.plain_list, keep=nn.ModuleList)),
    "low-rank-both-zero": ("one factor drawn at random.", partial(structure.low_rank, first=0.125)),
    "gate-and-branch-zero": ("the branch drawn at random.", partial(structure.gate_and_branch, zero_branch=False)),
    "residual-without-norm": ("LayerNorm before each branch.", partial(structure.without_norm, norm=True)),
    "loud-stream": ("a stem of size 1.", partial(structure.loud_stream, loud=1.0)),
    "branch-times-millionth": ("a factor of 1.", partial(structure.faint, share=1.0)),
    "tanh-recurrence-50": ("the identity as recurrence.", partial(recurrent.tanh_recurrence, recurrence=1.0)),
    "relu-recurrence-half": ("the identity as recurrence.", partial(recurrent.relu_recurrence, recurrence=1.0)),
    "forgetful-lstm": ("a forget bias of 3.", partial(recurrent.forgetful, forget=3.0)),
    "default-lstm-120": ("biases for 120 steps.", partial(recurrent.default_lstm, chrono=120)),
    "relu-recurrence-growing": ("the identity as recurrence.", partial(recurrent.growing, recurrence=1.0)),
    "tanh-recurrence-chaotic": ("an orthogonal recurrence.", partial(recurrent.chaotic, wild=False)),
    "shut-gates": ("torch's own weights.", partial(recurrent.shut_gates, scale=1.0)),
    "gates-of-raw-input": ("inputs of size 1.", partial(recurrent.raw_input, scale=1.0)),
    "post-norm-16-no-warm-up": ("norm before the branch.", partial(transformer.post_norm, pre=True)),
    "sharp-attention-start": ("torch's own weights.", partial(transformer.sharp_attention, start=1.0)),
    "row-masked-out": ("each query sees itself.", partial(transformer.masked_out, diagonal=0)),
    "attention-without-skips": ("skips and norms.", partial(transformer.without_skips, skip=True)),
    "detached-tokens": ("no detach.", partial(transformer.detached_tokens, cut=False)),
    "sharp-pooling": ("no factor.", partial(transformer.sharp_pooling, factor=1.0)),
}  # fmt: skip

for _name, (_why, _build) in TWINS.items():
    cured(_name, why=_why)(_build)
