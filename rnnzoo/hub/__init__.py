"""Zoos on the Hugging Face Hub: names, downloads, publication."""
