"""Dataset card templates, one per zoo."""
