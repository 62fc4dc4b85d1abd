"""What the compiled passes of encoders are worth: whole emulation training steps in turns, ours against PyTorch's.

    python benchmarks/encoder_passes.py --document
    python benchmarks/encoder_passes.py --encoders dwsnet --profiles quick --rounds 40

The rivals of an encoder as it is are the same without one pass, PyTorch without any, and `torch.compile` of its plain
definition (Inductor's C++, which needs a C++ compiler). All have the same emulator, batches and optimizers, and take
turns in a random order; ratios are medians over turns of a rival's time over ours in the same turn. First steps
compile, with nothing kept on disk. A pass that makes no whole step at least 1.3 times as fast as the best rival goes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from emulation import synthetic_data
from page_block import PageBlock, of_json
from torch import Tensor, nn

from rnnzoo.emulation.config import PROFILES
from rnnzoo.emulation.trainer import EmulationTraining
from rnnzoo.encoders import Rows
from rnnzoo.encoders.parts.edges import pool_edges
from rnnzoo.encoders.parts.layers import ResidualCore
from rnnzoo.environment import processor_name
from rnnzoo.jobs.memory import keep_freed_memory
from rnnzoo.networks.lstm import run
from rnnzoo.networks.network import Network

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
Replaced = dict[str, Any]


def never(*_: object) -> bool:
    """The answer that leaves a pass out."""
    return False


WITHOUT: dict[str, Replaced] = {
    "interrogation": {"rnnzoo.encoders.probing.can_interrogate": never},
    "networks": {"rnnzoo.networks.prober.can_fuse": never},
    "layers": {"rnnzoo.encoders.dwsnet.can_fuse_layers": never},
}
"""What to replace so that a pass is left out."""
PLAIN: Replaced = {name: value for values in WITHOUT.values() for name, value in values.items()}
PASSES = {
    "dwsnet": "layers",
    "interactive": "interrogation",
    "probe-generator": "networks",
    "rollout-probing": "networks",
    "non-interactive": "networks",
}
"""The encoders that go through passes, and the pass that is left out alone."""


class AutogradNetworks:
    """Networks as anyone would write them; takes and gives what `rnnzoo.networks.plain_networks.PlainNetworks` does."""

    def __init__(self, network: Network, weights: Tensor) -> None:
        self.network, self.weights = network, weights
        self.tensors = network.unflatten(weights)

    def start(self, rows: int) -> list[tuple[Tensor, Tensor]]:
        """Zero states."""
        zero = self.weights.new_zeros(len(self.weights), rows, self.network.hidden_size)
        return [(zero, zero)] * self.network.layers

    def step(self, inputs: Tensor, states: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """One input to every sequence."""
        hidden, after, tensors = inputs.expand(len(self.weights), -1, -1), [], self.tensors
        for layer, (output, cell) in enumerate(states):
            bias = (tensors[f"bias_ih_l{layer}"] + tensors[f"bias_hh_l{layer}"])[:, None]
            gates = torch.baddbmm(bias, hidden, tensors[f"weight_ih_l{layer}"].mT)
            hidden, cell = lstm_cell(gates + output @ tensors[f"weight_hh_l{layer}"].mT, cell)
            after.append((hidden, cell))
        logits = torch.baddbmm(tensors["linear.bias"][:, None], hidden, tensors["linear.weight"].mT)
        return logits.log_softmax(-1), after

    def run(self, inputs: Tensor) -> Tensor:
        """Whole sequences from zero states."""
        return run(self.network, self.weights, inputs.permute(1, 2, 0, 3)).transpose(1, 2)


class AutogradSession:
    """`rnnzoo.encoders.parts.layers.CoreSession` as anyone would write it."""

    def __init__(self, core: ResidualCore, models: int) -> None:
        self.core, self.weights = core, core.layer_weights()
        zero = core.projection.bias.new_zeros(models, core.hidden_size)
        self.states = [(zero, zero) for _ in self.weights]

    def step(self, inputs: Tensor) -> Tensor:
        """Outputs for the next inputs."""
        given, added = inputs, self.core.projection(inputs)
        for index, (by_input, recurrent, bias) in enumerate(self.weights):
            output, cell = self.states[index]
            self.states[index] = lstm_cell(given @ by_input.t() + bias + output @ recurrent.t(), cell)
            given = added = added + self.states[index][0]
        return given


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Output and cell from the inputs of the gates."""
    enter, forget, candidate, leave = gates.chunk(4, dim=-1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def core_forward(core: ResidualCore, inputs: Tensor) -> Tensor:
    """`ResidualCore.forward`, step by step."""
    session = AutogradSession(core, inputs.shape[1])
    return torch.stack([session.step(given) for given in inputs])


def update_edges(edges: Tensor, weight: Tensor, receiver: Tensor, sender: Tensor, square: bool) -> tuple[Tensor, ...]:
    """`rnnzoo.encoders.parts.edges.update_edges` as anyone would write it."""
    updated = (edges @ weight + receiver[:, :, None] + sender[:, None]).relu()
    return updated, *pool_edges(updated, square)


AUTOGRAD: Replaced = {
    **PLAIN,
    "rnnzoo.networks.prober.PlainNetworks": AutogradNetworks,
    "rnnzoo.encoders.parts.connections.update_edges": update_edges,
    "rnnzoo.encoders.parts.layers.ResidualCore.session": lambda core, models: AutogradSession(core, models),
    "rnnzoo.encoders.parts.layers.ResidualCore.forward": core_forward,
}


@contextmanager
def replaced(values: Replaced) -> Iterator[None]:
    """With other values in the place of some."""
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(mock.patch(name, value))
        yield


def compile_encoder(encoder: nn.Module, network: Network) -> None:
    """Let Inductor compile the encoder's forward pass, and its backward pass."""
    plain = type(encoder).forward
    compiled = torch.compile(lambda weights, prepared: plain(encoder, Rows(network, weights, prepared)), dynamic=False)
    encoder.forward = lambda rows: compiled(rows.weights, rows.prepared)  # type: ignore[method-assign]


def measure(name: str, profile: str, rounds: int) -> dict[str, dict[str, float]]:
    """Of every way: milliseconds of a step, its time over ours, and seconds of the first step, compilation included."""
    config, data = PROFILES[profile], synthetic_data(rows=256, positions=41)
    ways = {"ours": {}, "plain": PLAIN, "compiled": AUTOGRAD, "without": WITHOUT[PASSES[name]]}
    trainings = {way: EmulationTraining(data, name, config) for way in ways}
    torch._dynamo.reset()
    compile_encoder(trainings["compiled"].encoder, data.network)
    first = {way: step(trainings[way], values) for way, values in ways.items()}
    turns = []
    for turn in range(rounds + 2):
        order = random.Random(turn).sample(list(ways), len(ways))
        turns.append({way: step(trainings[way], ways[way]) for way in order})
    losses = {training.losses[-1] for training in trainings.values()}
    assert max(losses) - min(losses) < 1e-3, losses
    return {
        way: {
            "milliseconds": statistics.median(times[way] for times in turns[2:]) * 1e3,
            "over_ours": statistics.median(times[way] / times["ours"] for times in turns[2:]),
            "first_seconds": first[way],
        }
        for way in ways
    }


def step(training: EmulationTraining, values: Replaced) -> float:
    """Seconds of one training step."""
    start = time.perf_counter()
    with replaced(values):
        training.run(until=training.step + 1)
    return time.perf_counter() - start


def render(result: dict) -> str:
    """The result as Markdown."""
    lines = [
        f"**{result['machine']}**, {result['threads']} threads, median of {result['rounds']} turns, "
        f"load average {result['load_average']:.1f}",
        "",
        "| profile | encoder | ours, ms | without pass | PyTorch | torch.compile | best rival over ours "
        "| ours, first step, s | torch.compile, first step, s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for profile, encoders in result["profiles"].items():
        for name, ways in encoders.items():
            times = " | ".join(f"{ways[way]['milliseconds']:.1f}" for way in ("ours", "without", "plain", "compiled"))
            best = min(ways[way]["over_ours"] for way in ("without", "plain", "compiled"))
            first = " | ".join(f"{ways[way]['first_seconds']:.1f}" for way in ("ours", "compiled"))
            lines.append(f"| `{profile}` | `{name}`, without {PASSES[name]} | {times} | {best:.2f} | {first} |")
    return "\n".join([*lines, ""])


TABLE = PageBlock("encoder passes", "encoder_passes.py", "encoder-passes-*.json", of_json(render))


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", default=",".join(PASSES))
    parser.add_argument("--profiles", default="quick,paper")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--document", action="store_true", help="rewrite the table of docs/performance.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    result: dict[str, Any] = {"machine": processor_name(), "threads": options.threads, "rounds": options.rounds}
    result["profiles"] = {
        profile: {name: measure(name, profile, options.rounds) for name in options.encoders.split(",")}
        for profile in options.profiles.split(",")
    }
    result["load_average"] = os.getloadavg()[0]
    print(render(result))
    if options.document:
        (RESULTS / f"encoder-passes-{options.threads}-threads.json").write_text(json.dumps(result, indent=1) + "\n")
        TABLE.rewrite(ROOT / "docs" / "performance.md", RESULTS)


if __name__ == "__main__":
    # Both compilers begin with nothing kept. Numba reads its setting when it is imported, which comes later.
    with TemporaryDirectory() as kept:
        os.environ |= {"NUMBA_CACHE_DIR": kept, "TORCHINDUCTOR_CACHE_DIR": kept}
        main()
