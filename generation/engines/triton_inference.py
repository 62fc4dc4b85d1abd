"""Sampling from language models and running image models over images, with the Triton kernels."""

from __future__ import annotations

import numpy as np
import torch
import triton
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.generation.engines.interface import Snapshot, check_tokens
from rnnzoo.generation.engines.triton_kernels.classify import classify_images
from rnnzoo.generation.engines.triton_kernels.predict import predict_tokens
from rnnzoo.generation.engines.triton_kernels.rollouts import sample_strings
from rnnzoo.generation.engines.triton_options import (
    KernelOptions,
    layer_offsets,
    padded,
    weight_stride,
)
from rnnzoo.generation.population import Population, TileExamples
from rnnzoo.generation.randomness import Purpose

STATE_BYTES = 2 * 2**30


def sample_rollouts(
    population: Population,
    snapshot: Snapshot,
    rollouts: int,
    recorded: int,
    length: int,
    start: int,
    device: torch.device,
    options: KernelOptions,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """See `Engine.sample_rollouts`; arguments as there, and the device and tuning of the kernels."""
    network = population.network
    models = len(population)
    check_tokens(population, max(start, network.output_size - 1))
    weights = _weights_on(population, snapshot, device)
    model_ids = torch.from_numpy(population.model_ids.astype(np.uint32).view(np.int32).copy()).to(device)
    seed = torch.from_numpy(np.array([population.seed], dtype=np.uint64).view(np.int64)).to(device)
    step = torch.tensor([snapshot.step], dtype=torch.int32, device=device)
    programs = triton.cdiv(rollouts, options.inference_rows)
    tokens = np.empty((models, rollouts, length), dtype=np.uint8)
    log_probs = np.empty((models, recorded, length - 1, network.output_size), dtype=np.float32)
    for part, state in _rounds(population, programs, device, options):
        size = part.stop - part.start
        part_tokens = torch.empty((size, rollouts, length), dtype=torch.uint8, device=device)
        part_log_probs = torch.empty(log_probs[part].shape, dtype=torch.float32, device=device)
        sample_strings[(size, programs)](
            weights[part],
            seed,
            step,
            model_ids[part],
            state,
            part_tokens,
            part_log_probs,
            purpose=int(Purpose.ROLLOUT),
            start=start,
            rollouts=rollouts,
            recorded=recorded,
            length=length,
            inputs=network.input_size,
            outcomes=network.output_size,
            columns=padded(network.input_size),
            output_columns=padded(network.output_size),
            **_network_sizes(population, options),
        )
        tokens[part] = part_tokens.cpu().numpy()
        log_probs[part] = part_log_probs.cpu().numpy()
    return tokens, log_probs


def predict(
    population: Population,
    snapshot: Snapshot,
    inputs: NDArray[np.uint8],
    device: torch.device,
    options: KernelOptions,
) -> NDArray[np.float32]:
    """See `Engine.predict`; arguments as there, and the device and tuning of the kernels."""
    network = population.network
    models, count, positions = inputs.shape
    check_tokens(population, int(inputs.max(initial=0)))
    weights = _weights_on(population, snapshot, device)
    tokens = torch.from_numpy(np.array(inputs, dtype=np.uint8, order="C")).to(device)
    programs = triton.cdiv(count, options.inference_rows)
    log_probs = np.empty((models, count, positions, network.output_size), dtype=np.float32)
    for part, state in _rounds(population, programs, device, options):
        part_log_probs = torch.empty(log_probs[part].shape, dtype=torch.float32, device=device)
        predict_tokens[(part.stop - part.start, programs)](
            weights[part],
            tokens[part],
            state,
            part_log_probs,
            count=count,
            positions=positions,
            inputs=network.input_size,
            outcomes=network.output_size,
            columns=padded(network.input_size),
            output_columns=padded(network.output_size),
            **_network_sizes(population, options),
        )
        log_probs[part] = part_log_probs.cpu().numpy()
    return log_probs


def classify(
    population: Population,
    snapshot: Snapshot,
    images: NDArray[np.int32],
    recorded: int,
    device: torch.device,
    options: KernelOptions,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """See `Engine.classify`; arguments as there, and the device and tuning of the kernels."""
    network, examples = population.network, population.examples
    assert isinstance(examples, TileExamples)
    models, count = images.shape
    positions = examples.sources.shape[1] + 1
    weights = _weights_on(population, snapshot, device)
    pixels, labels, values, sources = (
        torch.from_numpy(np.array(array)).to(device)
        for array in (
            examples.images.reshape(len(examples.images), -1),
            examples.labels,
            examples.values,
            examples.sources,
        )
    )
    chosen = torch.from_numpy(np.array(images, dtype=np.int32)).to(device)
    programs = triton.cdiv(count, options.inference_rows)
    losses = torch.empty((models, count), dtype=torch.float32, device=device)
    predictions = torch.empty((models, count), dtype=torch.uint8, device=device)
    log_probs = torch.empty((models, recorded, positions, network.output_size), dtype=torch.float32, device=device)
    for part, state in _rounds(population, programs, device, options):
        classify_images[(part.stop - part.start, programs)](
            weights[part],
            pixels,
            labels,
            values,
            sources[part],
            chosen[part],
            state,
            losses[part],
            predictions[part],
            log_probs[part],
            count=count,
            recorded=recorded,
            positions=positions,
            pixels=pixels.shape[1],
            inputs=network.input_size,
            outcomes=network.output_size,
            columns=padded(network.input_size),
            output_columns=padded(network.output_size),
            **_network_sizes(population, options),
        )
    return losses.cpu().numpy(), predictions.cpu().numpy(), log_probs.cpu().numpy()


def _weights_on(population: Population, snapshot: Snapshot, device: torch.device) -> Tensor:
    weights = torch.zeros((len(population), weight_stride(population.network)), device=device)
    weights[:, : population.network.parameter_count] = torch.from_numpy(np.array(snapshot.weights)).to(device)
    return weights


def _rounds(
    population: Population, programs: int, device: torch.device, options: KernelOptions
) -> list[tuple[slice, Tensor]]:
    """Parts of the population whose states fit the memory set aside for them, all with the same scratch."""
    network = population.network
    per_model = programs * network.layers * 2 * options.inference_rows * padded(network.hidden_size)
    models = min(len(population), max(1, STATE_BYTES // (4 * per_model) // 16 * 16))
    state = torch.empty(models * per_model, dtype=torch.float32, device=device)
    starts = range(0, len(population), models)
    return [(slice(first, min(first + models, len(population))), state) for first in starts]


def _network_sizes(population: Population, options: KernelOptions) -> dict[str, int | str]:
    network = population.network
    return {
        "stride": weight_stride(network),
        "read_out": layer_offsets(network)[-1],
        "layers": network.layers,
        "hidden": network.hidden_size,
        "units": padded(network.hidden_size),
        "rows": options.inference_rows,
        "precision": options.precision,
        "num_warps": options.inference_warps,
        "num_stages": 1,
    }
