"""The language model: the next token, given all tokens before it."""

from seqkit.tasks.language_model.module import LanguageModel
from seqkit.tasks.language_model.stream import LanguageStream

__all__ = ["LanguageModel", "LanguageStream"]
