"""A task in a folder or on the Hugging Face Hub: its weights, its config and a model card."""
