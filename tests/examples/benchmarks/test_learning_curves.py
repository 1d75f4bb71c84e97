import pytest
from datasets import Dataset

ROWS = {
    "words": [["a"] * (1 + i % 7) for i in range(200)],
    "tags": [["xy"[i % 2]] * (1 + i % 7) for i in range(200)],
}


@pytest.fixture
def loader_of(load):
    module = load("benchmarks/learning_curves")

    def train_loader(contender):
        data = module.Data(Dataset.from_dict(ROWS), "words", "tags", max_tokens=32)
        data.contender = contender
        return data.train_dataloader()

    return train_loader


def test_planned_batches_are_the_same_with_either_loss(loader_of):
    planned, mean_loss = loader_of("planned").sampler, loader_of("planned, mean loss").sampler
    assert planned.tokens_per_step > 0
    assert not hasattr(mean_loss, "tokens_per_step")
    for epoch in (0, 3):
        planned.set_epoch(epoch)
        mean_loss.set_epoch(epoch)
        assert list(mean_loss) == list(planned)
    assert len(mean_loss) == len(planned)


@pytest.mark.parametrize("contender", ["random", "sorted pools"])
def test_other_batches_hold_every_row_once_in_about_as_many_steps(loader_of, contender):
    sampler, planned = loader_of(contender).sampler, loader_of("planned").sampler
    batches = list(sampler)
    assert len(batches) == len(sampler) == pytest.approx(len(planned), rel=0.1)
    assert sorted(row for rows in batches for row in rows) == sorted(row for rows in planned for row in rows)
