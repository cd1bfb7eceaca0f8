"""Slices: all that one machine measured, in one file that others can read."""
