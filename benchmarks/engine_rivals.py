"""The ways to train a population that `engines.py` compares, each as a function that trains for some steps.

A rival takes a population and returns a call `train(steps)`. The rivals outside this project get their batches
ready-made, so drawing costs them nothing; the engines draw their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, nll_loss

from rnnzoo.generation.engines import find_engine
from rnnzoo.generation.population import Population
from rnnzoo.networks.lstm import LSTMNetwork, run

Train = Callable[[int], None]


def original(population: Population) -> Train:
    """nn.LSTM and AdamW, one model after the other on one thread: how the zoos were first made."""
    protocol = population.protocol
    models = [LSTMNetwork.from_weights(population.network, w) for w in population.initial_weights()]
    optimizers = [torch.optim.AdamW(m.parameters(), lr=protocol.learning_rate(0), weight_decay=1e-4) for m in models]
    batches = _batches(population)

    def train(steps: int) -> None:
        torch.set_num_threads(1)
        for model, optimizer, inputs, targets in zip(models, optimizers, *batches, strict=True):
            for _ in range(steps):
                loss = cross_entropy(model.logits(inputs).flatten(0, 1), targets.flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def torch_population(population: Population, device: str = "cpu") -> Train:
    """All models in one autograd graph: a batched product (baddbmm) per position, all threads."""
    weights = torch.from_numpy(population.initial_weights()).to(device).requires_grad_()
    optimizer = torch.optim.AdamW([weights], lr=population.protocol.learning_rate(0), weight_decay=1e-4)
    inputs, targets = (part.to(device) for part in _batches(population))
    threads = torch.get_num_threads()

    def train(steps: int) -> None:
        torch.set_num_threads(threads)
        for _ in range(steps):
            log_probs = run(population.network, weights, inputs)
            loss = nll_loss(log_probs.flatten(0, 2), targets.flatten()) * len(population)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return train


def jax_population(population: Population) -> Train:
    """JAX: jit of vmap over models of scan over positions, gradient and AdamW in the same program."""
    import jax
    import jax.numpy as jnp

    network, rate = population.network, population.protocol.learning_rate(0)

    def loss_of(weights: Any, inputs: Any, targets: Any) -> Any:
        tensors = network.unflatten(weights)
        hidden = jnp.swapaxes(inputs, 0, 1)
        for layer in range(network.layers):
            bias = tensors[f"bias_ih_l{layer}"] + tensors[f"bias_hh_l{layer}"]
            projected = hidden @ tensors[f"weight_ih_l{layer}"].T + bias
            recurrent = tensors[f"weight_hh_l{layer}"].T

            def cell(state: Any, gates: Any, recurrent: Any = recurrent) -> Any:
                output, memory = state
                enter, forget, candidate, leave = jnp.split(gates + output @ recurrent, 4, axis=-1)
                memory = jax.nn.sigmoid(forget) * memory + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
                output = jax.nn.sigmoid(leave) * jnp.tanh(memory)
                return (output, memory), output

            zero = jnp.zeros((inputs.shape[0], network.hidden_size))
            _, hidden = jax.lax.scan(cell, (zero, zero), projected)
        logits = hidden @ tensors["linear.weight"].T + tensors["linear.bias"]
        log_probs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(log_probs, jnp.swapaxes(targets, 0, 1)[..., None], axis=-1).mean()

    def update(state: Any, inputs: Any, targets: Any) -> Any:
        weights, first, second, step = state
        slope = jax.grad(loss_of)(weights, inputs, targets)
        first, second, step = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2, step + 1
        denominator = jnp.sqrt(second / (1 - 0.999**step)) + 1e-8
        weights = weights * (1 - rate * 1e-4) - rate * first / (1 - 0.9**step) / denominator
        return weights, first, second, step

    step_all = jax.jit(jax.vmap(update))
    weights = jnp.asarray(population.initial_weights())
    state = (weights, jnp.zeros_like(weights), jnp.zeros_like(weights), jnp.zeros(len(population)))
    inputs, targets = (jnp.asarray(part.numpy()) for part in _batches(population))

    def train(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state = step_all(state, inputs, targets)
        jax.block_until_ready(state)

    return train


def flash_population(population: Population) -> Train:
    """FlashRNN on the GPU with one head per model and layer: recurrence alone, forward and backward, in bfloat16."""
    from flashrnn import flashrnn

    inputs, _ = _batches(population)
    models, batch, positions, _ = inputs.shape
    size, layers = population.network.hidden_size, population.network.layers
    shape = (batch, positions, 4, models, size)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    projected, recurrent, bias = random(*shape), random(4, models, size, size), random(4, models, size)

    def train(steps: int) -> None:
        for _ in range(steps * layers):
            states, _ = flashrnn(projected, recurrent, bias, function="lstm", backend="cuda_fused")
            states[0].sum().backward()
        torch.cuda.synchronize()

    return train


def engine(name: str) -> Callable[[Population], Train]:
    """An engine of this project, from initial weights to a snapshot after `steps`."""

    def rival(population: Population) -> Train:
        chosen, _ = find_engine(name, population)

        def train(steps: int) -> None:
            torch.set_num_threads(1)
            protocol = dataclasses.replace(population.protocol, steps=steps)
            short = dataclasses.replace(population, protocol=protocol, snapshots=(steps,))
            for _ in chosen.train(short, lambda done, loss: None):
                pass

        return train

    return rival


def _batches(population: Population) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch per model: inputs [M, batch, positions, input_size] and targets [M, batch, positions]."""
    size = population.protocol.batch_size
    inputs, targets = zip(*(population.examples.batch(m, 0, size) for m in range(len(population))), strict=True)
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))
