"""From rows to packed batches: collation, and gathering straight from Arrow."""
