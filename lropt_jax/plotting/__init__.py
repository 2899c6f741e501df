"""Figures from results; matplotlib is imported where a figure is drawn."""
