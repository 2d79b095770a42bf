"""Prescription: what a remedy changes, as plain data; it can be carried out on a model and written as a patch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# How a layer's weights are drawn; all normal with mean 0.
#   xavier    Var[w] = 2 / (fan_in + fan_out), bias 0
#   he        Var[w] = 2 / fan_in, bias 0
#   lecun     Var[w] = 1 / fan_in, bias 0
#   centred   Var[w] = scale / fan_in, bias = shift * (sum of the unit's weights)
Scheme = Literal["xavier", "he", "lecun", "centred"]


@dataclass(frozen=True)
class LayerInitialisation:
    """New weights for one layer.

    Attributes:
        site: name of the layer's site.
        weight, bias: names of its parameters; `bias` is '' without one.
        scheme: how they are drawn.
        scale, shift: of the scheme `centred`.
    """

    site: str
    weight: str
    bias: str
    scheme: Scheme
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Prescription:
    """What is changed.

    Attributes:
        layers: new weights, layer by layer.
        activations: site name to the operation that takes its place: `{"/sigmoid#1": "tanh"}`.
        normalised: sites before which the signal is normalised, without parameters, as `normalisation` says: over its
            features (`layer`, `rms`) or over the examples (`batch`, with running statistics for evaluation).
        pre_norm: (normalisation, sites) where the normalisation after a residual sum moves before the branch: the sites that
            take the stream into the branch are given it normalised, and the sum goes on as it is.
        squeezed: site name to (`squeeze` or `unsqueeze`, axis): an axis of length 1 is taken away or added.
        dropped: dropout to the share that it zeroes.
        epsilons: site of a normalisation, or of a sum or limit that keeps from dividing by 0, to its new epsilon.
        opened: site to a factor: its signal, times that, is added to what it gives; a product with 0 becomes one with the factor.
        removed: sites that hand their input through: a `detach` that severs.
        revealed: sites that run under `no_grad` and are to be recorded all the same.
        choices: (argmax, embedding or one_hot) or (comparison, where) sites: what is taken keeps its value, and what decides gets the
            gradient of a softmax or of a sigmoid.
        places: (argmax and sites that compute with the place, sites that make numbers of it): these give their mean under a softmax.
        ranks: (argsort, number made of ranks) sites: the ranks stay, and what is ranked gets the gradient of a sum of sigmoids.
        pathwise: draws from a normal whose values stay, and whose location and scale get the gradient of location + scale * noise.
        slopes: sites of `torch.autograd.grad`, whose results get a history: `create_graph=True`.
        comparisons: sites of comparisons of which numbers are made: they are 0 or 1 as before, and what is compared gets the
            gradient of a logistic sigmoid of the difference.
        recomputed: reentrant checkpoints run as if they were none, so that the gradient passes them.
        differentiated: autograd functions of the user's, by class name, whose forward is differentiated as torch does, in place of their backward.
        guards: site name to (smallest, largest) value of its first argument, None for no limit.
        mapped: site whose first argument is mapped into its domain: `positive` or `negative` by a softplus, `unit` by a tanh.
        stable_logs: (function, logarithm, operation of the function, number that its result is multiplied by) of sites whose values are
            computed as one.
        shared: (logarithm or root, sites that take the same): its argument goes through a softplus for all of them.
        denominators: division site to the least distance from 0 of what is divided by.
        averaged: products with a matrix of the batch, divided by the sums of its rows.
        rounded: sites whose result is cut to whole numbers.
        magnitudes: sites of a mean or a sum that is taken of magnitudes.
        one_divisor: division site to the number that it divides by in place of its second argument.
        turned_weights: losses whose class weights become one over these.
        mends: it puts right what the loss itself gets wrong, so it is judged by the mended loss.
        certain: it puts right what was measured to be wrong, whatever else is.
        only_judged: nothing is carried out; by the mended loss is only judged.
        unhooked: parameters whose gradient no hook changes any more.
        turned_links: products whose first matrix is transposed.
        own_calls: call of one layer to (that layer, the layer beside it whose parameters it uses).
        every_row: (table of which one row is read, sum that takes it) sites: there each place gets the row of its own.
        word_keys: dicts of modules that find them by numbers too.
        moved_in: (activation, sum) sites: what is added to what the activation gives is added to what it takes.
        relisted: attributes that are iterators and become lists.
        spanned: sampling site to the (lowest, highest) place that it is given, which become -1 and 1.
        bent: sites whose result goes through a tanh.
        own_parts: (join, end, taker) sites: who takes one of what was joined is given its part of what the end gives.
        joined: sites whose result is added to the model's answers.
        divided: whole quotients, `x // y`, that are true ones, `x / y`.
        quotients: division site to the share of the root mean square of what is divided by that this keeps away from 0.
        ridges: site that takes a square matrix to what is added to its diagonal, beside a mean diagonal of 1.
        finite: sites whose results and slopes count 0 where they are not finite.
        bridged: (site, site): what the first makes left torch and comes back as the second's first argument, with as many numbers;
            its gradient is handed over. A second one of the loss has it handed over at its result.
        handed: (site that writes into a layer's parameters, the layer's site): the layer is called with what was written.
        rejoined: (site, site that uses a parameter made of what the first gives): the second is given that itself.
        adopted: sites whose parameters the model does not list; it takes them in at the first call.
        axes: softmax site to the axis that it is taken over.
        channels_first: sites of a `view` or `reshape` in whose place the last axis is moved to the second.
        logarithms: sites whose first argument goes through a log_softmax first.
        logged: softmaxes that give the logarithms of what they gave.
        positions: (site that takes rows of a table, sum): the first rows are added along the second axis in their place.
        loops: (parameter, `orthogonal` or `decay`): of a recurrence that is written out, a matrix drawn orthogonal, in square blocks, or
            factors drawn between 0.9 and 0.999.
        constants: parameter to the number that all of it starts at.
        centred: parameter to the deviation that its values start with, around 0.
        scaled: parameter to the factor on the values that it starts at.
        frozen: parameters that are not trained.
        thawed: parameters that are trained, at the largest rate of the others.
        fresh: every module draws its weights anew as torch does.
        next_entries: sites of `x[:, i]` that are given the next entry of that axis in place of it.
        last_entries: sites of `x[:, i]` that are given the last entry of that axis.
        pooled: sites of `x[:, i]` that give the mean over that axis in place of it.
        turned_masks: sites that take a mask of what is to be left out, and are given its opposite.
        masked_rows: softmax sites that give 0 in a row whose scores are all minus infinity.
        blocks: modules whose input is added to their output, where the shapes agree.
        squashed: modules whose input goes through a tanh first.
        balance: sum site to (site, factor): the argument of the sum that this site makes is multiplied.
        mirrored: (1 - p, logarithm) sites: log(1 - p) becomes -log p, so that the loss keeps its slope where p is near 0.
        flipped: (softplus, negation) sites: -softplus(v) becomes softplus(-v), which has its slope where the other has none.
        unaligned: CTC losses in which a row that no alignment fits counts 0.
        floors: autograd functions of the user's, by class name, whose plain number of 0 is this in place of it.
        ranged: site that bins or cuts numbers to whole ones, to the rows of its table: they are brought into the range of the bins.
        drawn_from: comparisons (`cdist`) with the entries of a table, which start as some of what is compared with them.
        written_back: (x[rows], what is written into it) sites: the rows are put back into x.
        unheld: parameters that the optimizer does not hold.
        unwritten: parameters that calls in the forward, past the gradient, leave as they are; what was mixed into them follows them.
        carried: (site, product) sites: what the first makes is added to the state of zeros, in its shape, that the second is given.
        states: (recurrent site, recurrent site): the second starts from the state in which the first ended.
        goals: (code, comparison) sites: where the comparison is given what the first makes, it passes no gradient back to that.
        in_order: the model's answers are put back into the order of its rows, where the forward sorts them.
        channels_last: sites of a `view` or `reshape` whose first argument has its second axis moved to the end before, or of a
            transposition that becomes this.
        rows_first: sites of a `view` or `reshape` whose first argument has its first two axes changed over before.
        batch_first: recurrent modules that take the first axis for the batch.
        gated: plain recurrent modules that become GRUs of the same sizes.
        truncated: steps after which the state of recurrent modules is cut from the gradient; 0 never.
        clip: largest norm of the gradient at a step; None leaves it as it is.
        clip_limit: the limit of the clipping that the optimizer's step does already; None leaves it.
        rate: factor on the learning rate; 1 leaves it as it is.
        recurrence: how recurrent layers are drawn anew: `chrono` spreads the memory of LSTM and GRU units over
            `longest` steps, `forget` opens the LSTM's forget gates for as many, `orthogonal` and `identity` make recurrent matrices
            that, `default` draws all as torch does, with open forget gates for `longest` steps; '' leaves them as they are.
        scheme: a scheme of `photic.initialise`, drawn after one look at a training batch; '' draws none.
        straight: sites whose gradient passes as if they handed their input through, while their value stays.
        unscaled: products, of which the signal is handed through in place of it.
        limited: site to the largest norm of the gradient that comes back to what it makes.
        continued: ((site, site), ...) and sites: what a stretch from the first site to the second of each pair makes of a value is given
            in its place to the stretches that follow, and to the sites.
        unshared: modules that stand under several names: each name gets one of its own, drawn anew.
        answers: name of a linear module to the number of outputs that it is given, drawn as torch does.
        widened: length of every axis of a parameter that has length 0; 0 leaves them.
        skips: (site, site): what the first gives is added to what the second gives.
        put_in: (module, layer's site, whether the module is one layer alone): the layer is called on x + module(x), a single one with a ReLU.
        branched: (site, site): what the second gives is normalised, divided by the root of their number and added to what the first gives.
        factors: site name to the factor on its first argument: scores before a softmax.
        filled_input: 0 in the place of numbers of the batch that are not finite, inside the model.
        shuffled: the examples of all batches are dealt anew.
        standardised_input, standardised_target: with the mean and deviation of the training batches, inside the model.
        precision: weights, and numbers that enter, get this type; '' leaves them.
        registered: modules kept in plain lists and dicts become known to the model and the optimizer.
        owned: the optimizer holds every trainable parameter of the model, and no other.
        zeroed: the optimizer clears the gradients after each step.
        warmup: steps over which the learning rate rises to its value; 0 leaves it as it is.
        loss_scale: factor on the gradient in backward alone, taken out before the step.
        gradient_unit: factor on the gradient in backward that stays: the loss in larger or smaller units.
        settings: of the optimizer, set in every group: `{"eps": 1e-8}`.
        adam: an Adam at its own default rate in place of the optimizer, for what that holds.
        standard_loss: cross-entropy, of probabilities or logits, or a mean squared error in place of the loss, as the targets ask.
        search_rate: whether `rate` is still to be found by a range test.
        why: one line for a comment in the patched source.
    """

    layers: tuple[LayerInitialisation, ...] = ()
    activations: dict[str, str] = field(default_factory=dict[str, str])
    normalised: tuple[str, ...] = ()
    normalisation: Literal["layer", "batch", "rms"] = "layer"
    pre_norm: tuple[tuple[str, tuple[str, ...]], ...] = ()
    squeezed: dict[str, tuple[Literal["squeeze", "unsqueeze"], int]] = field(
        default_factory=dict[str, 'tuple[Literal["squeeze", "unsqueeze"], int]']
    )
    dropped: dict[str, float] = field(default_factory=dict[str, float])
    epsilons: dict[str, float] = field(default_factory=dict[str, float])
    opened: dict[str, float] = field(default_factory=dict[str, float])
    removed: tuple[str, ...] = ()
    revealed: tuple[str, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    places: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    ranks: tuple[tuple[str, str], ...] = ()
    pathwise: tuple[str, ...] = ()
    slopes: tuple[str, ...] = ()
    comparisons: tuple[str, ...] = ()
    recomputed: bool = False
    differentiated: tuple[str, ...] = ()
    guards: dict[str, tuple[float | None, float | None]] = field(
        default_factory=dict[str, "tuple[float | None, float | None]"]
    )
    mapped: dict[str, Literal["positive", "negative", "unit"]] = field(
        default_factory=dict[str, 'Literal["positive", "negative", "unit"]']
    )
    stable_logs: tuple[tuple[str, str, str, float], ...] = ()
    shared: tuple[tuple[str, ...], ...] = ()
    denominators: dict[str, float] = field(default_factory=dict[str, float])
    averaged: tuple[str, ...] = ()
    magnitudes: tuple[str, ...] = ()
    one_divisor: dict[str, float] = field(default_factory=dict[str, float])
    turned_weights: tuple[str, ...] = ()
    mends: bool = False
    certain: bool = False
    only_judged: bool = False
    unhooked: tuple[str, ...] = ()
    turned_links: tuple[str, ...] = ()
    own_calls: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    every_row: tuple[tuple[str, str], ...] = ()
    word_keys: tuple[str, ...] = ()
    moved_in: tuple[tuple[str, str], ...] = ()
    relisted: tuple[str, ...] = ()
    spanned: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    bent: tuple[str, ...] = ()
    own_parts: tuple[tuple[str, str, str], ...] = ()
    joined: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()
    divided: tuple[str, ...] = ()
    quotients: dict[str, float] = field(default_factory=dict[str, float])
    ridges: dict[str, float] = field(default_factory=dict[str, float])
    finite: tuple[str, ...] = ()
    bridged: tuple[tuple[str, str], ...] = ()
    handed: tuple[tuple[str, str], ...] = ()
    rejoined: tuple[tuple[str, str], ...] = ()
    adopted: tuple[str, ...] = ()
    axes: dict[str, int] = field(default_factory=dict[str, int])
    logarithms: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()
    positions: tuple[tuple[str, str], ...] = ()
    loops: tuple[tuple[str, str], ...] = ()
    constants: dict[str, float] = field(default_factory=dict[str, float])
    centred: dict[str, float] = field(default_factory=dict[str, float])
    scaled: dict[str, float] = field(default_factory=dict[str, float])
    frozen: tuple[str, ...] = ()
    thawed: tuple[str, ...] = ()
    fresh: bool = False
    next_entries: tuple[str, ...] = ()
    last_entries: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    turned_masks: tuple[str, ...] = ()
    masked_rows: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    squashed: tuple[str, ...] = ()
    balance: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])
    mirrored: tuple[tuple[str, str], ...] = ()
    flipped: tuple[tuple[str, str], ...] = ()
    unaligned: tuple[str, ...] = ()
    floors: dict[str, float] = field(default_factory=dict[str, float])
    ranged: dict[str, int] = field(default_factory=dict[str, int])
    drawn_from: tuple[str, ...] = ()
    written_back: tuple[tuple[str, str], ...] = ()
    unheld: tuple[str, ...] = ()
    unwritten: tuple[str, ...] = ()
    carried: tuple[tuple[str, str], ...] = ()
    states: tuple[tuple[str, str], ...] = ()
    goals: tuple[tuple[str, str], ...] = ()
    in_order: bool = False
    channels_last: tuple[str, ...] = ()
    channels_first: tuple[str, ...] = ()
    rows_first: tuple[str, ...] = ()
    batch_first: tuple[str, ...] = ()
    gated: tuple[str, ...] = ()
    truncated: int = 0
    clip: float | None = None
    clip_limit: float | None = None
    rate: float = 1.0
    recurrence: Literal["", "chrono", "forget", "orthogonal", "identity", "default"] = ""
    longest: int = 0
    scheme: str = ""
    straight: tuple[str, ...] = ()
    unscaled: tuple[str, ...] = ()
    limited: dict[str, float] = field(default_factory=dict[str, float])
    continued: tuple[tuple[tuple[tuple[str, str], ...], tuple[str, ...]], ...] = ()
    unshared: tuple[str, ...] = ()
    answers: dict[str, int] = field(default_factory=dict[str, int])
    widened: int = 0
    skips: tuple[tuple[str, str], ...] = ()
    branched: tuple[tuple[str, str], ...] = ()
    put_in: tuple[tuple[str, str, bool], ...] = ()
    factors: dict[str, float] = field(default_factory=dict[str, float])
    filled_input: bool = False
    shuffled: bool = False
    standardised_input: bool = False
    standardised_target: bool = False
    precision: Literal["", "float32", "bfloat16", "float64"] = ""
    registered: bool = False
    owned: bool = False
    zeroed: bool = False
    warmup: int = 0
    loss_scale: float = 1.0
    gradient_unit: float = 1.0
    settings: dict[str, float] = field(default_factory=dict[str, float])
    adam: bool = False
    standard_loss: bool = False
    search_rate: bool = False
    why: str = ""

    @property
    def drawn(self) -> bool:
        """Whether weights are drawn or set anew by lines that can stand at the end of a constructor."""
        drawn = (
            self.layers or self.recurrence or self.fresh or self.loops or self.constants or self.scaled or self.frozen
        )
        return bool(drawn)
