"""What all unit tests share."""

from __future__ import annotations

from hypothesis import settings

from jupyter_afhub import imports

# One of them takes a second to import, in each process of the tests. In a notebook they are absent as well.
with imports.absent(*imports.FORMATS):
    import jsonschema  # noqa: F401

# How long one example takes is the machine's affair.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
