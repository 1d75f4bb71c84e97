"""Predict with a model that ``python -m seqkit export`` has written, without torch and without seqkit.

    python examples/onnx_client.py model.onnx --text "A good film."
    python examples/onnx_client.py model.onnx --scores < rows.jsonl > predictions.jsonl

Needs numpy, onnxruntime and tokenizers only; copy the file into your project. Each line of the standard input is a
row as JSON: the value of the model's input (a text, a list of words, a list of numbers …), or an object with the
value of each input column. The results are those of ``model.predict``.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
from numpy.typing import NDArray

Array = NDArray[Any]
Encode = Callable[[Any], Array]

CACHED = 100_000  # words whose ids are kept
MAX_TOKENS = 2048  # of a batch, with its padding: larger batches have more of it, and are not faster on a CPU


# From values to numbers: one function for each encoder of seqkit.data.


def _expect(condition: bool, reads: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"expected {reads}, not {json.dumps(value, default=repr, ensure_ascii=False)[:80]}")


def _is_list_of(kind: type | tuple[type, ...], value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)


def _check_text(value: Any) -> None:
    """Check that texts can be written as UTF-8, as seqkit demands of them."""
    for text in [value] if isinstance(value, str) else value:
        half = re.search("[\ud800-\udfff]", text)
        if half:
            raise ValueError(f"{half[0]!r} is half of a character (a lone surrogate); replace it")


def _tokenizer(content: str) -> tokenizers.Tokenizer:
    model = tokenizers.Tokenizer.from_str(content)
    model.no_padding()
    model.no_truncation()
    if getattr(model.model, "dropout", None):
        model.model.dropout = None
    return model


def _words(*, tokenizer: str, depth: int = 0, **_: Any) -> Encode:
    model = _tokenizer(tokenizer)
    reads = "a list of words" if depth else "a text or a list of words"
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    @lru_cache(CACHED)
    def word_id(word: str) -> int:
        normal = model.normalizer.normalize_str(word) if model.normalizer else word
        return model.token_to_id(normal) or 0

    def encode(value: Any) -> Array:
        _expect(_is_list_of(str, value) or (not depth and isinstance(value, str)), reads, value)
        _check_text(value)
        words = [word for word, _ in split(value)] if isinstance(value, str) else value
        return np.array([word_id(word) for word in words], dtype=np.int64)

    return encode


def _shape(word: str, suffix: int) -> str:
    classes = ["X" if c.isupper() else "x" if c.isalpha() else "9" if c.isdigit() else c for c in word]
    runs = [now for now, before in zip(classes, ["", *classes], strict=False) if now != before]
    end = word[-suffix:] if suffix and word.islower() else ""
    return "\0" + "".join(runs) + ("-" + end if end else "")


def _shaped(*, vocabulary: list[str], suffix: int, words: bool, **_: Any) -> Encode:
    ids = {entry: number for number, entry in enumerate(vocabulary, start=1)}

    @lru_cache(CACHED)
    def word_id(word: str) -> int:
        return (words and ids.get(word)) or ids.get(_shape(word, suffix), 0)

    def encode(value: Any) -> Array:
        _expect(_is_list_of(str, value), "a list of words", value)
        _check_text(value)
        return np.array([word_id(word) for word in value], dtype=np.int64)

    return encode


def _characters(*, tokenizer: str, **_: Any) -> Encode:
    ids = {text: number for text, number in _tokenizer(tokenizer).get_vocab().items() if len(text) == 1}

    def encode(value: Any) -> Array:
        is_text = isinstance(value, str) or (_is_list_of(str, value) and all(len(item) == 1 for item in value))
        _expect(is_text, "a text or a list of characters", value)
        _check_text(value)
        return np.array([ids.get(character, 0) for character in value], dtype=np.int64)

    return encode


def _word_characters(*, vocabulary: str, **_: Any) -> Encode:
    ids = {character: number for number, character in enumerate(vocabulary, start=1)}

    @lru_cache(CACHED)
    def word_ids(word: str) -> tuple[int, ...]:
        return tuple(ids.get(character, 0) for character in word) or (0,)

    def encode(value: Any) -> Array:
        _expect(_is_list_of(str, value), "a list of words", value)
        _check_text(value)
        found = np.empty(len(value), dtype=object)
        for position, word in enumerate(value):
            found[position] = word_ids(word)
        return found

    return encode


def _tokenizer_file(*, tokenizer: str, special_tokens: bool = True, **_: Any) -> Encode:
    model = _tokenizer(tokenizer)

    def encode(value: Any) -> Array:
        _expect(isinstance(value, str), "a text", value)
        _check_text(value)
        return np.array(model.encode(value, add_special_tokens=special_tokens).ids, dtype=np.int64)

    return encode


def _ids(*, size: int, **_: Any) -> Encode:
    def encode(value: Any) -> Array:
        _expect(
            _is_list_of(int, value) and not any(isinstance(item, bool) for item in value), "a list of ids", value
        )
        outside = [number for number in value if not 0 <= number < size]
        _expect(not outside, f"ids from 0 to {size - 1}", outside[:1])
        return np.array(value, dtype=np.int64)

    return encode


def _features(*, mean: list[float], std: list[float], **_: Any) -> Encode:
    largest = np.finfo(np.float32).max

    def encode(value: Any) -> Array:
        try:
            series = np.asarray(value)
        except ValueError:  # steps of different lengths
            series = np.empty(0)
        if series.shape == (0,) and isinstance(value, list | tuple) and not value:
            return np.empty((0, len(mean)))
        series = series[:, None] if series.ndim == 1 and len(mean) == 1 else series
        _expect(series.ndim == 2 and series.shape[1] == len(mean), f"steps of {len(mean)} channels each", value)
        _expect(series.dtype.kind in "iuf", "numbers", value)
        series = series.astype(np.float64)
        _expect(bool(np.isfinite(series).all()), "finite numbers", value)
        for numbers in (series, (series - mean) / std):
            _expect(bool((np.abs(numbers) <= largest).all()), "numbers that float32 can hold", value)
        return series

    return encode


def _multi_labels(*, names: list[str], **_: Any) -> Encode:
    index = {name: number for number, name in enumerate(names)}

    def encode(value: Any) -> Array:
        _expect(_is_list_of((list, tuple), value), "a list of labels for each token", value)
        multi_hot = np.zeros((len(value), len(names)), dtype=np.float32)
        for position, labels in enumerate(value):
            for label in map(str, labels):
                _expect(label in index, f"labels among {', '.join(names[:30])}", label)
                multi_hot[position, index[label]] = 1.0
        return multi_hot

    return encode


ENCODERS: dict[str, Callable[..., Encode]] = {
    "seqkit.data.Words": _words,
    "seqkit.data.ShapedWords": partial(_shaped, words=True),
    "seqkit.data.WordShapes": partial(_shaped, words=False),
    "seqkit.data.Characters": _characters,
    "seqkit.data.WordCharacters": _word_characters,
    "seqkit.data.TokenizerFile": _tokenizer_file,
    "seqkit.data.Ids": _ids,
    "seqkit.data.Features": _features,
    "seqkit.data.MultiLabels": _multi_labels,
}


TEXTS = ("Words", "Characters", "WordShapes", "TokenizerFile")
"""Ends of the names of encoders of texts and words."""


class Model:
    """A model in a file.

    Args:
        path: The file that ``python -m seqkit export`` has written.
        threads: The number of threads; by default one for each core.

    Attributes:
        info: What the file says about itself: version, task, spec (with the inputs' encoders), inputs and outputs.
        columns: The columns of a row that the model reads.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: seqkit has not written the file; an input has an encoder, or an input or output holds something,
            that this program does not know.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}; write it with `python -m seqkit export`")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has many types of its own
            raise ValueError(f"{path} is no ONNX file, or one for a later onnxruntime: {error}") from error
        written = self.session.get_modelmeta().custom_metadata_map.get("seqkit")
        if written is None:
            raise ValueError(f"{path} has no metadata of seqkit; write it with `python -m seqkit export`")
        self.info: dict[str, Any] = json.loads(written)
        for name, about in (self.info["inputs"] | self.info["outputs"]).items():
            if about["holds"] not in KNOWN:
                raise ValueError(
                    f"{name!r} of {path} holds {about['holds']!r}, which this client does not know; take the "
                    f"client of seqkit {self.info['seqkit']}"
                )
        self.entries: dict[str, dict[str, Any]] = self.info["spec"]["inputs"]
        self.columns = list(dict.fromkeys(entry.get("column", name) for name, entry in self.entries.items()))
        self._encoders: dict[str, Encode] = {}
        for name, entry in self.entries.items():
            if entry["class_path"] not in ENCODERS:
                raise ValueError(
                    f"input {name!r} of {path} is encoded by {entry['class_path']}, which this client does not "
                    f"know; add a function for it to ENCODERS"
                )
            arguments = entry["init_args"] | {"size": entry["size"], "depth": entry.get("depth", 0)}
            self._encoders[name] = ENCODERS[entry["class_path"]](**arguments)

    def predict(
        self, rows: Any, *, max_tokens: int = MAX_TOKENS, scores: bool = False, empty: str = "raise"
    ) -> Any:
        """Predict rows, in batches of similar length.

        Args:
            rows: A list of values of the model's only input column, or of dicts with the value of each column; or
                one row alone, such as the list of words of a model that reads lists of words.
            max_tokens: The largest number of tokens of a batch, with its padding; a longer row is alone in one.
            scores: Whether to add probabilities.
            empty: What to do with a row without tokens: ``raise`` an error, or let its result be None (``none``).

        Returns:
            A dict for each row, in the order of the rows; of one row a dict.

        Raises:
            ValueError: A row cannot be read, and the message names it; or the file has no scores.
        """
        if empty not in ("raise", "none"):
            raise ValueError(f"empty={empty!r}: must be 'raise' or 'none'")
        if self._is_row(rows):
            return self.predict([self.row_of(rows)], max_tokens=max_tokens, scores=scores, empty=empty)[0]
        held = {about["holds"] for about in self.info["outputs"].values()}
        if scores and held & {"labels", "sets"} and "scores" not in held:
            raise ValueError("the file has no scores; export it with `--scores`")
        run = self._score_texts if "nll" in held else partial(self._run, scores=scores)
        encoded = [self._encode(number, row) for number, row in enumerate(rows)]
        full = [place for place, row in enumerate(encoded) if all(map(len, row.values()))]
        if empty == "raise" and len(full) < len(encoded):
            first = next(place for place, row in enumerate(encoded) if place not in full)
            name = next(name for name, tokens in encoded[first].items() if not len(tokens))
            raise ValueError(
                f"row {first}, column {self.entries[name].get('column', name)!r}: there is no token; drop the row, "
                f'or pass empty="none" (--empty none), which gives None in its place'
            )
        found: list[dict[str, Any] | None] = [None] * len(encoded)
        for batch in _batches([max(map(len, encoded[place].values())) for place in full], max_tokens):
            places = [full[each] for each in batch]
            for place, result in zip(places, run([encoded[place] for place in places]), strict=True):
                found[place] = result
        return found

    def row_of(self, value: Any) -> Any:
        """Return a row as a dict, if it is the value of the only column."""
        return value if isinstance(value, Mapping) or len(self.columns) > 1 else {self.columns[0]: value}

    def row_of_text(self, text: str) -> Any:
        """Return the row of a text.

        White space splits it into words if the model reads lists of words. A model of series, of ids or of several
        columns takes JSON.
        """
        entry = next(iter(self.entries.values()))
        if len(self.columns) > 1 or not entry["class_path"].endswith(TEXTS):
            return self.row_of_json(text)
        is_split = entry.get("depth", 0) and entry["class_path"].endswith(("Words", "WordCharacters", "WordShapes"))
        return self.row_of(text.split() if is_split else text)

    def row_of_json(self, text: str) -> Any:
        """Return the row of a line of JSON.

        Raises:
            ValueError: It is no JSON.
        """
        try:
            return self.row_of(json.loads(text))
        except ValueError as error:
            reads = " and ".join(self.columns)
            raise ValueError(f"{text.strip()[:40]!r} is no JSON ({error}); the model reads {reads}") from error

    def _is_row(self, rows: Any) -> bool:
        """Whether an object is one row alone, not a container of rows."""
        if isinstance(rows, str | Mapping):
            return True
        depth = next(iter(self.entries.values())).get("depth", 0)
        return len(self.columns) == 1 and len(rows) > 0 and _depth(rows) <= depth

    def _encode(self, number: int, row: Any) -> dict[str, Array]:
        """Encode a row: by input, an array with an element for each token."""
        row = self.row_of(row)
        if not isinstance(row, Mapping):
            raise ValueError(f"row {number}: the model reads the columns {self.columns}; give a dict with them")
        encoded: dict[str, Array] = {}
        main, *_ = self.entries
        for name, entry in self.entries.items():
            column = entry.get("column", name)
            if column not in row:
                raise ValueError(f"row {number} lacks the column {column!r}; it has {list(row)}")
            value = row[column].tolist() if hasattr(row[column], "tolist") else row[column]
            try:
                encoded[name] = self._encoders[name](value)
            except ValueError as error:
                raise ValueError(f"row {number}, column {column!r}: {error}") from error
            if not entry.get("unaligned") and len(encoded[name]) != len(encoded[main]):
                first = self.entries[main].get("column", main)
                raise ValueError(
                    f"row {number}: {len(encoded[name])} tokens in {column!r}, but {len(encoded[main])} in "
                    f"{first!r}"
                )
        return encoded

    def _run(self, rows: list[dict[str, Array]], *, scores: bool) -> list[dict[str, Any]]:
        """Predict a batch of encoded rows."""
        values: dict[tuple[str, str], Array] = {}
        lengths = {name: [len(row[name]) for row in rows] for name in self.entries}
        for name, entry in self.entries.items():
            each = [row[name] for row in rows]
            if entry["kind"] == "nested":
                index, words = _unique(each)
                values[name, "index"] = _padded(index)
                values[name, "ids"] = _padded(words)
                values[name, "lengths"] = np.array([len(word) for word in words], dtype=np.int64)
            else:
                holds = {"features": "values", "multilabel": "sets"}.get(entry["kind"], "ids")
                values[name, holds] = _padded(each)
                values[name, "lengths"] = np.array(lengths[name], dtype=np.int64)
        feeds = {name: values[about["column"], about["holds"]] for name, about in self.info["inputs"].items()}
        wanted = {
            name: about
            for name, about in self.info["outputs"].items()
            if about["holds"] != "logits" and (scores or about["holds"] != "scores")
        }
        found: list[dict[str, Any]] = [{} for _ in rows]
        main, *_ = self.entries
        for (name, about), output in zip(wanted.items(), self.session.run(list(wanted), feeds), strict=True):
            tokens = lengths.get(about["column"], lengths[main])
            for result, row, length in zip(found, output, tokens, strict=True):
                result |= _read_output(name, about, row[:length] if about["per"] == "token" else row)
        return found

    def _score_texts(self, rows: list[dict[str, Array]]) -> list[dict[str, Any]]:
        """Compute the negative log-likelihood of each token of encoded rows and of their ends."""
        (column,) = self.entries
        boundary = np.array([self.entries[column]["size"]], dtype=np.int64)
        ids = [row[column] for row in rows]
        sides = {"": ids, "backward_": [each[::-1] for each in ids]}
        values: dict[str, Array] = {"lengths": np.array([len(each) + 1 for each in ids], dtype=np.int64)}
        for side, texts in sides.items():
            values[f"{side}ids"] = _padded([np.concatenate([boundary, each]) for each in texts])
            values[f"{side}targets"] = _padded([np.concatenate([each, boundary]) for each in texts])
        feeds: dict[str, Array] = {}
        for given in self.session.get_inputs():
            holds = self.info["inputs"][given.name]["holds"]
            if holds == "state":
                layers, _, size = given.shape
                feeds[given.name] = np.zeros((layers, len(rows), size), dtype=np.float32)
            else:
                feeds[given.name] = values[holds]
        wanted = [name for name, about in self.info["outputs"].items() if about["holds"].endswith("nll")]
        outputs = self.session.run(wanted, feeds)
        found = []
        for place, length in enumerate(values["lengths"]):
            nll, *backward = (output[place, :length] for output in outputs)
            result: dict[str, Any] = {"nll": nll[:-1].tolist(), "end_nll": float(nll[-1])}
            result["perplexity"] = float(np.exp(nll.mean()))
            for other in backward:
                result |= {"backward_nll": other[:-1][::-1].tolist(), "begin_nll": float(other[-1])}
            found.append(result)
        return found


KNOWN = {
    *("ids", "values", "sets", "index", "lengths", "state", "targets", "backward_ids", "backward_targets"),
    *("labels", "scores", "logits", "attention", "nll", "backward_nll", "log_probs"),
}
"""What this program knows that inputs and outputs may hold."""


def _depth(value: Any) -> float:
    """Return how many lists or axes of arrays enclose the first value in them; infinity for what holds no value."""
    if hasattr(value, "ndim"):
        return int(value.ndim)
    if isinstance(value, list | tuple):
        return 1 + _depth(value[0]) if value else np.inf
    return np.inf if value is None or isinstance(value, Mapping) else 0


def _batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield the places of rows of similar length, the longest first, with at most so many tokens when padded."""
    places: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if places and (len(places) + 1) * lengths[places[0]] > max_tokens:
            yield places
            places = []
        places.append(place)
    if places:
        yield places


def _padded(arrays: Sequence[Array]) -> Array:
    """Stack arrays (L, ...) of different lengths, with zeros behind their ends."""
    padded = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    for row, values in zip(padded, arrays, strict=True):
        row[: len(values)] = values
    return padded


def _unique(rows: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Return the index of each token's word among the unique words, and these words."""
    places: dict[tuple[int, ...], int] = {}
    index = [np.array([places.setdefault(word, len(places)) for word in row], dtype=np.int64) for row in rows]
    return index, [np.array(word, dtype=np.int64) for word in places]


# From outputs to plain Python.


def _read_output(name: str, about: Mapping[str, Any], values: Array) -> dict[str, Any]:
    """Return what a row's part of an output means: ids become the names of labels, tags also become spans."""
    names = about.get("names", [])
    match about["holds"]:
        case "labels" if about["per"] == "sequence":
            return {name: names[int(values)]}
        case "labels":
            labels = [names[number] for number in values.tolist() if number >= 0]
            spans = {f"{name}_spans": read_spans(labels)} if about.get("scheme") else {}
            return {name: labels, **spans}
        case "sets":
            units = [[names[i] for i in np.flatnonzero(unit)] for unit in np.atleast_2d(values)]
            return {name: units[0] if about["per"] == "sequence" else units}
        case "scores" if about["per"] == "unaligned":
            return {name: values[values >= 0].tolist()}
        case "scores" if values.ndim == 2 or about["per"] == "sequence":
            units = [dict(zip(names, unit, strict=True)) for unit in np.atleast_2d(values).tolist()]
            return {name: units[0] if about["per"] == "sequence" else units}
        case _:
            return {name: values.tolist()}


def read_spans(tags: Sequence[str]) -> list[dict[str, Any]]:
    """Read spans from tags of any scheme (BIO, IOB1, BIOES): a span begins where no other continues."""
    spans: list[dict[str, Any]] = []
    before, kind_before = "O", ""
    for position, tag in enumerate(tags):
        prefix, kind = tag[:1], tag[2:]
        if tag != "O" and prefix in "IE" and before in "BI" and kind == kind_before:
            spans[-1]["end"] = position + 1
        elif tag != "O":
            spans.append({"type": kind, "start": position, "end": position + 1})
        before, kind_before = ("O", "") if tag == "O" else (prefix, kind)
    return spans


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict the texts of the command line, or each line of the standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the file")
    parser.add_argument("--text", action="append", help="a text to predict; may be repeated")
    parser.add_argument("--scores", action="store_true", help="add probabilities")
    parser.add_argument(
        "--empty", choices=["raise", "none"], default="raise", help="what an empty row gives: an error, or null"
    )
    parser.add_argument("--threads", type=int, default=0, help="by default one for each core")
    given = parser.parse_args(arguments)
    try:
        model = Model(given.model, threads=given.threads)
        if given.text:
            rows = [_read(model.row_of_text, *line) for line in enumerate(given.text)]
        else:
            rows = [_read(model.row_of_json, *line) for line in enumerate(sys.stdin)]
        for result in model.predict(rows, scores=given.scores, empty=given.empty):
            print(json.dumps(result, ensure_ascii=False))
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _read(read: Callable[[str], Any], number: int, text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"row {number}: {error}") from error


if __name__ == "__main__":
    main()
