"""Is the CUDA engine right? Its kernels against float64 autograd and against the reference engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from rnnzoo.generation.engines.cuda_engine import CudaEngine
from rnnzoo.generation.engines.interface import Snapshot
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.engines.triton_options import KernelOptions
from rnnzoo.generation.engines.triton_plan import row_classes, select
from rnnzoo.generation.engines.triton_population import TritonPopulation
from rnnzoo.generation.population import Population, TokenExamples
from rnnzoo.networks.lstm import LSTMNetwork

Makers = Mapping[str, Callable[..., Population]]
"""By zoo, what makes a population of its shape: (models, steps=, hidden_size=, layers=)."""


def autograd_gradient(
    population: Population, model: int, weights: NDArray[np.float32], dtype: torch.dtype
) -> NDArray[np.float64]:
    """Gradient of one model's first batch by PyTorch on the CPU, flat [P]."""
    network = LSTMNetwork.from_weights(population.network, weights).to(dtype)
    inputs, targets = population.examples.batch(model, 0, population.protocol.batch_size)
    logits = network.logits(torch.from_numpy(inputs).to(dtype))
    cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten()).backward()
    tensors = [
        network.get_parameter(p.name if p.name.startswith("linear.") else f"lstm.{p.name}").grad
        for p in population.network.parameters()
    ]
    return torch.cat([tensor.flatten() for tensor in tensors if tensor is not None]).double().numpy()


def worst_error(population: Population, gradient: NDArray, exact: NDArray) -> float:
    """Largest over tensors of |gradient - exact| / |exact|, in the 2-norm."""
    got, want = (population.network.unflatten(array) for array in (gradient, exact))
    return max(float(np.linalg.norm(got[n] - want[n]) / np.linalg.norm(want[n])) for n in want)


def trained(population: Population, device: str, options: KernelOptions, steps: int, graph: bool) -> NDArray:
    """Weights [M, P] after some steps; models in one row class."""
    run = TritonPopulation(population, device, graph, options)
    run.advance(steps)
    return run.weights()


def check_draws(device: str, makers: Makers, models: int) -> dict[str, Any]:
    """Are the batches drawn on the device those of the population, bit for bit?"""
    result = {}
    for name, make in makers.items():
        population = make(models)
        examples, batch = population.examples, population.protocol.batch_size
        run = TritonPopulation(population, device, use_graph=False)
        equal = True
        for step in (0, 1, 19_999):
            run.step.fill_(step)
            want = examples.draw(step, batch)
            for slot in run.slots():
                run.draw(slot)
            source, weight = run.batch_rows()
            if isinstance(examples, TokenExamples):
                counts = np.stack([np.bincount(row, minlength=source.shape[1]) for row in want])
                equal &= bool((np.rint(weight * batch) == counts).all())
            else:
                equal &= bool((source[:, :batch] == want).all())
        result[name] = equal
    return result


def check_gradients(device: str, makers: Makers, precisions: list[str], quick: bool) -> list[dict[str, Any]]:
    """Worst relative error of a tensor's gradient per shape and precision, and PyTorch's own in float32."""
    shapes = [(32, 2), (16, 1), (48, 3), (64, 2), (128, 1)][: 2 if quick else None]
    rows = []
    for name, make in makers.items():
        for hidden_size, layers in shapes:
            population = make(2, hidden_size=hidden_size, layers=layers)
            population = select(population, row_classes(population)[0])
            initial = population.initial_weights()
            models = range(len(population))
            exact = [autograd_gradient(population, m, initial[m], torch.float64) for m in models]
            single = [autograd_gradient(population, m, initial[m], torch.float32) for m in models]
            row: dict[str, Any] = {
                "zoo": name,
                "hidden_size": hidden_size,
                "layers": layers,
                "pytorch float32": max(worst_error(population, single[m], exact[m]) for m in models),
            }
            for precision in precisions:
                run = TritonPopulation(population, device, False, KernelOptions(precision=precision))
                run.update()
                gradients = run.gradients()
                row[precision] = max(worst_error(population, gradients[m], exact[m]) for m in models)
            rows.append(row)
    return rows


def check_training(device: str, makers: Makers, steps: int, models: int) -> dict[str, Any]:
    """Does training follow the reference engine, does a graph change nothing, nor the company of other models?"""
    result: dict[str, Any] = {"steps": steps}
    graph = device != "cpu"
    options = KernelOptions()
    for name, make in makers.items():
        population = make(models, steps=steps)
        together = trained(population, device, options, steps, graph)
        alone = trained(select(population, np.array([models - 1])), device, options, steps, graph)
        few = select(population, np.arange(2))
        reference = list(ReferenceEngine().train(few, lambda *_: None))[-1].weights
        decay = np.array(population.weight_decay)
        decay[0] = np.nan
        poisoned = trained(dataclasses.replace(population, weight_decay=decay), device, options, steps, graph)
        difference = np.abs(together[:2] - reference)
        result[name] = {
            "largest difference from reference": float(difference.max()),
            "median difference from reference": float(np.median(difference)),
            "same alone, bit for bit": bool((alone[0] == together[-1]).all()),
            "diverged model disturbs others": not bool((poisoned[1:] == together[1:]).all()),
            "same without graph": bool((trained(population, device, options, steps, False) == together).all()),
        }
    return result


def check_inference(device: str, makers: Makers, quick: bool) -> dict[str, Any]:
    """Rollouts and classification against the reference engine, on random sharp weights."""
    count = 40 if quick else 500
    length = 8 if quick else 42
    engine, reference = CudaEngine(device=device), ReferenceEngine()
    population = makers["formal-languages"](2)
    snapshot = Snapshot(100, population.initial_weights() * 4)
    arguments = (population, snapshot, count, 10, length, 4)
    tokens, log_probs = engine.sample_rollouts(*arguments)
    want_tokens, want_log_probs = reference.sample_rollouts(*arguments)
    same = (tokens == want_tokens).all(axis=2)
    both = same[:, :10]
    pictures = makers["smnist"](2)
    snapshot = Snapshot(100, pictures.initial_weights() * 4)
    chosen = np.random.default_rng(1).integers(0, 64, (2, 16 if quick else 200)).astype(np.int32)
    got, want = (e.classify(pictures, snapshot, chosen, 10) for e in (engine, reference))
    return {
        "share of equal strings": float(same.mean()),
        "largest log-probability difference on equal strings": float(np.abs(log_probs - want_log_probs)[both].max()),
        "classify: largest loss difference": float(np.abs(got[0] - want[0]).max()),
        "classify: share of equal predictions": float((got[1] == want[1]).mean()),
        "classify: largest log-probability difference": float(np.abs(got[2] - want[2]).max()),
    }
