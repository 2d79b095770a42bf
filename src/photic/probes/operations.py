"""Operations: one word for each torch function, what kind it is, and the settings that define it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from photic.records.vocabulary import Kind

_RENAMED = {
    "cross_entropy_loss": "cross_entropy",
    "nll_loss_nd": "nll_loss",
    "nll_loss2d": "nll_loss",
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "matmul": "matmul",
    "negative": "neg",
    "clip": "clamp",
    "feature_dropout": "dropout",
    "alpha_dropout": "dropout",
    "feature_alpha_dropout": "dropout",
    "native_dropout": "dropout",
    "special_expit": "sigmoid",
    "expit": "sigmoid",
    "special_erf": "erf",
    "expm1": "expm1",
    "concat": "cat",
    "concatenate": "cat",
    "hardshrink": "hardshrink",
    "rnn_tanh": "rnn_tanh",
    "log_sigmoid": "logsigmoid",
}

_WEIGHT = {
    "linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu",
    "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
}  # fmt: skip
# A weight only if one operand is a parameter.
_PRODUCT = {"matmul", "mm", "bmm", "addmm", "baddbmm", "addbmm", "einsum", "tensordot", "mv", "inner", "kron"}
_ACTIVATION = {
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus",
    "softsign", "tanh", "sigmoid", "logsigmoid", "hardtanh", "hardsigmoid", "hardswish", "tanhshrink",
    "softshrink", "hardshrink", "threshold", "erf", "sin", "cos", "exp", "clamp", "clamp_min", "clamp_max",
    "abs", "square", "pow", "sqrt", "rsqrt", "log", "log1p", "expm1", "atan", "sinh", "cosh", "reciprocal",
    "round", "sign", "floor", "ceil", "trunc", "glu",
}  # fmt: skip
_NORMALISATION = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"}
_SHAPE = {
    "view", "reshape", "transpose", "permute", "flatten", "unflatten", "squeeze", "unsqueeze", "getitem", "cat",
    "stack", "chunk", "split", "unbind", "narrow", "select", "T", "mT", "expand", "expand_as", "repeat", "contiguous",
    "movedim", "swapaxes", "tile", "repeat_interleave", "roll", "flip", "gather", "index_select", "pad", "view_as",
    "reshape_as", "clone", "to", "float", "half", "bfloat16", "double", "type_as", "type", "tensor_split", "hstack",
    "vstack", "dstack", "pixel_shuffle", "unfold", "fold", "masked_select", "take_along_dim", "scatter", "setitem",
    "masked_fill", "where", "index_copy", "index_add", "detach", "data", "tril", "triu", "diagonal", "t", "H", "mH",
    "swapdims", "moveaxis", "broadcast_to", "atleast_2d", "channel_shuffle", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "split_with_sizes", "as_strided", "real", "imag", "view_as_real", "view_as_complex",
}  # fmt: skip
_POOLING = {
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "lp_pool2d",
    "mean", "max", "amax", "min", "amin", "logsumexp",
}  # fmt: skip
_LOSS = {
    "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "kl_div", "hinge_embedding_loss", "cosine_embedding_loss",
    "margin_ranking_loss", "triplet_margin_loss", "poisson_nll_loss", "ctc_loss", "soft_margin_loss",
    "multi_margin_loss", "multilabel_margin_loss", "gaussian_nll_loss",
}  # fmt: skip
_KINDS: tuple[tuple[set[str], Kind], ...] = (
    (_WEIGHT, "weight"),
    (_ACTIVATION, "activation"),
    (_NORMALISATION, "normalisation"),
    ({"add", "sub"}, "sum"),
    (_SHAPE, "shape"),
    (_POOLING, "pooling"),
    ({"dropout"}, "dropout"),
    ({"scaled_dot_product_attention"}, "attention"),
    (_LOSS, "loss"),
)

# Position and name of the arguments that define an operation (after torch's own signatures).
_SETTINGS: dict[str, tuple[tuple[int, str], ...]] = {
    "leaky_relu": ((1, "negative_slope"),),
    "elu": ((1, "alpha"),),
    "celu": ((1, "alpha"),),
    "gelu": ((1, "approximate"),),
    "softplus": ((1, "beta"), (2, "threshold")),
    "hardtanh": ((1, "min_val"), (2, "max_val")),
    "threshold": ((1, "threshold"), (2, "value")),
    "softshrink": ((1, "lambd"),),
    "hardshrink": ((1, "lambd"),),
    "rrelu": ((1, "lower"), (2, "upper"), (3, "training")),
    "clamp": ((1, "min"), (2, "max")),
    "clamp_min": ((1, "min"),),
    "clamp_max": ((1, "max"),),
    "pow": ((1, "exponent"),),
    "dropout": ((1, "p"), (2, "train")),
    "softmax": ((1, "dim"),),
    "log_softmax": ((1, "dim"),),
    "cross_entropy": ((3, "reduction"),),
    "nll_loss": ((3, "reduction"),),
    "grid_sampler": ((3, "padding_mode"),),
    "cat": ((1, "dim"),),
    "stack": ((1, "dim"),),
    "transpose": ((1, "dim0"), (2, "dim1")),
    "conv1d": ((3, "stride"), (4, "padding"), (5, "dilation"), (6, "groups")),
    "conv2d": ((3, "stride"), (4, "padding"), (5, "dilation"), (6, "groups")),
    "conv3d": ((3, "stride"), (4, "padding"), (5, "dilation"), (6, "groups")),
    "conv_transpose1d": ((3, "stride"), (4, "padding"), (6, "groups")),
    "conv_transpose2d": ((3, "stride"), (4, "padding"), (6, "groups")),
    "conv_transpose3d": ((3, "stride"), (4, "padding"), (6, "groups")),
    "avg_pool1d": ((1, "kernel_size"), (2, "stride")),
    "avg_pool2d": ((1, "kernel_size"), (2, "stride")),
    "avg_pool3d": ((1, "kernel_size"), (2, "stride")),
    "max_pool1d": ((1, "kernel_size"), (2, "stride")),
    "max_pool2d": ((1, "kernel_size"), (2, "stride")),
    "batch_norm": ((5, "training"), (6, "momentum"), (7, "eps")),
    "instance_norm": ((7, "eps"),),
    "group_norm": ((1, "num_groups"), (4, "eps")),
    "layer_norm": ((1, "normalized_shape"), (4, "eps")),
    "rms_norm": ((1, "normalized_shape"), (3, "eps")),
    "lstm": ((8, "batch_first"),),
    "gru": ((8, "batch_first"),),
    "rnn_tanh": ((8, "batch_first"),),
    "rnn_relu": ((8, "batch_first"),),
    "scaled_dot_product_attention": ((4, "dropout_p"), (5, "is_causal"), (6, "scale")),
    "mul": ((1, "other"),),
    "div": ((1, "other"),),
    "add": ((1, "other"), (2, "alpha")),
    "sub": ((1, "other"), (2, "alpha")),
    "mean": ((1, "dim"),),
    **dict.fromkeys(("sort", "argsort", "cumsum", "cumprod", "logcumsumexp"), ((1, "dim"),)),
    "sum": ((1, "dim"),),
    "pad": ((2, "mode"), (3, "value")),
}


def canonical(function: Callable[..., Any]) -> str:
    """Return the one word for a torch function: `add` for `torch.add`, `+`, `+=` and `Tensor.add_`."""
    word: str = getattr(function, "__name__", "") or type(function).__name__
    if word == "__get__":  # a tensor attribute: x.T, x.data
        return str(getattr(getattr(function, "__self__", None), "__name__", "attribute"))
    if word.startswith("__"):
        plain = word.strip("_")
        for prefix in ("r", "i"):
            if plain.startswith(prefix) and plain[1:] in _OPERATORS:
                plain = plain[1:]
                break
        return _RENAMED.get(plain, plain)
    return named(word.partition(".")[0].removeprefix("_").rstrip("_"))  # exported programs call `linear.default`


def named(word: str) -> str:
    """Return the one word for a function of this name: `div` for `true_divide`."""
    return _RENAMED.get(word, word)


_OPERATORS = {"add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"}


def kind_of(operation: str, *, parameter_operand: bool) -> Kind:
    """Return what the operation does to a signal; a product is a weight only with a parameter as operand."""
    if operation in _PRODUCT:
        return "weight" if parameter_operand else "other"
    for words, kind in _KINDS:
        if operation in words:
            return kind
    return "other"


def place_of(operation: str, setting: str) -> int:
    """Return the position of the argument that holds a setting of an operation.

    Raises:
        KeyError: if the operation has no such setting.
    """
    return {name: position for position, name in _SETTINGS[operation]}[setting]


def settings_of(
    operation: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, reflected: bool = False
) -> dict[str, float | int | str]:
    """Return the plain numbers and words that define the call; tuples such as a stride become `2` or `2x1`."""
    found: dict[str, float | int | str] = {}
    for position, name in _SETTINGS.get(operation, ()):
        value = kwargs.get(name, args[position] if position < len(args) else None)
        if isinstance(value, (tuple, list)) and value and all(isinstance(item, int) for item in value):  # pyright: ignore
            items: list[int] = list(value)  # pyright: ignore
            value = items[0] if len(set(items)) == 1 else "x".join(map(str, items))
        if isinstance(value, (bool, int, float, str)):
            found[name] = int(value) if isinstance(value, bool) else value
    if isinstance(found.get("reduction"), int):
        found["reduction"] = ("none", "mean", "sum")[int(found["reduction"])]
    if reflected:
        found["reflected"] = 1
    if operation.startswith("conv"):
        weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
        kernel = tuple(getattr(weight, "shape", ()))[2:]
        if kernel:
            found["kernel"] = kernel[0] if len(set(kernel)) == 1 else "x".join(map(str, kernel))
    return found
