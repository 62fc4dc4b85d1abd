"""The compiled kernels of the CPU engine, one idea per module; `numba_engine` puts them to work."""
