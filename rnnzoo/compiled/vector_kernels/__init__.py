"""What compiled CPU kernels are made of: vectors in registers, matrix products, nonlinearities, the cache on disk."""
