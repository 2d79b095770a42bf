"""The recorder: turns each call of a forward pass into a site, its edges and its reading."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from photic.kernels.moments import moments
from photic.probes.calls import Call, tensors_in
from photic.probes.class_weights import weights_along_counts
from photic.probes.custom import inside_custom_function, inside_sample
from photic.probes.divided import divisor
from photic.probes.forwards import Before, Forward
from photic.probes.gates import gate_facts
from photic.probes.gradient_graph import GradientGraph
from photic.probes.handed_back import HandedBack
from photic.probes.operations import kind_of, settings_of
from photic.probes.own_values import OwnValues
from photic.probes.shares import share_facts
from photic.probes.spread import choice_facts, column_facts
from photic.probes.squashing import Squashing
from photic.probes.time_axis import tap
from photic.probes.transforms import inside_transform
from photic.probes.units import unit_facts
from photic.probes.weights import weight_facts
from photic.probes.whole import Whole
from photic.probes.written import Written
from photic.records.moments import Moments, combined
from photic.records.runs import ColumnFacts, EdgeReading, SiteReading
from photic.records.sites import INPUT, Edge, Site, Unseen

# These move values without changing one, so the signal's moments are those of the input.
_MOVES = {
    "view", "reshape", "transpose", "permute", "flatten", "unflatten", "squeeze", "unsqueeze", "T", "mT", "contiguous",
}  # fmt: skip
_CHANNEL_FIRST = ("conv", "batch_norm", "instance_norm", "group_norm", "max_pool", "avg_pool", "adaptive")


class Recorder:
    """Watches one forward pass. `visit` is the visitor of `photic.probes.calls.watching`.

    `see` and `hear` are given the first output of every site and its gradient, for those who need more than moments.
    """

    def __init__(
        self,
        see: Callable[[int, Tensor], None] | None = None,
        hear: Callable[[int, Tensor], None] | None = None,
        *,
        in_place: bool = False,
        fault: Callable[[Exception], None] | None = None,
    ) -> None:
        self.squashing = Squashing(hear)
        self.handed_back = HandedBack(self.squashing.hear)
        self.graph = GradientGraph(self.handed_back.hear, fault)
        self.see = see
        self.fault = fault
        self.in_place = in_place  # within the user's own step: not even an input is given a gradient of its own
        self.forwards: list[Forward] = []
        self.unseen: list[Unseen] = []
        self.outputs: tuple[int, ...] = ()
        self.inputs: Moments | None = None
        self.columns: ColumnFacts | None = None
        self.grid: tuple[int, ...] = ()  # examples and positions of what enters
        self.failing: Call | None = None
        self.dead: dict[str, Tensor] = {}  # by site: which units are 0, with slope 0, on the whole batch
        self.own, self.written, self.whole = OwnValues(), Written(), Whole()
        self._values: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._parameter_sites: defaultdict[int, set[int]] = defaultdict(set)
        self.hidden: dict[int, str] = {}  # parameters used inside a custom function, by id, with the module
        self._naming: defaultdict[str, int] = defaultdict(int)

    def mark_inputs(self, batch: Any) -> None:
        """Remember the floating-point tensors that enter the model."""
        entering = [tensor for tensor in tensors_in(batch) if tensor.is_floating_point() or tensor.is_complex()]
        with torch._C.DisableTorchFunction():
            self.inputs = combined([moments(tensor) for tensor in entering])
            self.columns = column_facts(entering[0]) if entering else None
            self.grid = next((tuple(tensor.shape[:2]) for tensor in tensors_in(batch) if tensor.ndim > 1), ())
        for tensor in entering:
            self._remember(tensor, INPUT)
        self.whole.enter(batch)

    def mark_outputs(self, output: Any) -> None:
        """Remember which sites made the model's output."""
        with torch._C.DisableTorchFunction():
            made = {self._source(tensor): tensor for tensor in tensors_in(output)}
            self.outputs = tuple(sorted(source for source in made if source is not None and source >= 0))
            for source in self.outputs:
                self.squashing.keep(source, made[source])

    def follows(self, tensor: Tensor) -> bool:
        """Whether a tensor is a signal: real or complex numbers, or integers made of such (an argmax)."""
        return tensor.is_floating_point() or tensor.is_complex() or self._known(tensor) is not None

    def handed(self, tensor: Tensor, site: int | None) -> None:
        """Take a tensor whose graph is not ours to be what a site made."""
        if site is not None:
            self._remember(tensor, site)

    def maker(self, tensor: Tensor) -> int | None:
        """Return the site that made a tensor; one is made for what no call announced."""
        with torch._C.DisableTorchFunction():
            return self._source(tensor)

    def forget_dead(self) -> bool:
        """Let go the graph of all that leads to no tensor which somebody still holds; False if nothing is left."""
        needed: set[int] = set()
        used = {source for forward in self.forwards for source in forward.feeders}  # what follows may hold it
        last = [(ref(), site) for ref, site in self._values.values() if site not in used]
        waiting = [site for tensor, site in last if tensor is not None and tensor.grad_fn is not None]
        while waiting:
            site = waiting.pop()
            if site != INPUT and site not in needed:
                needed.add(site)
                waiting.extend(self.forwards[site].feeders)
        gone = set(range(len(self.forwards))) - needed
        self.graph.forget(gone)
        self.squashing.forget(gone)
        for site in gone:
            self.forwards[site].time = None
        return bool(needed)

    def without_graph(self) -> Recorder:
        """Return what is known of parameters and sites, without anything that keeps the graph or its values alive."""
        rest = Recorder(fault=self.fault)
        rest.forwards = [Forward(f.site, f.feeders, None, None, None, None) for f in self.forwards]
        rest.outputs, rest.inputs, rest.columns = self.outputs, self.inputs, self.columns
        rest.dead, rest.unseen, rest.hidden, rest.own, rest._parameter_sites = (
            self.dead, self.unseen, self.hidden, self.own, self._parameter_sites,
        )  # fmt: skip
        rest.graph.leaves = {k: leaf for k, leaf in self.graph.leaves.items() if isinstance(leaf, nn.Parameter)}
        rest.graph.leaf_users = self.graph.leaf_users
        return rest

    def _known(self, tensor: Tensor) -> int | None:
        return entry[1] if (entry := self._values.get(id(tensor))) is not None and entry[0]() is tensor else None

    def cross(self, values: Any, scope: str) -> None:
        """Make sites of what enters or leaves a module and was announced by no call."""
        if inside_transform():
            return
        with torch._C.DisableTorchFunction():  # what we compute here is no call of the network
            for tensor in tensors_in(values):
                if tensor.grad_fn is not None and tensor.grad_fn not in self.graph.site_of:
                    self._discover(tensor, scope, "")

    def visit(self, call: Call) -> Any:
        """Run the call and record it as a site if it computes on the network's signal."""
        before = self._before(call)
        if before is None:
            return call.run()
        time = tap(call, self.fault) if before.carried_gradient or not self.in_place else None
        self.failing = call
        result = call.run() if time is None else time.run()
        self.failing = None
        if (made := self._record(call, before, result)) is not None and time is not None:
            made.time, made.times = time, time.facts(result)
        if made is not None and call.phase == "model":
            made.gates = gate_facts(call, result)
        return result

    def _before(self, call: Call) -> Before | None:
        inputs = tensors_in((call.args, call.kwargs))
        feeders: set[int] = set()
        for tensor in inputs:
            source = self._source(tensor, call)
            if source is not None:
                feeders.add(source)
        carries = any(tensor.requires_grad for tensor in inputs)
        if not feeders and not carries:
            return None
        if carries and not torch.is_grad_enabled() and inside_custom_function():
            self.hidden |= {id(t): call.module_path for t in inputs if isinstance(t, nn.Parameter)}
            return None  # the custom function as a whole is the site
        kind = kind_of(call.operation, parameter_operand=False)
        signal = inputs[0] if kind == "activation" and inputs else None
        in_place = getattr(call.function, "__name__", "").endswith("_") or call.kwargs.get("inplace") is True
        if signal is not None and in_place:
            signal = signal.detach().clone()
        return Before(
            inputs,
            [tensor.grad_fn for tensor in inputs],
            [0 if tensor.is_inference() else tensor._version for tensor in inputs],
            feeders,
            carries,
            signal,
        )

    def _record(self, call: Call, before: Before, result: Any) -> Forward | None:
        outputs = self._outputs(before, result) or self.written.assigned(call)
        if not outputs:
            self._became_number(call, before, result)
            return None
        index = len(self.forwards)
        made = any(source >= 0 and source not in self.own for source in before.feeders)
        into = self.written.into(outputs) if made else []
        differentiable = not into and any(tensor.requires_grad for tensor in outputs)
        if not differentiable and all(source in self.own for source in before.feeders):
            self.written.taken(call, result)
            return None  # a function of parameters alone, computed without gradient: bookkeeping, not signal
        feeders = self.graph.add_site(index, outputs) | {source for source in before.feeders if source != index}
        first = outputs[0]
        alone = differentiable and self.own.begins(call, before.tensors, feeders, first)
        kind = kind_of(call.operation, parameter_operand=not alone and any(map(self._is_weight, before.tensors)))
        settings = settings_of(call.operation, call.args, call.kwargs, reflected=call.reflected)
        settings |= weights_along_counts(call) if call.phase == "loss" else {}
        if before.carried_gradient and not torch.is_grad_enabled() and inside_sample():
            settings["sampled"] = 1
        axis = self._channel_axis(call.operation, feeders, first)
        dead = partial(self.dead.__setitem__, call.name)
        site = Site(
            name=call.name,
            operation=call.operation,
            where=call.where,
            kind=kind,
            order=index,
            module=call.module_path,
            module_type="" if call.module is None else type(call.module).__name__,
            phase=call.phase,
            shape=tuple(first.shape),
            dtype=str(first.dtype).removeprefix("torch."),
            settings=settings,
            differentiable=differentiable or not before.carried_gradient,
        )
        self.forwards.append(
            Forward(
                site,
                feeders,
                self._signal(call.operation, feeders, outputs),
                weight_facts(call, settings, self._is_weight) if kind == "weight" else None,
                None
                if before.signal is None or kind != "activation"
                else unit_facts(
                    call.operation, settings, before.signal, first, axis=_unit_axis(axis, first), dead=dead
                ),
                axis,
                spread=self.whole.spread(call, first, kind, self.grid),
                shares=share_facts(call, settings.get("dim")) if call.phase == "model" else None,
                choice=choice_facts(before.tensors, first) if call.phase == "model" else None,
                given=self._given(before) if call.phase == "loss" else None,
                divided=divisor(call, before.carried_gradient),
            )
        )
        if before.tensors:
            self.squashing.meet(call.operation, min(feeders, default=INPUT), before.tensors[0])
        if self.see is not None:
            self.see(index, first)
        for tensor in (*outputs, *into):
            self._remember(tensor, index)
        for tensor in (*before.tensors, *into):
            if isinstance(tensor, nn.Parameter):
                self._parameter_sites[id(tensor)].add(index)
        if alone:
            self.own.add(index, before.tensors, feeders)
        else:
            for parameter in self.own.roots(feeders):
                self._parameter_sites[parameter].add(index)
        return self.forwards[index]

    def _is_weight(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter, or made of parameters alone."""
        node = tensor.grad_fn
        return isinstance(tensor, nn.Parameter) or (
            node is not None and self.graph.site_of.get(node, INPUT) in self.own
        )

    def _became_number(self, call: Call, before: Before, result: Any) -> None:
        """Make a site of a signal that the loss turns into a plain number, which carries no gradient."""
        if call.phase != "loss" or not before.carried_gradient or not isinstance(result, (int, float)):
            return
        if isinstance(result, bool) or not before.feeders:
            return
        place = len(self.forwards)
        site = Site(call.name, "item", call.where, "other", place, call.module_path, phase="loss", differentiable=False)
        self.forwards.append(Forward(site, before.feeders, None, None, None, None))

    def _given(self, before: Before) -> Moments | None:
        """Return the numbers that enter a call and that no site made: targets, in the loss; an autoencoder's is its input."""
        numbers = [(t, self._known(t)) for t in before.tensors if t.is_floating_point() and t.numel() > 1]
        given = [t for t, known in numbers if known == INPUT or (known is None and not t.requires_grad)]
        with torch._C.DisableTorchFunction():
            return combined([moments(t) for t in given])

    def _outputs(self, before: Before, result: Any) -> list[Tensor]:
        """Return the tensors that the call made or changed, those it only handed through left out."""
        made = tensors_in(result)
        known = {id(tensor): place for place, tensor in enumerate(before.tensors)}
        for place, tensor in enumerate(before.tensors):  # x[0] = y returns nothing and changes x
            if id(tensor) not in {id(t) for t in made} and before.changed(place):
                made.append(tensor)
        return [tensor for tensor in made if id(tensor) not in known or before.changed(known[id(tensor)])]

    def _signal(self, operation: str, feeders: set[int], outputs: Sequence[Tensor]) -> Moments | None:
        if operation in _MOVES and len(feeders) == 1 and len(outputs) == 1:
            (source,) = feeders
            if source >= 0 and self.forwards[source].signal is not None:
                same = self.forwards[source].signal
                if same is not None and same.count == outputs[0].numel():
                    return same
        return combined([moments(t) for t in outputs if t.is_floating_point() or t.is_complex()])

    def _channel_axis(self, operation: str, feeders: set[int], first: Tensor) -> int | None:
        if operation.startswith(_CHANNEL_FIRST):
            return 1 if first.ndim >= 2 else None
        axes = {self.forwards[source].channel_axis for source in feeders if source >= 0}
        moved = kind_of(operation, parameter_operand=True) in ("weight", "shape")
        return axes.pop() if len(axes) == 1 and not moved else None

    def _source(self, tensor: Tensor, call: Call | None = None) -> int | None:
        """Return the site that made the tensor, `INPUT`, or None when it is none of the network's signals."""
        node = tensor.grad_fn if tensor.requires_grad else None
        if node is not None:
            known = self.graph.site_of.get(node)
            if known is not None:
                return known
            return self._discover(tensor, call.module_path if call else "", call.where if call else "")
        known = self._known(tensor)
        if known is not None:
            return known
        own = isinstance(tensor, nn.Parameter)
        entered = call is not None and self.whole.concerns(call.operation, tensor)
        return INPUT if entered or (tensor.requires_grad and not own) else None

    def _discover(self, tensor: Tensor, scope: str, where: str) -> int:
        """Make a site of something that no torch call announced: a custom autograd function, a compiled part."""
        index = len(self.forwards)
        node = tensor.grad_fn
        operation = "unknown" if node is None else node.name().split("::")[-1]
        operation = operation.removesuffix("0").removesuffix("Backward")
        self._naming[f"{scope}/{operation}"] += 1
        feeders = self.graph.add_site(index, [tensor])
        self.handed_back.expect(index, feeders, tensor)
        axis = self._channel_axis("", feeders, tensor)
        site = Site(
            name=f"{scope}/{operation}#{self._naming[f'{scope}/{operation}']}",
            operation=operation,
            where=where,
            kind="other",
            order=index,
            module=scope,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
        )
        self.forwards.append(Forward(site, feeders, moments(tensor), None, None, axis))
        self._remember(tensor, index)
        return index

    def _remember(self, tensor: Tensor, site: int) -> None:
        self._values[id(tensor)] = (weakref.ref(tensor), site)

    def sites_of_parameter(self, parameter: Tensor) -> tuple[int, ...]:
        """Return the sites that use the parameter, directly, in another form, or through nodes of their own."""
        key = id(parameter)
        return tuple(sorted(self._parameter_sites.get(key, set()) | self.graph.leaf_users.get(key, set())))

    def readings(self) -> tuple[tuple[SiteReading, ...], tuple[Edge, ...], tuple[EdgeReading, ...]]:
        """Return the readings of all sites and edges, after the backward pass if there was one."""
        heard = self.graph.edges()
        edges: list[Edge] = []
        edge_readings: list[EdgeReading] = []
        sites: list[SiteReading] = []
        for target, forward in enumerate(self.forwards):
            own: list[EdgeReading] = []
            for source in sorted(forward.feeders):
                if source in self.own and target not in self.own:
                    continue  # a parameter, in another form
                edges.append(Edge(source, target))
                own.append(heard.get((source, target), EdgeReading(None, None, None)))
            edge_readings.extend(own)
            sites.append(
                SiteReading(
                    signal=forward.signal,
                    gradient=self.graph.gradient(target),
                    gain=self.graph.gain(target, own),
                    weight=forward.weight,
                    units=forward.units,
                    times=forward.time_facts(),
                    spread=forward.spread,
                    shares=forward.shares,
                    choice=forward.choice,
                    gates=forward.gates,
                    given=forward.given,
                    asked=forward.asked,
                    handed_back=self.handed_back.norms.get(target, ()),
                    alignment=self.squashing.alignments.get(target),
                )
            )
        return tuple(sites), tuple(edges), tuple(edge_readings)


def _unit_axis(channel_axis: int | None, tensor: Tensor) -> int:
    usual = 1 if tensor.ndim >= 4 else max(tensor.ndim - 1, 0)
    return channel_axis if channel_axis is not None and tensor.ndim > channel_axis else usual
