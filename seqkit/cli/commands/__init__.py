"""What python -m seqkit does beside the verbs of the Trainer: one file a command."""
