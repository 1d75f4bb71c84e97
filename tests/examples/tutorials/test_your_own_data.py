import re

import pytest
import yaml

# Lightning and the CLI call functions that the pinned jsonargparse deprecates.
DEPRECATED = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


@DEPRECATED
def test_your_own_data(load, tmp_path, capsys):
    folder = tmp_path / "pictures"
    load("tutorials/your_own_data").main(["--rides", "150", "--epochs", "4", "--output", str(folder)])
    output = capsys.readouterr().out
    rows = (folder / "rides.csv").read_text().splitlines()
    assert rows[0] == "ride,second,speed,shake,surface"
    assert f"{len(rows) - 1:,} rows are 150 rides; the first has " in output
    faults = output.partition("3. Bad rows")[2].partition("4. Batches")[0]
    for message in (
        "a missing value:\n  train row 5 (line 7 of wrong.csv)",
        "a row twice:\n  train row ",
        "ride='r0000' has 7 in row 7, too",
        "two surfaces in a ride:\n  train row 3 (line 5 of wrong.csv)",
        "a word for a number:\n  train row 2 (line 4 of wrong.csv) (column 'speed'): 'fast' ",
        "another name:\n  train has no column 'second'",
    ):
        assert message in faults
    assert "Batches of the training split" in output
    accuracy = float(re.search(r"test_accuracy\s+│\s+([\d.]+)", output)[1])
    assert accuracy > 0.6  # always the most frequent surface: 0.4
    frame = output.partition("6. New rides, in a frame\n")[2].splitlines()
    assert frame[0].split() == ["second", "speed", "shake", "predicted", "surface"]
    assert [line.split()[0] for line in frame[2:]] == [f"r{ride:04}" for ride in range(6)]
    assert (folder / "batches.png").is_file()


def test_the_config_is_the_program(load):
    example = load("tutorials/your_own_data")
    config = yaml.safe_load(example.CONFIG)
    given = config["data"]["source"]["init_args"]
    columns = [given["group"], given["order"], *given["vectors"]["sensors"], given["per_sequence"]]
    assert columns == list(example.rides(1, 0).columns)


def test_cobbles_shake_as_much_as_gravel(load):
    table = load("tutorials/your_own_data").rides(300, 0)
    shaking = (table["shake"] / table["speed"]).groupby(table["surface"]).std()
    assert shaking["cobbles"] == pytest.approx(shaking["gravel"], rel=0.1)
    assert shaking["asphalt"] < shaking["gravel"] / 1.5
