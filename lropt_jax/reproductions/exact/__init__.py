"""Statements that hold or do not, whatever the seeds."""
