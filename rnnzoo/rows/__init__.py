"""Rows as arrays and networks: selections, columns, what networks answer, batches."""
