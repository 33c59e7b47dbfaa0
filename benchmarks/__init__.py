"""Measurements of the whole stack on a mini-pool: see README.md beside this file."""
