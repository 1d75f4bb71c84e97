from functools import partial

import pytest
import torch

from seqkit.nn import GRU, Stack
from tests.tasks.language_model.cases import END, build, stock


def test_the_most_probable_tokens_are_those_of_a_plain_loop(rows, trainer):
    model, data = build(rows)
    trainer(max_epochs=3, limit_val_batches=0).fit(model, data)
    model = model.double()
    rnn, vocabulary = stock(model.encoder), model.vocabulary
    prompts = ["", "a", "abc de", "gg"]
    for prompt, written in zip(prompts, model.generate(prompts, 12, temperature=0, may_end=False), strict=True):
        ids = [END, *vocabulary.encode([prompt])[0]]
        for _ in range(12):
            hidden, _ = rnn(model.embeddings[0].weight[torch.tensor(ids)])
            logits = model.softmax.linear(hidden[-1])
            logits[[0, END]] = -torch.inf  # the unknown and the end
            ids.append(int(logits.argmax()))
        assert written == vocabulary.decode([ids[1:]])[0]


def test_random_numbers_depend_only_on_the_seed(rows):
    model, _ = build(rows)
    before = torch.get_rng_state()
    one = model.generate(["a"] * 4, 30, seed=1)
    assert model.generate(["a"] * 4, 30, seed=1) == one
    assert model.generate(["a"] * 4, 30, seed=2) != one
    assert len(set(one)) > 1
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


def test_rows_end_by_themselves(rows):
    model, _ = build(rows)
    with torch.no_grad():
        model.softmax.linear.bias[END] = 100.0
    assert model.generate(["ab", ""], 10) == ["ab", ""]
    assert [len(text) for text in model.generate(["ab", ""], 10, may_end=False)] == [12, 10]


def test_tokens_without_a_text_are_never_sampled(rows):
    model, _ = build(rows)
    with torch.no_grad():
        model.softmax.linear.bias[0] = 100.0
    assert "<unk>" not in model.generate(["a"], 20, may_end=False)[0]


def test_no_tokens_and_no_prompts(rows):
    model, _ = build(rows)
    assert model.generate(["abc"], 0) == ["abc"]
    stacked, _ = build(rows, encoder=partial(Stack, layers=[partial(GRU, hidden_size=4)]))
    with pytest.raises(ValueError, match="encoder Stack does not take an initial state, which continuous text and"):
        stacked.generate(["abc"], 3)
    with pytest.raises(ValueError, match="generate needs at least one prompt"):
        model.generate([])
    with pytest.raises(ValueError, match="top_k=0"):
        model.generate(["abc"], top_k=0)
    assert model.training


def test_each_part_has_its_own_mode_again(rows):
    model, _ = build(rows)
    model.encoder.eval()
    model.generate(["a"], 2)
    assert model.training
    assert not model.encoder.training


def test_wrong_arguments(rows):
    model, _ = build(rows)
    with pytest.raises(TypeError, match=r"prompts='abc': must be a list of prompts; put a single one into a list"):
        model.generate("abc")
    with pytest.raises(ValueError, match="max_tokens=-1: must be an integer of at least 0"):
        model.generate(["abc"], -1)
