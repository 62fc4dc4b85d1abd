"""Engines train a population of models. They differ in speed and device, never in what they mean."""

from rnnzoo.generation.engines.interface import Engine, Snapshot, find_engine

__all__ = ["Engine", "Snapshot", "find_engine"]
