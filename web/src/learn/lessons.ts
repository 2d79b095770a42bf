// The lessons, in order: what is told, and the experiment beside it.
import { backpropagation } from './backpropagation'
import { experiment, type Options } from './experiment'
import { neuron } from './neuron'
import { precision, time } from './others'
import { phases } from './phases'

export interface Lesson {
  id: string
  title: string
  told: string[]
  formula?: string
  make: (options: Options) => HTMLElement
}

export const LESSONS: Lesson[] = [
  {
    id: 'neuron',
    title: 'One neuron and its slope',
    told: ['A neuron adds up its inputs, z = w · x + b, and passes the sum through an activation. Forward, it answers with the value of the curve. Backward, whatever error comes to it is multiplied by the slope of the curve at the same z.', 'Move z to the side and watch the slope of the sigmoid go to zero: the neuron still answers, but it hears no more complaints. At its best, in the middle, it passes a quarter.'],
    formula: "error below = slope(z) × error above; for the sigmoid slope(z) = s(z) (1 − s(z)) ≤ 1/4",
    make: neuron,
  },
  {
    id: 'backpropagation',
    title: 'Backpropagation, number by number',
    told: ['The error at each unit, its δ, is made from the δ of the layer above: weighted with the same weights, then multiplied by the slope. Every number below is computed twice, by this formula and by PyTorch.', 'Turn the weights down, or choose the sigmoid, and see the δ shrink from right to left: two layers are enough.'],
    formula: 'δᵢ = slope(zᵢ) × Σⱼ wⱼᵢ δⱼ',
    make: backpropagation,
  },
  {
    id: 'depth',
    title: 'Depth makes it fade',
    told: ['Factors multiply. With PyTorch’s default weights each sigmoid layer passes about a seventh of the gradient, whatever the data: two layers learn, ten do not. The axis is logarithmic: a straight line down is a constant factor per layer.', 'Turn the depth. Then train it, and watch the lower layers stay dark.'],
    formula: 'gradient at layer 1 ≈ (gain per layer) ^ depth',
    make: (options) => experiment(options, ['depth', 'width', 'data', 'learning_rate', 'seed'], { depth: 10 }),
  },
  {
    id: 'saturation',
    title: 'The sigmoid: saturation, and a mean of one half',
    told: ['Larger weights raise the factor of the weights, but they push the units outwards, where the slope is small. And the sigmoid never answers around zero: its mean is one half, so the next layer gets a constant push that differs from unit to unit.', 'Choose Xavier: the gradient gets better, but not good. Open the units below the charts and see where they sit.'],
    formula: 'mean of s(z) ≈ 1/2 for z around 0, so Σⱼ wᵢⱼ / 2 is added to every zᵢ',
    make: (options) => experiment(options, ['initialiser', 'depth'], { initialiser: 'xavier' }, null, 'signal'),
  },
  {
    id: 'tanh',
    title: 'tanh: the same curve, centred',
    told: ['tanh(z) = 2 s(2z) − 1 is the sigmoid, stretched and moved down: slope 1 at zero, mean zero. Nothing else changes, and far more of the gradient of the same network arrives: after ten layers a million times as much. It still does not reach them all; the weights are next.'],
    formula: 'slope of tanh at 0 is 1; of the sigmoid 1/4',
    make: (options) => experiment(options, ['depth', 'width', 'data', 'learning_rate'], { activation: 'tanh' }, { activation: 'sigmoid' }),
  },
  {
    id: 'xavier',
    title: 'Xavier: weights of the right size',
    told: ['With tanh around zero, what is left is the factor of the weights. PyTorch’s default draws them with variance 1 / (3 fan_in): each layer passes 58 %. Glorot and Bengio’s weights have variance 2 / (fan_in + fan_out): each layer passes nearly all, forward and backward.'],
    formula: 'gain of a layer = √(fan_out × Var[w]); default: √(1/3) = 0.577',
    make: (options) => experiment(options, ['depth', 'activation'], { activation: 'tanh', initialiser: 'xavier' }, { initialiser: 'default' }),
  },
  {
    id: 'he',
    title: 'He: the half that ReLU takes',
    told: ['ReLU sets half of the units to zero, and with them half of the gradient’s mean square. He’s weights are larger by √2 to make up for it. With Xavier’s weights a ReLU network loses half the mean square in every layer.'],
    formula: 'Var[w] = 2 / fan_in',
    make: (options) => experiment(options, ['depth', 'width', 'data', 'learning_rate'], { activation: 'relu', initialiser: 'he' }, { initialiser: 'xavier' }),
  },
  {
    id: 'centring',
    title: 'What centring does',
    told: ['The sigmoid itself can be kept. Since s(z) = 1/2 + tanh(z/2)/2, weights with variance 16 / fan_in and a bias of minus half their sum make a sigmoid network equal to a tanh network with Xavier’s weights, exactly, at its start.', 'So it was never the curve alone, but its mean and the size of the weights.'],
    formula: 'b = −½ Σ w, Var[w] = 16 / fan_in',
    make: (options) => experiment(options, ['depth', 'initialiser', 'learning_rate'], { initialiser: 'centred_logistic' }, { initialiser: 'xavier' }, 'signal'),
  },
  {
    id: 'normalisation',
    title: 'Batch normalisation',
    told: ['Batch normalisation brings every unit back to mean zero and deviation one over the batch, in every layer, also while training: it centres and scales by itself. Backward it divides by the deviation, so small weights no longer shrink the gradient. With ReLU it makes it grow a little from layer to layer.'],
    formula: 'with ReLU: mean square × π / (π − 1) = 1.47 per layer, so the norm × 1.21',
    make: (options) => experiment(options, ['normalisation', 'activation', 'depth', 'learning_rate'], { normalisation: 'batch', activation: 'relu' }, { normalisation: 'none' }),
  },
  {
    id: 'residual',
    title: 'Residual connections',
    told: ['Add the input of a layer to its output, and the gradient has a road that no weight and no slope touches: the factor of a layer becomes 1 + something small instead of something small.'],
    formula: 'x + f(x): gradient × (1 + slope × w)',
    make: (options) => experiment(options, ['residual', 'activation', 'depth', 'learning_rate'], { residual: true, depth: 20 }, { residual: false }),
  },
  {
    id: 'time',
    title: 'Recurrent networks: depth in time',
    told: ['A recurrent network is a deep network that uses the same weights in each step. The gain of one step is multiplied as often as there are steps: 0.9 leaves half a percent after fifty, 1.1 a hundredfold. That is the most: where units saturate, tanh takes its share as in any depth. The LSTM’s cell passes what its forget gate says, which its bias can hold near one; what comes through its recurrent weights is added.'],
    formula: 'RNN: ≤ gainᵗ; LSTM: s(bias of the forget gate)ᵗ for the cell by itself',
    make: time,
  },
  {
    id: 'precision',
    title: 'Adam’s epsilon, and half precision',
    told: ['Adam divides the gradient by its own size, so small gradients need not mean small steps, until they meet epsilon: below 10⁻⁸ it swallows them. And float16 knows nothing below 6 × 10⁻⁸: a gradient that small is zero, unless the loss is scaled up before and down after.'],
    formula: 'step = lr × |g| / (|g| + ε)',
    make: precision,
  },
  {
    id: 'phases',
    title: 'The phase diagram',
    told: ['Everything so far on one map. For each size of weights and biases mean-field theory says by what factor χ a layer multiplies the gradient’s mean square. Below 1 it vanishes, above 1 it explodes; only along the edge do very deep networks train. Each point can be checked: the network is built and measured at once. Theory speaks of a signal that has settled; near the edge that takes many layers, and until then the measured line bends.'],
    formula: 'χ = fan_in Var[w] × E[slope(z)²]',
    make: phases,
  },
  {
    id: 'free',
    title: 'Turn everything',
    told: ['All knobs at once. What would you have to change to train thirty layers of sigmoids?'],
    make: (options) => experiment(options, ['activation', 'initialiser', 'normalisation', 'residual', 'depth', 'width', 'data', 'learning_rate', 'steps', 'seed'], { activation: 'tanh', initialiser: 'xavier' }),
  },
]
