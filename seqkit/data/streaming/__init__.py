"""Packed batches from a stream of rows."""
