"""Run: all readings of a network, with the table of its sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from photic.records.moments import Moments
from photic.records.pictures import Shown
from photic.records.sites import Backward, Edge, Parameter, Site, Unseen


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """What theory needs of a weight matrix W [fan_out, fan_in] and its bias b [fan_out].

    Attributes:
        fan_in: inputs that one output sums over (k^2 c_in / groups for a convolution).
        fan_out: outputs that one input feeds (k^2 c_out / groups / stride^2 for a convolution).
        mean: mean of the entries of W.
        variance: variance of the entries of W.
        row_square_sum: mean over outputs i of sum_j W_ij^2; fan_in * Var[W] for a zero-mean W.
        row_sum_square: mean over i of (sum_j W_ij)^2: how a mean of the input passes.
        row_sum_bias: mean over i of (sum_j W_ij) b_i; 0 without a bias.
        bias_square: mean over i of b_i^2; 0 without a bias.
        distinct: share of the mean square of W that differs between its rows, |W - mean row|^2 / |W|^2: 0 where all
            units are one unit, about 1 for drawn weights.
    """

    fan_in: int
    fan_out: float
    mean: float
    variance: float
    row_square_sum: float
    row_sum_square: float
    row_sum_bias: float
    bias_square: float
    distinct: float = 1.0


@dataclass(frozen=True, slots=True)
class SpreadFacts:
    """How much the output of a site tells its inputs apart.

    Attributes:
        examples: share of the mean square that differs between examples, |x - mean over examples|^2 / |x|^2.
        tokens: the same between the positions of one example, for outputs [examples, positions, features], or these two flat; None else.
        places: the same between the last positions, for outputs [examples, channels, places] and a layer's maps; None else.
        directions: along how many directions what differs between the examples is spread, (sum of eigenvalues)^2 / (sum of their
            squares) of its covariance, for layers and products with outputs [examples, features], from eight of each on; 1 is a line. None else.
    """

    examples: float
    tokens: float | None = None
    places: float | None = None
    directions: float | None = None


@dataclass(frozen=True, slots=True)
class ShareFacts:
    """What a softmax gives: of `softmax`, or inside `scaled_dot_product_attention` (a sample of its heads).

    Attributes:
        keys: length of the axis.
        entropy: mean entropy of its rows over that of equal shares, 1: all alike, 0: one takes all.
        certain: share of rows whose largest share exceeds 0.999.
        deviation: root mean square deviation of the logits inside their rows.
    """

    keys: int
    entropy: float
    certain: float
    deviation: float


@dataclass(frozen=True, slots=True)
class ChoiceFacts:
    """Whole numbers that were made of others: bins, places, classes.

    Attributes:
        made: how many different ones there are.
        count: of how many that were looked at.
        entering: share of the mean square of what they were made of that differs between the rows.
    """

    made: int
    count: int
    entering: float


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Pre-activations of the sigmoid gates in a fused LSTM or GRU (first layer, forward direction, a sample).

    Attributes:
        shut, open: share below -6 and above 6, where the slope is below 1 % of its largest value.
        deviation: root mean square deviation around the mean of each unit: what the data does, not the bias.
    """

    shut: float
    open: float
    deviation: float


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """The columns of what enters the model: features of a table or sequence, channels of an image.

    Attributes:
        columns: how many are not constant over the batch.
        smallest, largest: deviation at the 5 % and the 95 % quantile of those.
        offset: root mean square of the columns' means over that of their deviations.
    """

    columns: int
    smallest: float
    largest: float
    offset: float


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """How the units of one activation site behave over the whole batch.

    A unit is an index of the feature axis (last axis; the channel axis of a convolution).

    Attributes:
        units: number of units.
        dead_fraction: share of units whose output is 0, and whose slope is 0, on every example.
        saturated_fraction: share of elements where the slope is below 1 % of its largest value.
        saturated_unit_fraction: share of units that are saturated on at least 99 % of the batch.
        input_quantiles: pre-activation at 0, 1, 5, 25, 50, 75, 95, 99 and 100 %.
        slope_rms: root mean square of the slope over the elements; what the gradient is multiplied by.
        dead_in_window: share of units that were dead in each of the last `window` audits of a watch; None outside of one.
    """

    units: int
    dead_fraction: float
    saturated_fraction: float
    saturated_unit_fraction: float
    input_quantiles: tuple[float, ...]
    slope_rms: float
    dead_in_window: float | None = None
    window: int = 0


@dataclass(frozen=True, slots=True)
class TimeFacts:
    """What a fused recurrent layer did at each time step, the first step first.

    Attributes:
        signal_norms: Euclidean norm of the output at each time step, over batch and features.
        gradient_norms: norm of the gradient that the layer passed back to its input of each time step; empty
            when none came. Both directions of a bidirectional layer and all its stacked layers are in it.
    """

    signal_norms: tuple[float, ...]
    gradient_norms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteReading:
    """The statistics of one site at one step.

    Attributes:
        signal: the output's values. None when the output is not a floating-point tensor.
        gradient: derivative of the loss with respect to the output. None: no gradient arrived.
        gain: norm of the gradients passed to all inputs (parameters apart) over the norm of the gradient
            that arrived at the output. None when nothing was passed or nothing arrived.
        weight: facts of the weight matrix, for sites of kind `weight`.
        units: for sites of kind `activation`.
        times: for fused recurrent layers.
        spread: how much examples differ here; None where there are fewer than two, or all is 0.
        shares: for softmax and attention.
        choice: for whole numbers made of others.
        gates: for fused recurrent layers with gates.
        given: in the loss, numbers that enter it and that no site made: targets.
        alignment: cosine between signal and gradient, for outputs of the model and what enters their squashing; above 0
            a step makes the output smaller.
        asked: for divisions of the batch by a few numbers of each example, the share of the targets' variance that is linear in these.
        handed_back: for autograd functions of the user's on [batch, time, width], the norm of the gradient that arrives at what they take,
            at each time.
    """

    signal: Moments | None
    gradient: Moments | None
    gain: float | None = None
    weight: WeightFacts | None = None
    units: UnitFacts | None = None
    times: TimeFacts | None = None
    spread: SpreadFacts | None = None
    shares: ShareFacts | None = None
    gates: GateFacts | None = None
    given: Moments | None = None
    alignment: float | None = None
    asked: float | None = None
    handed_back: tuple[float, ...] = ()
    choice: ChoiceFacts | None = None


@dataclass(frozen=True, slots=True)
class EdgeReading:
    """The gradient that passed back along one edge at one step.

    Attributes:
        gradient_norm: norm of this consumer's contribution. None: it passed nothing.
        gain: that norm over the norm of the gradient at the target's output.
        cosine: between this contribution and the sum of all consumers' contributions; 1 for a sole
            consumer. None when one of them is 0 or unknown.
    """

    gradient_norm: float | None
    gain: float | None
    cosine: float | None


@dataclass(frozen=True, slots=True)
class ParameterReading:
    """One parameter at one step.

    Attributes:
        weight: its values before the update.
        gradient: None when no gradient arrived at all (not the same as zeros).
        update_ratio: |weight after - weight before| / |weight before|; None without an update.
        unchanged_fraction: share of its elements that the update left bit-identical.
        before_clipping: norm of the gradient right after the backward pass, before clipping, without a loss scale; None
            where it was not read.
        epsilon_share: of the elements with a gradient, those of which Adam's epsilon takes at least half of the step,
            sqrt(v) <= eps; None for other optimizers.
        against: cosine between update and gradient, -1 straight downhill; None without both.
        taken_back: share of all that it has moved by, since the start, that something else than the optimizer took back between the
            last step and this one; None where nothing else changed it.
    """

    weight: Moments
    gradient: Moments | None
    update_ratio: float | None = None
    unchanged_fraction: float | None = None
    before_clipping: float | None = None
    epsilon_share: float | None = None
    against: float | None = None
    taken_back: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """All readings of one step; each tuple is parallel to the table of the same name in `Run`.

    Attributes:
        leftover_share: of the parameters that the optimizer owns, those whose gradient was not zero when the first
            backward of the step began: 0 after `zero_grad`. None outside of a watch.
        clip_limit, clip_norm: limit given to `clip_grad_norm_` in this step and the norm it found; None without one.
        loss_scale: what a gradient scaler multiplied the loss by; loss and gradients of the readings are without it. None
            without a scaler.
    """

    step: int
    loss: float | None
    sites: tuple[SiteReading, ...]
    edges: tuple[EdgeReading, ...]
    parameters: tuple[ParameterReading, ...]
    leftover_share: float | None = None
    clip_limit: float | None = None
    clip_norm: float | None = None
    loss_scale: float | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The loss at w_0 + multiple (w_n - w_0), along the way that the training steps took from w_0 to w_n.

    Attributes:
        multiple: 0 at the start, 1 where the steps ended.
        loss: mean over the last batches; may be nan or infinite.
    """

    multiple: float
    loss: float


@dataclass(frozen=True, slots=True)
class Run(Shown):
    """All readings of one network, with its sites, its graph and what could not be seen.

    Attributes:
        model: class name of the model.
        sites: in order of execution.
        edges: who feeds whom.
        parameters: every parameter of the model, used or not.
        steps: at least one; the first is the untrained network in an audit.
        losses: loss of every training step between the readings, if there was any training.
        unseen: what could not be seen.
        outputs: indices of the sites that made the model's output.
        constant: loss of who answers the mean of the targets to every example, on the last batches; None unless in a regression.
        prior: loss of who answers every example with how often the classes came, on the last batches; None where there are no classes, and
            of numbers from 0 to 1 for classes.
        grouped: share of the variance of the classes that lies between the batches, about 0 in a random order and 1 where each holds
            one class alone; None where no classes are asked for, too few were seen, or they lie on a device.
        neutral_loss: loss of the first batch if all outputs were 0; None where it was not tried.
        pull_power: power of a class's count with which the gradient grows that an example of it gives to such outputs; None where
            no classes are asked for, or all come about as often.
        pull_correlation: of the logarithms of the two.
        untrained: mean loss of the weights as they were at the start on the batches of the last steps; None where not tried.
        neighbours: mean cosine of the output's gradients at an input and 1/32 of the way to the next; None where not tried.
        moved_answers: share of examples whose answer comes in another's place; None where not tried, or where it cannot be told.
        unheard: share of an example's numbers at which the answers have no slope at all; None where not tried.
        backwards: hand-written backwards that are not the derivative of their forward.
        mixed: how far the answers to a batch in another order are from the answers in that order, over the distance of two examples'
            answers; None where not tried.
        stretched: the loss further along the way that the steps took; empty where they lowered it, and where not tried.
        broke: readings of the weights as they were at the start on a batch of the step at which the loss stopped being finite, where
            they break on it too, else of the weights right before it, of networks of at most 3 million parameters: `step` is its
            number. None where neither shows it.
        broke_inputs: moments of the floating-point numbers of that batch.
        broke_trained: whether `broke` was read of the weights right before that step.
        foreign: how many tensors the optimizer holds that are no parameters of the model and that the pass did not use.
        optimizer: class name and settings in words: `SGD(lr=0.1)`; '' without one.
        inputs: moments of the floating-point numbers that enter the model; None if there are none (tokens).
        columns: of the first such tensor; None without one, or with fewer than two examples.
        used_up: attributes of the model that are iterators over its modules, which the first forward uses up.
        whole_differ: whether whole numbers enter the model that are others for another example.
        stopped: '' or the error that ended the forward pass early (a partial run).
        facts: versions and circumstances: `{"torch": "2.13.0", "mode": "train"}`.
    """

    model: str
    sites: tuple[Site, ...]
    edges: tuple[Edge, ...]
    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]
    losses: tuple[float, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    outputs: tuple[int, ...] = ()
    inputs: Moments | None = None
    columns: ColumnFacts | None = None
    neutral_loss: float | None = None
    pull_power: float | None = None
    pull_correlation: float | None = None
    constant: float | None = None
    prior: float | None = None
    grouped: float | None = None
    untrained: float | None = None
    neighbours: float | None = None
    moved_answers: float | None = None
    unheard: float | None = None
    backwards: tuple[Backward, ...] = ()
    mixed: float | None = None
    stretched: tuple[Stretch, ...] = ()
    broke: Step | None = None
    broke_inputs: Moments | None = None
    broke_trained: bool = False
    foreign: int = 0
    used_up: tuple[str, ...] = ()
    whole_differ: bool = False
    optimizer: str = ""
    stopped: str = ""
    facts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def loss(self) -> float | None:
        """Loss of the first step; None when there was none."""
        return self.steps[0].loss if self.steps else None

    def site(self, name: str) -> Site:
        """Return the site of that name.

        Raises:
            KeyError: if there is none; the message lists close names.
        """
        for site in self.sites:
            if site.name == name:
                return site
        import difflib

        close = difflib.get_close_matches(name, [site.name for site in self.sites], n=3, cutoff=0.0)
        raise KeyError(f"no site is named {name!r}; close names: {', '.join(close) or 'none'}")

    def reading(self, name: str, step: int = 0) -> SiteReading:
        """Return what was read at the site of that name; `step` is an index into `steps`."""
        return self.steps[step].sites[self.site(name).order]
