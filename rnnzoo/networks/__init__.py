"""The networks of zoos: layout of their weights, symmetry, and how they are run."""
