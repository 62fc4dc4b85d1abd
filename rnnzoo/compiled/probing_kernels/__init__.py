"""Compiled passes in which a population of LSTMs answers, and in which a core interrogates them."""
