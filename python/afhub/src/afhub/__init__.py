"""JupyterHub whose notebooks are jobs of an HTCondor pool."""

__version__ = "0.1.0"
