"""Step readings: what the graph of a step told, and the parameters around the step of each optimizer that follows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from photic.kernels.moments import moments
from photic.probes.audit import circumstances, foreign, optimizer_words, parameter_table, scheduled
from photic.probes.beside import Beside
from photic.probes.halves import both, table
from photic.probes.raw_gradients import RawGradients
from photic.probes.recorder import Recorder
from photic.probes.scaling import unscaled, unscaled_edge, unscaled_site
from photic.probes.updates import epsilon_shares, updates
from photic.records.runs import EdgeReading, ParameterReading, Run, SiteReading, Step
from photic.records.sites import Edge, Site, Unseen


@dataclasses.dataclass(slots=True)
class StepReadings:
    """What the graph of a step told; the graph itself is gone.

    Attributes:
        recorder: knows at which sites the parameters are used.
        audit: how the sites were read, in words.
        scale: what a gradient scaler multiplied the loss by; the readings are without it.
    """

    model: nn.Module
    recorder: Recorder
    audit: str
    scale: float
    loss: float | None
    sites: tuple[Site, ...]
    readings: tuple[SiteReading, ...]
    edges: tuple[Edge, ...]
    edge_readings: tuple[EdgeReading, ...]

    def before(self, optimizer: torch.optim.Optimizer, step: int, weights: Mapping[str, Tensor]) -> Run:
        """Return the run as the optimizer is about to step; `weights`, by name, where they have moved already."""
        multiplied = getattr(optimizer, "grad_scale", None)  # a fused optimizer divides by it in its own step
        gradients = {id(p): p.grad for p in self.model.parameters()}
        recorder, seen = self.recorder, len(self.recorder.unseen)
        parameters, readings = parameter_table(self.model, recorder, optimizer, gradients)
        unseen = tuple(recorder.unseen)
        del recorder.unseen[seen:]
        if multiplied is not None:
            by = float(multiplied)
            readings = tuple(dataclasses.replace(r, gradient=unscaled(r.gradient, by)) for r in readings)
        if weights:
            readings = tuple(
                dataclasses.replace(r, weight=moments(weights[p.name])) if p.name in weights else r
                for p, r in zip(parameters, readings, strict=True)
            )
        scale = None if self.scale == 1.0 else self.scale
        return Run(
            model=type(self.model).__name__,
            sites=self.sites,
            edges=self.edges,
            parameters=parameters,
            steps=(Step(step, self.loss, self.readings, self.edge_readings, readings, loss_scale=scale),),
            unseen=unseen,
            outputs=recorder.outputs,
            inputs=recorder.inputs,
            columns=recorder.columns,
            foreign=foreign(self.model, recorder, optimizer),
            optimizer=optimizer_words(optimizer),
            facts={**circumstances(self.model), **scheduled(optimizer), "audit": self.audit},
        )

    def after(self, run: Run, optimizer: torch.optim.Optimizer, weights: dict[str, Tensor], raw: RawGradients) -> Run:
        """Return that run with what the step did to the `weights`."""
        found, shares = updates(weights, self.model), epsilon_shares(optimizer, self.model)
        ids = {name: id(parameter) for name, parameter in self.model.named_parameters()}
        readings: list[ParameterReading] = []
        for parameter, reading in zip(run.parameters, run.steps[0].parameters, strict=True):
            ratio, unchanged = found.get(parameter.name, (None, None))
            norm = raw.norms.get(ids.get(parameter.name, 0))
            readings.append(
                dataclasses.replace(
                    reading,
                    update_ratio=ratio,
                    unchanged_fraction=unchanged,
                    before_clipping=None if norm is None else norm / self.scale,
                    epsilon_share=shares.get(parameter.name),
                )
            )
        owned = [ids[p.name] for p in run.parameters if p.owned and p.trainable and p.name in ids]
        leftover = sum(key in raw.leftover for key in owned) / len(owned) if owned else None
        limit, norm = raw.clip_of(optimizer)
        step = dataclasses.replace(
            run.steps[0], parameters=tuple(readings), leftover_share=leftover, clip_limit=limit, clip_norm=norm
        )
        return dataclasses.replace(run, steps=(step,))


def readings(
    model: nn.Module,
    recorder: Recorder,
    beside: Beside | None,
    stands_for: Mapping[int, tuple[int, int]],
    value: Tensor | None,
    scale: float,
) -> StepReadings:
    """Read the sites of a step after its backward.

    Args:
        recorder: of the user's own forward and loss; of the loss alone where the forward is made again `beside`.
        stands_for: sites of the loss that are outputs of the forward beside: the number of the pass and of the output.
        value: the loss, multiplied by `scale`.
    """
    names = [recorder.forwards[site].site.name for site in recorder.graph.reentrant_checkpoints()]
    network, read = recorder, table(recorder)
    if beside is not None:
        network = Recorder(fault=recorder.fault)
        outputs = beside.read(network)
        places = {site: outputs[number][place] for site, (number, place) in stands_for.items()}
        read = both(table(network), read, places)
    sites, readings, edges, edge_readings = read
    network.unseen.extend(Unseen(name, "a reentrant checkpoint hides its operations") for name in names)
    if scale != 1.0:
        readings = tuple(unscaled_site(reading, scale) for reading in readings)
        edge_readings = tuple(unscaled_edge(reading, scale) for reading in edge_readings)
    loss = None if value is None else float(value.detach().sum()) / scale
    how = "in place" if beside is None else "beside"
    return StepReadings(model, network.without_graph(), how, scale, loss, sites, readings, edges, edge_readings)
