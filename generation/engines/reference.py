"""The reference engine: nn.LSTM and AdamW, one model at a time, as the original authors trained.

Slow and plain on purpose; the fused engines are tested against it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from rnnzoo.environment import processor_name
from rnnzoo.generation.engines.interface import Progress, Snapshot
from rnnzoo.generation.population import NO_TARGET, Population, TileExamples
from rnnzoo.generation.randomness import Purpose, random_words, unit_floats
from rnnzoo.networks.lstm import LSTMNetwork

PROGRESS_EVERY = 25


class ReferenceEngine:
    """PyTorch on one CPU thread, one model after the other."""

    name = "reference"
    threads = 1

    def describe_device(self) -> str:
        """The processor's name."""
        return processor_name()

    def compilation_needed(self) -> bool:
        """Nothing is compiled."""
        return False

    def refusal(self, population: Population) -> str | None:
        """The reference engine takes every population."""
        return None

    def train(self, population: Population, progress: Progress) -> Iterator[Snapshot]:
        """Train all models, then yield their snapshots in step order."""
        # More threads do not help matrices this small, and their number could change the order of summation.
        torch.set_num_threads(1)
        initial = population.initial_weights()
        shape = (len(population.snapshots), len(population), population.network.parameter_count)
        weights = np.empty(shape, dtype=np.float32)
        for model in range(len(population)):
            for index, snapshot in enumerate(_train_one(population, model, initial[model], progress)):
                weights[index, model] = snapshot
        for step, snapshot in zip(population.snapshots, weights, strict=True):
            yield Snapshot(step, snapshot)

    def sample_rollouts(
        self, population: Population, snapshot: Snapshot, rollouts: int, recorded: int, length: int, start: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See `Engine.sample_rollouts`."""
        results = [
            _sample_one(population, model, snapshot, rollouts, recorded, length, start)
            for model in range(len(population))
        ]
        tokens, log_probs = zip(*results, strict=True)
        return np.stack(tokens), np.stack(log_probs)

    def predict(self, population: Population, snapshot: Snapshot, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.predict`."""
        log_probs = []
        for weights, rows in zip(snapshot.weights, inputs, strict=True):
            network = LSTMNetwork.from_weights(population.network, weights)
            with torch.no_grad():
                log_probs.append(torch.cat([network(chunk) for chunk in torch.tensor(rows).split(1024)]).numpy())
        return np.stack(log_probs)

    def classify(
        self, population: Population, snapshot: Snapshot, images: NDArray[np.int32], recorded: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        """See `Engine.classify`."""
        examples = population.examples
        assert isinstance(examples, TileExamples)
        losses, predictions, kept = [], [], []
        for model in range(len(population)):
            network = LSTMNetwork.from_weights(population.network, snapshot.weights[model])
            inputs = torch.from_numpy(examples.inputs(model, images[model]))
            labels = torch.from_numpy(examples.labels[images[model]].astype(np.int64))
            with torch.no_grad():
                log_probs = torch.cat([network(chunk) for chunk in inputs.split(1024)])
            at_label = log_probs.gather(2, labels[:, None, None].expand(-1, log_probs.shape[1], 1))
            losses.append(-at_label.mean(dim=(1, 2)).numpy())
            predictions.append(log_probs[:, -1].argmax(dim=1).numpy().astype(np.uint8))
            kept.append(log_probs[:recorded].numpy())
        return np.stack(losses), np.stack(predictions), np.stack(kept)


def _train_one(
    population: Population, model: int, initial: NDArray[np.float32], progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """One model's weights [P] at every snapshot step."""
    protocol = population.protocol
    network = LSTMNetwork.from_weights(population.network, initial)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=protocol.learning_rate(0),
        betas=protocol.betas,
        eps=protocol.epsilon,
        weight_decay=float(population.weight_decay[model]),
    )
    for step in range(protocol.steps + 1):
        if step in population.snapshots:
            yield network.flat_weights()
        if step == protocol.steps:
            return
        inputs, targets = population.examples.batch(model, step, protocol.batch_size)
        logits = network.logits(torch.from_numpy(inputs))
        wanted = torch.from_numpy(targets).flatten()
        loss = cross_entropy(logits.flatten(0, 1), wanted, ignore_index=NO_TARGET, reduction="sum")
        loss = loss / max(1, int(np.count_nonzero(targets != NO_TARGET)))
        optimizer.param_groups[0]["lr"] = protocol.learning_rate(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % PROGRESS_EVERY == 0 or step + 1 == protocol.steps:
            progress(model * protocol.steps + step + 1, loss.item())


def _sample_one(
    population: Population, model: int, snapshot: Snapshot, rollouts: int, recorded: int, length: int, start: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rollouts [R, L] of one model and the log-probabilities [K, L - 1, vocabulary] of the first K."""
    network = LSTMNetwork.from_weights(population.network, snapshot.weights[model])
    stride = 4 * ((length - 1 + 3) // 4)
    words = random_words(
        population.seed, population.model_ids[model], Purpose.ROLLOUT, snapshot.step, rollouts * stride
    )
    uniform = torch.from_numpy(unit_floats(words).reshape(rollouts, stride))
    tokens = torch.full((rollouts, length), start, dtype=torch.int64)
    log_probs = torch.empty(recorded, length - 1, population.network.output_size)
    state = None
    with torch.no_grad():
        for position in range(1, length):
            logits, state = network.advance(tokens[:, position - 1 : position], state)
            log_prob = torch.log_softmax(logits[:, 0], dim=-1)
            log_probs[:, position - 1] = log_prob[:recorded]
            below = log_prob.exp().cumsum(dim=-1) <= uniform[:, position - 1 : position]
            tokens[:, position] = below.sum(dim=-1).clamp(max=population.network.output_size - 1)
    return tokens.numpy().astype(np.uint8), log_probs.numpy()
