"""Models that are exported to ONNX."""

from sections.markdown import blocks, paragraph, table
from sections.results import load, measured_on


def onnx() -> str:
    """Return the table of an exported tagger beside seqkit's own inference."""
    found = load("onnx_inference")
    rows = [
        [
            name,
            f"{100 * found['accuracy'][name]:.2f}",
            f"{found['MB'][name]:.1f}",
            f"{found['tokens/s'][name]:,.0f}",
            f"{found['ms a row'][name]:.2f}",
        ]
        for name in found["accuracy"]
    ]
    return blocks(
        table(["", "accuracy, %", "weights, MB", "tokens/s, all rows", "ms a row, one by one"], rows),
        paragraph(
            f"The {found['rows']:,} sentences of the test split of English-EWT, from raw words to labels. float32 "
            f"gives {found['labels of seqkit']['ONNX float32']:.2%} of the labels that seqkit gives, int8 "
            f"{found['labels of seqkit']['ONNX int8']:.2%}.",
            measured_on(found),
        ),
    )
