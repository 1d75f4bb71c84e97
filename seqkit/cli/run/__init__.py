"""Runs: their folders, and what continues a run that was stopped."""
