"""Reading and writing files: atomically, strictly, within bounds."""
