"""The parts of the pages that report.py writes: each is a function that turns JSON results into Markdown."""

from collections.abc import Callable

from sections import batching, data, exported, fits, latency, layers, predict, quality, serving, tutorials

SECTIONS: dict[str, Callable[[], str]] = {
    "quality": quality.quality,
    "quality-all": quality.all_scores,
    "fits": fits.fits,
    "fits-speed": fits.speed,
    "fits-parts": fits.parts,
    "batches": batching.batches,
    "batches-table": batching.batches_table,
    "curves": batching.curves,
    "cost": batching.cost,
    "recurrent": layers.recurrent,
    "torch-packed": layers.torch_packed,
    "recurrent-table": layers.recurrent_table,
    "crf": layers.crf,
    "collate": data.collate,
    "sampler": data.sampler,
    "shuffle": data.shuffle,
    "stream": data.stream,
    "latency": latency.latency,
    "predict": predict.predict,
    "onnx": exported.onnx,
    "serve": serving.serve,
    "single-parts": data.single_parts,
    **tutorials.TUTORIALS,
}
