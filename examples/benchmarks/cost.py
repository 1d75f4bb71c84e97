"""What a batch costs a recurrent net: the weights of ``StepCost``, measured.

    python examples/benchmarks/cost.py [--hidden 200] [--cell LSTM] [--json FILE]

Times training steps (forward, backward, Adam) of a bidirectional tagger on batches of B sequences of T tokens
each, in turns, and fits ``per_step·T + per_token·N + per_batch`` by least squares of the relative error. For a plan
only the ratio of the three counts; where yours is far from the default, pass ``cost=StepCost(...)`` to the sampler.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

import seqkit.nn
from seqkit.data import StepCost
from seqkit.losses import CrossEntropy

GRID = [(t, b) for t in (5, 10, 20, 40, 80, 160) for b in (1, 4, 16, 64, 256) if t * b <= 5120]


def main() -> None:
    """Measures the grid and prints the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=["LSTM", "GRU", "RNN"], default="LSTM")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=200, help="units a direction")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    given = parser.parse_args()
    encoder = getattr(seqkit.nn, given.cell)(given.features, given.hidden, bidirectional=True)
    head, loss = torch.nn.Linear(2 * given.hidden, 17), CrossEntropy()
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()])
    times: dict[tuple[int, int], list[float]] = {cell: [] for cell in GRID}
    for round_ in range(given.repeats + 1):
        for steps, batch in GRID:
            sizes = torch.full((steps,), batch)
            values = PackedSequence(torch.randn(steps * batch, given.features), sizes)
            tags = PackedSequence(torch.randint(0, 17, (steps * batch,)), sizes)
            start = time.perf_counter()
            hidden, _ = encoder(values)
            total, _ = loss.total(hidden._replace(data=head(hidden.data)), tags)
            total.backward()
            optimizer.step()
            optimizer.zero_grad()
            if round_:  # the first one warms up
                times[steps, batch].append(time.perf_counter() - start)
    seconds = np.array([statistics.median(times[cell]) for cell in GRID])
    terms = np.array([(t, t * b, 1) for t, b in GRID], float)
    weights = np.linalg.lstsq(terms / seconds[:, None], np.ones(len(GRID)), rcond=None)[0]
    errors = np.abs(terms @ weights / seconds - 1)
    for (t, b), measured, error in zip(GRID, seconds, errors, strict=True):
        print(f"T {t:4}  B {b:4}  N {t * b:5}  {measured * 1e3:7.2f} ms  fit off by {error:.0%}")
    print("microseconds: per_step {:.1f}, per_token {:.2f}, per_batch {:.0f}".format(*weights * 1e6))
    per_step, per_token, per_batch = (weights / weights[0]).tolist()
    print(
        f"StepCost(per_step={per_step:.0f}, per_token={per_token:.2f}, per_batch={per_batch:.0f}); now {StepCost()}"
    )
    if given.json:
        rows = [{"T": t, "B": b, "seconds": s} for (t, b), s in zip(GRID, seconds.tolist(), strict=True)]
        found = {"per_step": per_step, "per_token": per_token, "per_batch": per_batch}
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        given.json.write_text(json.dumps({"machine": machine, "cost": found, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
