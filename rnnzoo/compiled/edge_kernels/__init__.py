"""Compiled passes over all connections of a population of networks, forward and back."""
