"""The kernels of the CUDA engine, in Triton. Every program trains or runs rows of one model.

Shapes in the docstrings: M models, P weights of a model (its row of the weight matrix is `stride` >= P long),
R rows of a batch padded to a multiple of 16, T positions, and hidden units, inputs and outputs padded to
powers of two of at least 16. `live[m]` says how many of the R rows of a model are real; the others are never
read or written.
"""
