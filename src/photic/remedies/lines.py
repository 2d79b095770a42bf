"""Lines of pure torch that draw a prescription's weights; what a user reads in the patch."""

from __future__ import annotations

from photic.initialisers.recurrent import forget_bias_for
from photic.records.runs import Run
from photic.remedies.prescription import LayerInitialisation, Prescription

_KINDS = {"linear": "Linear", "conv1d": "Conv1d", "conv2d": "Conv2d", "conv3d": "Conv3d"}


def weight_lines(prescription: Prescription, run: Run | None, model: str) -> list[str]:
    """Return the lines, without indentation; `model` is the variable that holds the network (`self`).

    One loop over all layers where one rule fits all, else a table by name. `run` tells the kinds of layers.
    """
    layers = prescription.layers
    schemes = {layer.scheme for layer in layers}
    lines = [f"# {prescription.why}"]
    lines += [
        f'torch.nn.init.constant_({model}.get_parameter("{name}"), {number:.4g})'
        for name, number in prescription.constants.items()
    ]
    lines += [f'{model}.get_parameter("{name}").data.mul_({by:.4g})' for name, by in prescription.scaled.items()]
    lines += [f'{model}.get_parameter("{name}").requires_grad_(False)' for name in prescription.frozen]
    for name, how in prescription.loops:
        given = f'{model}.get_parameter("{name}")'
        if how == "decay":
            lines.append(f"torch.nn.init.uniform_({given}, 0.9, 0.999)")
        else:
            lines += [
                "with torch.no_grad():",
                f"    for block in {given}.split({given}.shape[1]):",
                "        torch.nn.init.orthogonal_(block)",
            ]
    if prescription.recurrence:
        lines += _recurrent(prescription, model)
    if (prescription.loops or prescription.recurrence) and not layers:
        return lines
    if prescription.fresh:
        return [
            *lines,
            f"for layer in {model}.modules():",
            f'    if layer is not {model} and hasattr(layer, "reset_parameters"):',
            "        layer.reset_parameters()",
        ]
    modules = all(layer.weight.endswith(".weight") for layer in layers)
    if schemes == {"centred"} and modules:
        return lines + _centred(layers, model)
    if len(schemes) == 1 and modules and run is not None and _all_of_their_kind(layers, run):
        kinds = sorted({f"torch.nn.{_KINDS[run.site(layer.site).operation]}" for layer in layers})
        test = kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})"
        body = [
            _draw(next(iter(schemes)), "layer.weight"),
            *(["torch.nn.init.zeros_(layer.bias)"] if layers[0].bias else []),
        ]
        return [
            *lines,
            f"for layer in {model}.modules():",
            f"    if isinstance(layer, {test}):",
            *(f"        {line}" for line in body),
        ]
    for layer in layers:
        if layer.scheme == "centred":
            given = f'{model}.get_parameter("{layer.weight}")'
            lines.append(f"torch.nn.init.normal_({given}, std=({layer.scale:g} / {given}[0].numel()) ** 0.5)")
    for scheme in sorted(schemes - {"centred"}):
        names = [layer.weight for layer in layers if layer.scheme == scheme]
        lines += [f"for name in {quoted(names)}:", f"    {_draw(scheme, f'{model}.get_parameter(name)')}"]
    biases = [layer.bias for layer in layers if layer.bias]
    if biases:
        lines += [f"for name in {quoted(biases)}:", f"    torch.nn.init.zeros_({model}.get_parameter(name))"]
    return lines


def quoted(names: list[str]) -> str:
    """Return the names as a list in source code, wrapped where it grows long."""
    items = [f'"{name}"' for name in names]
    if sum(map(len, items)) < 80:
        return f"[{', '.join(items)}]"
    rows = [", ".join(items[start : start + 6]) for start in range(0, len(items), 6)]
    return "[\n" + "".join(f"    {row},\n" for row in rows) + "]"


def _draw(scheme: str, weight: str) -> str:
    return {
        "xavier": f"torch.nn.init.xavier_normal_({weight})",
        "he": f'torch.nn.init.kaiming_normal_({weight}, nonlinearity="relu")',
        "lecun": f'torch.nn.init.kaiming_normal_({weight}, nonlinearity="linear")',
    }[scheme]


def _all_of_their_kind(layers: tuple[LayerInitialisation, ...], run: Run) -> bool:
    """Whether a loop over modules of these kinds meets the layers of the prescription and no others."""
    operations = {run.site(layer.site).operation for layer in layers}
    if not operations <= set(_KINDS) or len({bool(layer.bias) for layer in layers}) > 1:
        return False
    sites = {site.order for site in run.sites if site.operation in operations and site.phase == "model"}
    used = {p.name for p in run.parameters if len(p.shape) >= 2 and set(p.sites) & sites}
    unused = any(not p.sites for p in run.parameters)
    return used == {layer.weight for layer in layers} and not unused


def _centred(layers: tuple[LayerInitialisation, ...], model: str) -> list[str]:
    groups: dict[tuple[float, float, bool], list[str]] = {}
    for layer in layers:
        groups.setdefault((layer.scale, layer.shift, bool(layer.bias)), []).append(layer.weight.removesuffix(".weight"))
    lines: list[str] = []
    for (scale, shift, biased), names in groups.items():
        lines += [
            f"for name in {quoted(names)}:",
            f"    layer = {model}.get_submodule(name)",
            f"    torch.nn.init.normal_(layer.weight, std=({scale:g} / layer.weight[0].numel()) ** 0.5)",
        ]
        if biased and shift:
            lines += [
                "    with torch.no_grad():",
                f"        layer.bias.copy_({shift:g} * layer.weight.flatten(1).sum(1))",
            ]
        elif biased:
            lines += ["    torch.nn.init.zeros_(layer.bias)"]
    return lines


def _recurrent(prescription: Prescription, model: str) -> list[str]:
    if prescription.recurrence == "default":
        return [
            f"for layer in {model}.modules():",
            "    if isinstance(layer, (torch.nn.RNNBase, torch.nn.RNNCellBase)):",
            "        layer.reset_parameters()",
            *(_forget(prescription, model) if prescription.longest else ()),
        ]
    if prescription.recurrence == "identity":
        return [
            f"for layer in {model}.modules():",
            "    if isinstance(layer, torch.nn.RNN):",
            "        for name, parameter in layer.named_parameters():",
            '            if name.startswith("weight_hh"):',
            "                torch.nn.init.eye_(parameter)",
            '            elif name.startswith("bias"):',
            "                torch.nn.init.zeros_(parameter)",
        ]
    if prescription.recurrence == "forget":
        return _forget(prescription, model)
    if prescription.recurrence == "orthogonal":
        return [
            f"for layer in {model}.modules():",
            "    if isinstance(layer, torch.nn.RNNBase):",
            "        for name, weight in layer.named_parameters():",
            '            if name.startswith("weight_hh"):',
            "                for gate in weight.split(layer.hidden_size):",
            "                    torch.nn.init.orthogonal_(gate)",
        ]
    return [
        f"for layer in {model}.modules():",
        "    if isinstance(layer, (torch.nn.LSTM, torch.nn.GRU)):",
        "        size = layer.hidden_size",
        "        with torch.no_grad():",
        "            for name, bias in layer.named_parameters():",
        '                if name.startswith("bias_ih"):',
        f"                    memory = torch.log(1 + torch.rand(size) * {prescription.longest - 2})",
        "                    bias[size : 2 * size] = memory",
        "                    if isinstance(layer, torch.nn.LSTM):",
        "                        bias[:size] = -memory",
        '                elif name.startswith("bias_hh"):',
        "                    bias[: 2 * size] = 0.0",
    ]


def _forget(prescription: Prescription, model: str) -> list[str]:
    return [
        f"for layer in {model}.modules():",
        "    if isinstance(layer, torch.nn.LSTM):",
        "        for name, parameter in layer.named_parameters():",
        '            if name.startswith("bias_"):',
        "                quarter = slice(layer.hidden_size, 2 * layer.hidden_size)",
        "                torch.nn.init.constant_("
        f'parameter[quarter], {forget_bias_for(prescription.longest):g} if name.startswith("bias_ih") else 0.0)',
    ]
