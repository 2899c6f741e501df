"""Sweeps: hundreds of configurations as one program."""
