"""What tests of the command line share."""

from functools import partial

import pytest
import torch

from seqkit import SequenceDataModule, Tagger
from seqkit.cli import SequenceCLI
from seqkit.nn import LSTM, Embedding


@pytest.fixture(scope="module")
def one_parser():
    """Build the parser of each subcommand once for all tests of a module: it takes longer than the rest."""
    parsers, build = {}, SequenceCLI.setup_parser

    def reuse(cli, *args):
        (subcommand,) = cli.subcommands()
        if subcommand not in parsers:
            build(cli, *args)
            names = {name for name in vars(cli) if "parser" in name or "arguments" in name}
            parsers[subcommand] = {name: getattr(cli, name) for name in names}
        vars(cli).update(parsers[subcommand])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SequenceCLI, "setup_parser", reuse)
        yield


def small_tagger(splits, optimizer, size=4, **options):
    """Return a small model with its data, always with the same weights."""
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    torch.manual_seed(0)
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=size),
        embedding=partial(Embedding, embedding_dim=size),
        optimizer=optimizer,
        **options,
    )
    return model, data


def weights(model):
    """Return a copy of all weights."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()
