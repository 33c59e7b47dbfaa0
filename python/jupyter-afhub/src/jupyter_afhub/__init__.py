"""The Jupyter server of a notebook that is an HTCondor job."""

__version__ = "0.1.0"
