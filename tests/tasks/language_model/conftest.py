import datasets
import pytest

from tests.tasks.language_model.cases import texts


@pytest.fixture(scope="module")
def rows():
    made = {name: datasets.Dataset.from_dict({"text": texts(30, i)}) for i, name in enumerate("abc")}
    return datasets.DatasetDict(train=made["a"], validation=made["b"], test=made["c"])
