"""What tests of the command line share."""

import pytest

from seqkit.cli import SequenceCLI


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
