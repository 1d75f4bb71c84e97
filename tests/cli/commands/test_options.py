import pytest

from seqkit.cli.commands.options import CommandParser


@pytest.fixture
def parser():
    parser = CommandParser("weigh", "Weigh a model.")
    parser.add_checkpoint()
    parser.add_argument("--unit", choices=["kg", "lb"], default="kg")
    return parser


def test_options_are_read(parser):
    given = parser.read(["--ckpt_path=a.ckpt", "--unit", "lb", "--trust", "mine", "theirs"])
    assert vars(given) == {"ckpt_path": "a.ckpt", "unit": "lb", "trust": ["mine", "theirs"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --ckpt_path"),
        (["--ckpt_path=a", "--units=kg"], r"weigh has no option --units; did you mean --unit\?"),
        (["--ckpt_path=a", "--uni=kg"], r"weigh has no option --uni; did you mean --unit\?"),
        (["--ckpt_path=a", "x"], "weigh has no option x"),
        (["--ckpt_path=a", "--unit=st"], "argument --unit: invalid choice: 'st'"),
    ],
)
def test_wrong_options(parser, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}.*; python -m seqkit weigh --help lists all options$"):
        parser.read(arguments)
