"""Comparing encoders: a matrix of runs, downstream properties, results and their report."""
