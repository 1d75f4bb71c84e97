"""Measure the time of training steps, for the weights of ``StepCost``.

    python examples/benchmarks/cost.py [--hidden 200] [--cell LSTM] [--output FILE]

Isolates the size of a batch: times training steps (forward, backward, Adam) of a bidirectional tagger on batches
of B sequences of T tokens each, in turns. Fits ``per_step·T + per_token·N + per_batch`` by least squares of the
relative error. Only the ratio of the three weights changes a plan. If yours is far from the default, pass
``cost=StepCost(...)`` to the sampler.
"""

from functools import partial

import numpy as np
import torch
from measuring import in_turns, medians, options, setting, write_json
from torch.nn.utils.rnn import PackedSequence

import seqkit.nn
from seqkit.data import StepCost
from seqkit.losses import CrossEntropy

GRID = [(t, b) for t in (5, 10, 20, 40, 80, 160) for b in (1, 4, 16, 64, 256) if t * b <= 5120]


def main() -> None:
    """Measure the grid and print the weights."""
    parser = options(__doc__)
    parser.add_argument("--cell", choices=["LSTM", "GRU", "RNN"], default="LSTM")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=200, help="units in each direction")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    encoder = getattr(seqkit.nn, given.cell)(given.features, given.hidden, bidirectional=True)
    head, loss = torch.nn.Linear(2 * given.hidden, 17), CrossEntropy()
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()])

    def step(values: PackedSequence, tags: PackedSequence) -> None:
        hidden, _ = encoder(values)
        total, _ = loss.total(hidden._replace(data=head(hidden.data)), tags)
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    functions = {}
    for steps, batch in GRID:
        sizes = torch.full((steps,), batch)
        values = PackedSequence(torch.randn(steps * batch, given.features), sizes)
        tags = values._replace(data=torch.randint(0, 17, (steps * batch,)))
        functions[steps, batch] = partial(step, values, tags)
    seconds = np.array(list(medians(in_turns(functions, given.repeats)).values()))
    terms = np.array([(t, t * b, 1) for t, b in GRID], float)
    weights = np.linalg.lstsq(terms / seconds[:, None], np.ones(len(GRID)), rcond=None)[0]
    errors = np.abs(terms @ weights / seconds - 1)
    for (t, b), measured, error in zip(GRID, seconds, errors, strict=True):
        print(f"T {t:4}  B {b:4}  N {t * b:5}  {measured * 1e3:7.2f} ms  fit off by {error:.0%}")
    print("microseconds: per_step {:.1f}, per_token {:.2f}, per_batch {:.0f}".format(*weights * 1e6))
    per_step, per_token, per_batch = (weights / weights[0]).tolist()
    print(
        f"StepCost(per_step={per_step:.0f}, per_token={per_token:.2f}, per_batch={per_batch:.0f}); "
        f"the default is {StepCost()}"
    )
    rows = [{"T": t, "B": b, "seconds": s} for (t, b), s in zip(GRID, seconds.tolist(), strict=True)]
    found = {"per_step": per_step, "per_token": per_token, "per_batch": per_batch}
    write_json(given.output, {**setting(), "cost": found, "rows": rows})


if __name__ == "__main__":
    main()
