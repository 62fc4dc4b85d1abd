"""A zoo in memory: rows, batches, pictures, cards, and where zoos are found."""
