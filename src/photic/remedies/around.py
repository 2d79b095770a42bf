"""Lines to paste for what no single line of the model says: data, optimizer, precision, structure."""

from __future__ import annotations

from collections.abc import Sequence

from photic.remedies.choices import OF_OWN
from photic.remedies.prescription import Prescription
from photic.remedies.stable_logs import WORDS

_NAMED = 3
_CURVES = {
    "positive": "torch.nn.functional.softplus(x) + 1e-6",
    "negative": "-torch.nn.functional.softplus(-x)",
    "unit": "torch.tanh(x) * (1 - 1e-6)",
}


def _first(names: Sequence[str]) -> str:
    """Name up to three sites, and how many more: a loop has one for each turn."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def setup_lines(prescription: Prescription) -> list[str]:
    """Return the lines; empty where the prescription has nothing but weights and calls."""
    p = prescription
    lines: list[str] = []
    if p.scheme:
        lines.append(f'photic.initialise(model, "{p.scheme}", batch=batch)')
    lines += [f"# {name}: .{method}({axis}) of what it gives" for name, (method, axis) in p.squeezed.items()]
    lines += [f"# {name}: x + (value - x).detach(), with x what enters and value what it gives" for name in p.straight]
    for factor in dict.fromkeys(p.factors.values()):
        lines.append(
            f"# {_first([n for n, by in p.factors.items() if by == factor])}: multiply what enters by {factor:.4g}"
        )
    lines += [
        f"# {name}: a dropout of p={share:g}" if "/" in name else f"model.get_submodule({name!r}).p = {share:g}"
        for name, share in p.dropped.items()
    ]
    lines += [f"# {name}: an epsilon of {epsilon:.3g}" for name, epsilon in p.epsilons.items()]
    lines += [f"# {name}: the factor is 0; let it be {factor:.4g}" for name, factor in p.opened.items()]
    if p.pathwise:
        lines.append(f"# {p.pathwise[0]}: rsample() in place of sample()")
    elif p.revealed:
        lines.append(f"# run {p.revealed[0]} to {p.revealed[-1]} outside `with torch.no_grad():`")
    for decides, taken in p.choices:
        shares = "(-scores).softmax(-1)" if "min#" in decides else "scores.softmax(-1)"
        soft = f"{shares} @ table.weight"
        if "/one_hot" in taken:
            soft = shares
        elif any(f"/{operation}#" in taken for operation in OF_OWN):
            soft = f"torch.einsum('nk,nk...->n...', {shares}, x)  # of x [examples, choices, ...]"
        elif "/where" in taken:
            soft = "no + (yes - no) * torch.sigmoid(difference)"
        lines += [
            f"# {decides} and {taken}: with `chosen` what comes out (a float), and what decides as `scores` or `difference`,",
            f"soft = {soft}",
            "chosen = chosen + soft - soft.detach()",
        ]
    for (chosen, *_), ends in p.places:
        lines += [
            f"# {chosen} to {ends[-1]}: with `scores` [batch, places], and `grid` [places, numbers] what each place would give",
            "value = scores.softmax(1) @ grid",
        ]
    for ranked, number in p.ranks:
        lines += [
            f"# {ranked} and {number}: with `score` what is ranked, in one row, and `rank` the number made of its place",
            "soft = torch.sigmoid((score[:, None] - score[None, :]) / score.detach().std()).sum(1)",
            "rank = rank + soft - soft.detach()",
        ]
    lines += [f"# {name}: torch.autograd.grad(..., create_graph=True)" for name in p.slopes]
    for name in p.comparisons:
        lines += [
            f"# {name}: with `difference` what is compared minus what with, and `hard` the number made of it,",
            "soft = torch.sigmoid(difference)",
            "value = hard + soft - soft.detach()",
        ]
    if p.recomputed:
        lines.append("# torch.utils.checkpoint.checkpoint(..., use_reentrant=False)")
    lines += [
        f"# {name}: call its computation as plain torch code, or let its backward return the derivative by every input"
        for name in p.differentiated
    ]
    for name, (low, high) in p.guards.items():
        limits = ", ".join(f"{k}={v:g}" for k, v in (("min", low), ("max", high)) if v is not None)
        lines.append(f"# {name}: call it on x.clamp({limits})")
    for name, domain in p.mapped.items():
        lines.append(f"# {name}: call it on {_CURVES[domain]}")
    lines += [
        f"# {first} and {_first(others)}: all on x = torch.nn.functional.softplus(x) + 1e-6"
        for first, *others in p.shared
    ]
    for made, log, operation, factor in p.stable_logs:
        lines.append(f"# {made} and {log}: {WORDS[operation]}" + (f"; plus log({factor:.6g})" if factor != 1.0 else ""))
    lines += [f"# {name}: zero_infinity=True" for name in p.unaligned]
    lines += [f"# {name}: call it on x.transpose(0, 1).contiguous()" for name in p.rows_first]
    lines += [
        f"# {name}: "
        + (
            "call it on x.movedim(1, -1).contiguous()"
            if "view" in name or "reshape" in name
            else "x.movedim(1, -1) in its place"
        )
        for name in p.channels_last
    ]
    lines += [f"# {name}: x.movedim(-1, 1) in its place" for name in p.channels_first]
    lines += [f"# {curve} and {negation}: softplus(-v) in place of -softplus(v)" for curve, negation in p.flipped]
    lines += [f"# {name}.apply: {least:g} in place of the 0 that it is given" for name, least in p.floors.items()]
    for name, least in p.denominators.items():
        lines += [
            f"# {name}: with `below` what is divided by",
            f"below = torch.where(below.abs() < {least:g}, torch.where(below < 0, -{least:g}, {least:g}), below)",
        ]
    for name, share in p.quotients.items():
        lines += [
            f"# {name}: with `below` what is divided by",
            f"least = {share:g} * below.detach().square().mean().sqrt()",
            "below = torch.where(below.abs() < least, torch.where(below < 0, -least, least), below)",
        ]
    lines += [
        f"# {name}: call it on matrix + {share:g} * torch.eye(len(matrix)), times the mean of its diagonal where that is above 1"
        for name, share in p.ridges.items()
    ]
    lines += [f"# {name}: x / y in place of x // y" for name in p.divided]
    lines += [f"# {name}: (a @ x) / a.abs().sum(-1, keepdim=True) in place of a @ x" for name in p.averaged]
    lines += [f"# {name}: .long() of its result" for name in p.rounded]
    lines += [f"# {name}: torch.tanh of its result" for name in p.bent]
    lines += [f"# {site}: the call of {used} is to be that of {own}" for site, (used, own) in p.own_calls.items()]
    lines += [
        f"# {total}: add the first rows of {table}, one for each place, not one row for all"
        for table, total in p.every_row
    ]
    lines += [
        f"# {name}: str(key) where it is looked up: `str(key) in modules`, `modules[str(key)]`" for name in p.word_keys
    ]
    lines += [f"# {name}: weight = 1 / weight, times what keeps its mean" for name in p.turned_weights]
    lines += [f"# {name}: register no hook on it, or one that does not make 0 of its gradient" for name in p.unhooked]
    lines += [f"# {name}: a.mT @ x in place of a @ x" for name in p.turned_links]
    lines += [f"# {total}: f(x + e) in place of f(x) + e, with f as {activation}" for activation, total in p.moved_in]
    lines += [f"# {name}: list(...) of it where it is made, or a ModuleList of what it gives" for name in p.relisted]
    lines += [f"# {name}: divide by {divisor:.3g}, one number for all" for name, divisor in p.one_divisor.items()]
    lines += [
        f"# {name}: sample at 2 * pixels / (size - 1) - 1, which lie between -1 and 1, with the width for x and the height for y"
        for name in p.spanned
    ]
    lines += [f"# {name}: of the magnitudes, x.abs() in place of x" for name in p.magnitudes]
    if p.unscaled:
        lines.append(f"# {_first(p.unscaled)}: go on with the signal itself, without the factor on it")
    for name, limit in p.limited.items():
        lines += [
            f"# {name}: with `value` what it gives, where that has a gradient",
            f"value.register_hook(lambda g: g * ({limit:.3g} / g.norm().clamp_min(1e-30)).clamp(max=1.0))",
        ]
    for name in p.finite:
        lines += [
            f"# {name}: with `x` what enters and `value` what it gives",
            "there = value.detach()[value.isfinite()]  # infinity becomes the nearest of these",
            "value = torch.nan_to_num(value, 0.0, float(there.max()), float(there.min()))",
            "x.register_hook(lambda gradient: torch.nan_to_num(gradient, 0.0, 0.0, 0.0))  # before the call, where x has a gradient",
        ]
    lines += [f"# {user}: use what {made} gives itself, not an nn.Parameter made of it" for made, user in p.rejoined]
    for leaves, returns in p.bridged:
        if returns.startswith("<loss>"):
            lines.append(
                f"# {leaves}: add the tensor itself to the loss; item(), float() and detach() are for what is logged"
            )
        else:
            lines += [
                f"# {returns}: hand it what {leaves} makes; where that must leave torch, with `left` that and `value` what came back",
                "left = left.reshape(value.shape)  # maps of another size: torch.nn.functional.interpolate(left, size=value.shape[2:])",
                "away = left.detach() - left.detach().mean(0)",
                "slope = (away * (value - value.mean(0))).sum(0) / away.square().sum(0)  # 1 where nothing was scaled outside",
                "value = value + slope * (left - left.detach())",
            ]
    lines += [
        f"# {user}: torch.func.functional_call(layer, made, (x,)) with the weights that are made, in place of writing them ({write})"
        for write, user in p.handed
    ]
    for name in p.adopted:
        lines.append(
            f"# {name}: make its weights once, in __init__, as attributes of the model (a layer, or torch.nn.Parameter), then the optimizer"
        )
    lines += [f"# {name}: over dim={axis}" for name, axis in p.axes.items()]
    lines += [
        f"# {name}: give it the log_softmax of its scores"
        + ("" if "ctc" in name else ", or take torch.nn.functional.cross_entropy")
        for name in p.logarithms
    ]
    lines += [f"# {name}: log_softmax over the same axis" for name in p.logged]
    lines += [
        f"# {added}: add as many rows of {taken} as there are steps, along the second axis: pe[:x.size(1)].transpose(0, 1)"
        for taken, added in p.positions
    ]
    if p.thawed:
        lines += [
            f"for name in {list(p.thawed)!r}:  # then make the optimizer, with one rate for all",
            "    model.get_parameter(name).requires_grad_(True)",
        ]
    lines += [f"# {name}: the other entry, x[:, 1] in place of x[:, 0]" for name in p.next_entries]
    lines += [f"# {name}: the last entry, states[-1] in place of states[0]" for name in p.last_entries]
    lines += [f"# {name}: the mean over the places, x.mean(1) in place of x[:, i]" for name in p.pooled]
    lines += [f"# {name}: the opposite of its mask (~mask)" for name in p.turned_masks]
    for name in p.masked_rows:
        lines += [
            f"# {name}: a row of scores without any finite one",
            "empty = torch.isneginf(scores).all(-1, keepdim=True)",
            "weights = scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)",
        ]
    if p.blocks:
        lines.append(f"# for each of {p.blocks[0]} to {p.blocks[-1]}: x = x + block(x) where it is called")
    lines += [f"# {name}: torch.tanh(x) before it" for name in p.squashed]
    lines += [
        f"# {name}: multiply what {source} gives to it by {factor:.3g}" for name, (source, factor) in p.balance.items()
    ]
    if p.clip_limit is not None:
        lines.append(
            f"torch.nn.utils.clip_grad_norm_(model.parameters(), {p.clip_limit:.3g})  # the limit that is there now is too low"
        )
    lines += [f"# {end}: add what {start} gives to what this gives" for start, end in p.skips]
    lines += [
        f"# {layer}: before it x = x + {f'torch.relu({name}(x))' if bare else f'{name}(x)'} (a list one after the other)"
        for name, layer, bare in p.put_in
    ]
    if p.branched:
        (start, end), (_, last) = p.branched[0], p.branched[-1]
        lines += [
            f"# {end}: with y what it gives and x what {start} gives, and so at each of the {len(p.branched)} blocks up to {last}",
            f"x = x + {len(p.branched) ** -0.5:.3g} * torch.nn.functional.rms_norm(y, y.shape[1:] if y.ndim >= 4 else y.shape[-1:])",
        ]
    lines += [f"# {name}: add what this gives to the answers, one expression: a + b" for name in p.joined]
    lines += [
        f"# {taker}: hand it its own part of what {end} gives (x[:, 0] of a first token), not what {join} was given"
        for join, end, taker in p.own_parts
    ]
    for stretches, _ in p.continued:
        lines += [f"# {end}: keep what this gives, and go on with it (x = block(x))" for _, end in stretches]
    lines += [
        f"# {name}: [layer for _ in range(n)] with a new layer each time, in place of [layer] * n"
        for name in p.unshared
    ]
    lines += [f"# {name}: {count} outputs where it is made" for name, count in p.answers.items()]
    if p.widened:
        lines.append(f"# layers with an axis of length 0: {p.widened} units where they are made")
    if p.filled_input:
        lines.append("inputs = torch.nan_to_num(inputs, 0.0, 0.0, 0.0)  # or leave such examples out")
    if p.shuffled:
        lines.append("loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, shuffle=True)")
    if p.standardised_input:
        lines += [
            "# once, with all inputs of the training set: a mean for each column, or for each channel of images",
            "column = 1 if inputs.ndim > 3 else inputs.ndim - 1",
            "others = [axis for axis in range(inputs.ndim) if axis != column]",
            "mean, deviation = inputs.mean(others, keepdim=True), inputs.std(others, correction=0, keepdim=True)",
            "deviation[deviation <= 1e-6 * mean.abs()] = 1.0  # a column that never varies stays 0",
            "inputs = (inputs - mean) / deviation  # before every call of the model, with the same two",
        ]
    if p.standardised_target:
        lines += [
            "mean, deviation = targets.mean(), targets.std()  # of the training set",
            "targets = (targets - mean) / deviation  # and output * deviation + mean when predicting",
        ]
    if p.precision:
        kind = {"float32": "float", "float64": "double"}.get(p.precision, p.precision)
        lines.append(f"model.{kind}()  # and no autocast around its forward; its inputs and targets likewise")
    lines += [
        f"# {write}: x[rows, 0] = y in place of x[rows][:, 0] = y, which writes into a copy"
        for _, write in p.written_back
    ]
    if p.unheld:
        lines += [
            f"unused = {list(p.unheld)!r}  # delete what nothing uses, or leave it out",
            "kept = [parameter for name, parameter in model.named_parameters() if name not in unused]  # for the optimizer",
        ]
    if p.unwritten:
        lines.append(
            f"# {', '.join(p.unwritten)}: nothing but the optimizer writes into it; leave out what does so in the forward"
        )
    lines += [
        f"torch.nn.init.normal_(model.get_parameter({name!r}), std={deviation:.3g})"
        for name, deviation in p.centred.items()
    ]
    if p.carried:
        source, product = p.carried[0]
        lines.append(
            f"# {product}: its state is what {source} made at the step before; make the zeros once, before the loop"
        )
    lines += [f"# {taker}: hand it the state that {source} ends in, `layer(x, state)`" for source, taker in p.states]
    lines += [f"# {comparison}: hand it what {code} makes with .detach()" for code, comparison in p.goals]
    if p.in_order:
        lines.append("output = output[order.argsort()]  # with `order` as the one in which the rows were taken")
    lines += [f"# {name}: torch.nn.GRU in place of torch.nn.RNN, same sizes, no `nonlinearity`" for name in p.gated]
    lines += [
        f"# {name}: batch_first=True where it is made; a state of zeros that it is given can be left out"
        for name in p.batch_first
    ]
    if p.truncated:
        lines += [
            f"# for each recurrent layer, every {p.truncated} steps:",
            "state = state.detach()  # an LSTM's state: tuple(part.detach() for part in state)",
        ]
    if p.pre_norm:
        names = [name for name, _ in p.pre_norm]
        lines += [
            f"# {names[0]} to {names[-1]}: x = x + branch(norm(x)) in place of x = norm(x + branch(x)), and one norm before the head",
            "# torch.nn.TransformerEncoderLayer and its kin: norm_first=True, and norm=torch.nn.LayerNorm(width) of the encoder",
        ]
    lines += [f"# {site}: -log p in place of log(1 - p)" for _, site in p.mirrored]
    if p.normalisation == "batch":
        lines += [f"# {name}: torch.nn.BatchNorm1d / 2d before it" for name in p.normalised]
    if p.registered:
        lines.append(
            "# keep modules in torch.nn.ModuleList(...) or ModuleDict(...), parameters in ParameterList(...), then make the optimizer"
        )
    if p.owned:
        lines.append("# give the optimizer model.parameters() of the model that is trained")
    if p.zeroed:
        lines.append("model.zero_grad()  # before each backward()")
    if p.warmup:
        lines += [
            f"warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / {p.warmup}, total_iters={p.warmup - 1})",
            "warmup.step()  # after each optimizer.step()",
        ]
    if p.loss_scale != 1.0:
        lines.append(
            f"scaler = torch.amp.GradScaler(init_scale={p.loss_scale:g})  # scale(loss).backward(), step, update"
        )
    if p.clip is not None:
        lines.append(f"torch.nn.utils.clip_grad_norm_(model.parameters(), {p.clip:.3g})  # before step()")
    if p.adam:
        lines.append("optimizer = torch.optim.Adam(model.parameters())")
    if p.standard_loss:
        lines += [
            "# classes: loss = torch.nn.functional.cross_entropy(logits, targets), of probabilities nll_loss(p.log(), targets)",
            "# yes or no: loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)",
            "# numbers: loss = torch.nn.functional.mse_loss(output, targets)",
        ]
    if p.rate != 1.0:
        lines += ["for group in optimizer.param_groups:", f'    group["lr"] *= {p.rate:.3g}']
    if p.gradient_unit != 1.0:
        lines.append(f"loss = {p.gradient_unit:.3g} * loss  # before backward()")
    if p.settings:
        body = [f'    group["{name}"] = {value!r}' for name, value in p.settings.items()]
        lines += ["for group in optimizer.param_groups:", *body]
    return lines
