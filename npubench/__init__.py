"""The measuring instrument of the K-AI+NPU testbed."""

__version__ = "0.1.0"
