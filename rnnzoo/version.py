"""The version, where modules find it without importing the package's public names."""

__version__ = "0.1.0"
