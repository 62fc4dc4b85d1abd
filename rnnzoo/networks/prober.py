"""Run a population of the zoo's networks as black boxes, step by step or over whole sequences, counting queries."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rnnzoo.compiled.fused_networks import FusedNetworks, can_fuse
from rnnzoo.errors import UsageError
from rnnzoo.networks.network import Network
from rnnzoo.networks.plain_networks import PlainNetworks


class Prober:
    """M networks that answer inputs with log-probabilities; all that functionalist encoders may see of them.

    The whole population advances together, on the CPU in one compiled pass where Numba is installed. Gradients reach
    the inputs, never to the networks' weights.

    Args:
        network: their shape.
        weights: flat weights [M, P].

    Attributes:
        queries: inputs each network has answered so far.
    """

    def __init__(self, network: Network, weights: Tensor) -> None:
        self.network = network
        self.models = len(weights)
        self.queries = 0
        self._networks: FusedNetworks | PlainNetworks
        self._networks = (FusedNetworks if can_fuse(network, weights) else PlainNetworks)(network, weights.detach())
        self._probes = 0
        self._states: Any = None

    @property
    def fused(self) -> FusedNetworks | None:
        """The networks in compiled form, or None where they cannot be compiled."""
        return self._networks if isinstance(self._networks, FusedNetworks) else None

    def start(self, probes: int = 1) -> None:
        """Begin `probes` parallel sequences per network, each from a zero state."""
        self._probes, self._states = probes, self._networks.start(probes)

    def step(self, inputs: Tensor) -> Tensor:
        """Advance every sequence by one input.

        Args:
            inputs: [M, probes, input_size], or [1, probes, input_size] for the same to all networks.

        Returns:
            Log-probabilities [M, probes, output_size].

        Raises:
            UsageError: inputs of another shape, or `start` was not called.
        """
        if self._states is None:
            raise UsageError("Call prober.start(probes) before prober.step: it sets the networks' states to zero.")
        self._check(inputs, (self._probes, self.network.input_size))
        self.queries += self._probes
        answers, self._states = self._networks.step(inputs, self._states)
        return answers

    def run(self, inputs: Tensor) -> Tensor:
        """Answers to whole sequences, each from a zero state; faster than step by step.

        Args:
            inputs: [M, probes, positions, input_size], or [1, ...] for the same to all networks.

        Returns:
            Log-probabilities [M, probes, positions, output_size].

        Raises:
            UsageError: inputs of another shape.
        """
        self._check(inputs, (-1, -1, self.network.input_size))
        probes, positions = inputs.shape[1:3]
        self.queries += probes * positions
        # Time runs first, so that each step of the recurrence is one block of memory.
        return self._networks.run(inputs.permute(2, 0, 1, 3).contiguous()).transpose(1, 2)

    def _check(self, inputs: Tensor, shape: tuple[int, ...]) -> None:
        fits = inputs.ndim == len(shape) + 1 and inputs.shape[0] in (1, self.models)
        if not fits or any(w not in (-1, n) for w, n in zip(shape, inputs.shape[1:], strict=True)):
            wanted = ", ".join("any" if size == -1 else str(size) for size in shape)
            raise UsageError(
                f"Probing inputs have shape {tuple(inputs.shape)}; give [{self.models} or 1, {wanted}] for "
                f"{self.models} networks of {self.network.describe()}."
            )
