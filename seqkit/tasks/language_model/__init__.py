"""The language model: the next token, given all tokens before it."""

from seqkit.tasks.language_model.module import LanguageModel

__all__ = ["LanguageModel"]
