"""Which rows make a batch: the plan of buckets, the shuffle, the ranks' shares, resuming."""
