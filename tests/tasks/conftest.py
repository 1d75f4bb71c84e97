import datasets
import pytest

from tests.tasks.ctc_cases import spelled


@pytest.fixture(scope="module")
def words():
    """Splits of words with their phones."""
    return datasets.DatasetDict(
        train=datasets.Dataset.from_dict(spelled(60, 0)),
        validation=datasets.Dataset.from_dict(spelled(20, 1)),
        test=datasets.Dataset.from_dict(spelled(20, 2)),
    )
