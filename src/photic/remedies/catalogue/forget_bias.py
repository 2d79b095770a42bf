"""Open forget gates."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.recurrent import longest_sequence
from photic.initialisers.recurrent import forget_bias_for
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("vanishing-in-time",), changes="weights", sources=("gers2000", "jozefowicz2015", "tallec2018"), rank=3)
def forget_bias(graph: Graph) -> Prescription | str:
    """A bias of ln T for the forget gates of LSTM layers over T steps, 1 at least.

    What it changes: one quarter of the biases; a unit then keeps its state for about as many steps as there are, instead of two.

    When not to: where memories of all lengths are wanted, which chrono biases give; a GRU or plain RNN has no such gate.
    """
    if not any(site.operation == "lstm" for site in graph.run.sites):
        return "there is no LSTM"
    longest = longest_sequence(graph, "lstm")
    why = f"forget gates that stay open for the {longest} steps of a sequence" if longest else "open forget gates"
    return Prescription(
        recurrence="forget",
        longest=longest,
        why=f"{why}, a bias of {forget_bias_for(longest):g}, keep the state (Gers et al. 2000; Jozefowicz et al. 2015)",
    )
