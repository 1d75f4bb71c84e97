"""What a task keeps in a checkpoint besides its weights: its arguments, and the random state."""
