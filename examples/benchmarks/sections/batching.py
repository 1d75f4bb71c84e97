"""Batches of similar lengths: padding, speed and accuracy, and the cost that a plan minimises."""

import statistics

from sections.markdown import blocks, paragraph, spread, table
from sections.results import load, measured_on

TASKS = {"ewt": "English-EWT, parts of speech", "vowels": "JapaneseVowels"}


def batches() -> str:
    """Return what planned batches save, and what they do not, in words."""
    found = load("batches")
    random, pools, planned = (found["results"][kind] for kind in ("random", "sorted pools", "planned"))
    padded, packed = (planned[name] / random[name] for name in ("torch, padded", "seqkit, packed"))
    return paragraph(
        f"On English-EWT, random batches would need {random['waste']:.1%} padding, pools sorted by length "
        f"{pools['waste']:.1%}, planned batches {planned['waste']:.1%}. On planned batches torch's padded LSTM "
        f"trains {padded:.2f} times as fast as on random ones, seqkit's packed LSTM {packed:.2f} times: it "
        f"computes no padding, so there is none to save.",
        measured_on(found),
    )


def batches_table() -> str:
    """Return the waste and the speeds of all kinds of batches."""
    found = load("batches")
    rows = [
        [n, f"{r['steps']}", f"{r['waste']:.1%}", f"{r['torch, padded']:,.0f}", f"{r['seqkit, packed']:,.0f}"]
        for n, r in found["results"].items()
    ]
    head = ["batches of EWT", "steps", "waste", "torch padded, tokens/s", "seqkit packed, tokens/s"]
    return blocks(table(head, rows), paragraph(measured_on(found)))


def curves() -> str:
    """Return the accuracies at the end of the learning curves."""
    found = load("learning_curves")
    rows = []
    for task, contenders in found["curves"].items():
        for name, seeds in contenders.items():
            finals = [curve["accuracy"][-1] for curve in seeds.values()]
            steps = statistics.mean(curve["steps"][-1] for curve in seeds.values())
            rows.append([TASKS[task], name, str(len(finals)), f"{steps:,.0f}", spread(finals, 2)])
    head = ["data", "batches", "seeds", "steps", "validation accuracy (%)"]
    return blocks(table(head, rows, texts=2), paragraph(measured_on(found)))


def cost() -> str:
    """Return the measured weights of StepCost."""
    found = load("cost")
    weights = ", ".join(f"{name} {value:.3g}" for name, value in found["cost"].items())
    return paragraph(f"Relative to the cost of a time step: {weights}.", measured_on(found))
