def test_the_table_has_a_row_for_each_contender(load, monkeypatch):
    load("benchmarks/report")  # its folder has the package of the sections
    exported = load("benchmarks/sections/exported")
    names = ["seqkit", "ONNX float32", "ONNX int8"]
    found = {
        "rows": 2077,
        "accuracy": dict(zip(names, [0.95, 0.95, 0.9491], strict=True)),
        "labels of seqkit": dict(zip(names, [1, 1, 0.998], strict=True)),
        "MB": dict(zip(names, [9.9, 10.1, 2.65], strict=True)),
        "tokens/s": dict(zip(names, [27000.4, 14000, 15000], strict=True)),
        "ms a row": dict(zip(names, [5, 1.3, 0.854], strict=True)),
    }
    monkeypatch.setattr(exported, "load", {"onnx_inference": found}.__getitem__)
    text = exported.onnx()
    assert "| seqkit | 95.00 | 9.9 | 27,000 | 5.00 |" in text
    assert "| ONNX int8 | 94.91 | 2.6 | 15,000 | 0.85 |" in text
    assert "float32 gives 100.00% of the labels that seqkit gives, int8 99.80%." in text.replace("\n", " ")
