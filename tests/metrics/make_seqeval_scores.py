"""Write seqeval_scores.json: what seqeval gives for the random tags of test_span_f1.py.

    pip install seqeval==1.2.2
    python -m tests.metrics.make_seqeval_scores

seqeval exists as source code only, needs scikit-learn and was last released in 2020, so the tests read its scores
from the file instead of installing it.
"""

import json
import math
import warnings
from pathlib import Path

from seqeval import metrics
from seqeval import scheme as schemes

from tests.metrics.test_span_f1 import NAMES, random_tags

SCHEMES = {"BIO": schemes.IOB2, "IOB1": schemes.IOB1, "BIOES": schemes.IOBES}


def seqeval_scores(predicted, truth, options):
    """Micro precision, recall and F1, macro F1, and the F1 of X and of Y; 0 if there is nothing to score."""
    report = metrics.classification_report(truth, predicted, output_dict=True, zero_division=0, **options)
    micro, macro = report["micro avg"], report["macro avg"]["f1-score"]
    by_type = [report.get(kind, {"f1-score": 0.0})["f1-score"] for kind in ("X", "Y")]
    values = [micro["precision"], micro["recall"], micro["f1-score"], macro, *by_type]
    return [0.0 if math.isnan(value) else round(float(value), 8) for value in values]


def main():
    """Score all cases of every scheme and mode."""
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scheme, names in NAMES.items():
            for mode in ("default", "strict"):
                options = {"mode": "strict", "scheme": SCHEMES[scheme]} if mode == "strict" else {}
                scores[f"{scheme} {mode}"] = [seqeval_scores(*case, options) for case in random_tags(names, seed=1)]
    lines = ",\n".join(
        f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in scores.items()
    )
    Path(__file__).with_name("seqeval_scores.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
