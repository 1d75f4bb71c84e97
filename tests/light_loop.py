"""Train a tagger in a plain loop, without Lightning and without the packages of the command line.

``tests/test_dependencies.py`` runs this script with these packages refused, ``.ci/run`` without them installed.
"""

import datasets
import numpy as np
import torch

from seqkit import LengthBucketSampler, PackCollate
from seqkit.data import encode_dataset, learn_spec
from seqkit.losses import CrossEntropy
from seqkit.nn import CRF, LSTM, Embedding
from seqkit.packed import unpack

ROWS = {
    "words": [["a", "b", "a"], ["b"], ["a", "b"], ["b", "b", "a", "a"]] * 5,
    "tags": [["x", "y", "x"], ["y"], ["x", "y"], ["y", "y", "x", "x"]] * 5,
}


def main():
    """Fit for some epochs and check the loss."""
    torch.manual_seed(0)
    rows = datasets.Dataset.from_dict(ROWS)
    spec = learn_spec(rows, {"words": None}, {"tags": None})
    encoded = encode_dataset(rows, spec, "train")
    collate = PackCollate(["words"], ["tags"])
    sampler = LengthBucketSampler(np.array([len(words) for words in rows["words"]]), max_tokens=12)
    model = torch.nn.ModuleList([Embedding(spec["inputs"]["words"]["size"], 4), LSTM(4, 4)])
    head, decoder, loss = torch.nn.Linear(4, 2), CRF(2), CrossEntropy()
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.05)
    losses = []
    for epoch in range(10):
        sampler.set_epoch(epoch)
        for indices in sampler:
            batch = collate([encoded[int(row)] for row in indices])
            hidden, _ = model[1](model[0](batch.inputs["words"]))
            scores = hidden._replace(data=head(hidden.data))
            value = loss(scores, batch.targets["tags"])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
    assert losses[-1] < 0.5 * losses[0], losses
    assert len(unpack(decoder.decode(scores))) == len(batch.rows)


if __name__ == "__main__":
    main()
