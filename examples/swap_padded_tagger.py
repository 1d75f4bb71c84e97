"""Swap the LSTM of a padded tagger that was written without seqkit, in one line, and measure a training step.

python examples/swap_padded_tagger.py
python examples/swap_padded_tagger.py --hidden-size 256 --sentences 64 --repeats 20
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from seqkit.nn import restore_recurrent, swap_recurrent

PAD = 0


class BiLSTMTagger(nn.Module):
    """The usual tagger: pad, embed, pack, LSTM, unpack, classify, mask."""

    def __init__(self, vocab_size: int, embedding_dim: int, hidden_dim: int, tagset_size: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, num_layers=2, batch_first=True, bidirectional=True)
        self.hidden2tag = nn.Linear(2 * hidden_dim, tagset_size)

    def forward(self, sentences: Tensor, lengths: Tensor) -> Tensor:
        """(B, T) -> (B, T, C)."""
        embeds = self.word_embeddings(sentences)
        packed_embeds = pack_padded_sequence(embeds, lengths, batch_first=True, enforce_sorted=False)
        packed_out, _ = self.lstm(packed_embeds)
        lstm_out, _ = pad_packed_sequence(packed_out, batch_first=True)
        return self.hidden2tag(lstm_out)  # type: ignore[no-any-return]


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, sentences: Tensor, lengths: Tensor, tags: Tensor
) -> float:
    """Take one step of the optimiser and return the loss."""
    optimizer.zero_grad()
    logits = model(sentences, lengths)
    loss = F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=-100)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


# Only the code below uses seqkit.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=128, help="units in each direction (default 128)")
    parser.add_argument("--sentences", type=int, default=32, help="sentences in the batch (default 32)")
    parser.add_argument("--longest", type=int, default=60, help="length of the longest sentence (default 60)")
    parser.add_argument("--repeats", type=int, default=9, help="timed steps of each layer (default 9)")
    options = parser.parse_args(arguments)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BiLSTMTagger(1000, 100, options.hidden_size, 17)
        lengths = torch.randint(1, options.longest + 1, (options.sentences,))
        sentences = pad_sequence([torch.randint(1, 1000, (n,)) for n in lengths], batch_first=True)
        tags = torch.where(sentences == PAD, -100, torch.randint(17, sentences.shape))

    expected = model(sentences, lengths).detach()
    print(f"swapped: {', '.join(swap_recurrent(model))}")  # this line
    found = model(sentences, lengths).detach()
    torch.testing.assert_close(found, expected)
    print(f"largest difference of the outputs: {(found - expected).abs().max():.1e}")

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # both layers have the same parameters
    seconds: dict[str, list[float]] = {"torch.nn": [], "seqkit.nn": []}
    for repeat in range(options.repeats + 1):
        for kind, exchange in (("torch.nn", restore_recurrent), ("seqkit.nn", swap_recurrent)):
            exchange(model)
            start = time.perf_counter()
            train_step(model, optimizer, sentences, lengths, tags)
            if repeat:  # the first warms up
                seconds[kind].append(time.perf_counter() - start)
    stock, ours = (statistics.median(times) for times in seconds.values())
    print(f"one training step: {1000 * stock:.1f} ms, swapped {1000 * ours:.1f} ms: {stock / ours:.1f} times")


if __name__ == "__main__":
    main()
