"""The commands that produce zoos."""
