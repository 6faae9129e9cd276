"""The Gnomon server: receives, stores, answers. The way of the data is the way of the folders (ARCHITECTURE.md)."""

__version__ = "0.1.0"
