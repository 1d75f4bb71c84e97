"""Length-bucketed batches: the plan, the shuffle, the assignment of rows to ranks, the resume position."""
