"""The version, in a file of its own, so that those who want to know it import nothing else."""

__version__ = "0.1.0"
