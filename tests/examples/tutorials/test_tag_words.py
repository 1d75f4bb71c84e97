import re

TAGS = {"the": "DET", "a": "DET", "cat": "NOUN", "dog": "NOUN", "sees": "VERB", "hears": "VERB", ".": "PUNCT"}
SENTENCES = ["the cat sees a dog .", "a dog hears the cat .", "the dog sees ."] * 6


def conllu(sentences):
    blocks = []
    for sentence in sentences:
        words = enumerate(sentence.split(), start=1)
        blocks.append("".join(f"{i}\t{word}\t_\t{TAGS[word]}\t_\t_\t_\t_\t_\t_\n" for i, word in words))
    return "\n".join(blocks)


def test_tag_words(load, tmp_path, capsys):
    files = [tmp_path / f"{split}.conllu" for split in ("train", "dev", "test")]
    for file in files:
        file.write_text(conllu(SENTENCES))
    load("tutorials/tag_words").main([*map(str, files), "--epochs", "6", "--output", str(tmp_path / "pictures")])
    output = capsys.readouterr().out
    assert "train: 18 sentences, 96 words" in output
    assert "the/DET dog/NOUN sees/VERB ./PUNCT" in output
    assert "each word with its most frequent tag: test accuracy 1.0000" in output
    assert "three sentences of [6, 6, 4] words: 16 ids" in output
    assert "words in each time step: [3, 3, 3, 3, 2, 2]" in output
    assert float(re.search(r"test_accuracy\s+│\s+([\d.]+)", output)[1]) > 0.9
    predicted = re.findall(r"^(\S+) +([A-Z]+) +([\d.]+)%$", output[output.index("5. New") :], flags=re.MULTILINE)
    words = "I book a flight and read a book . The zorgs blickered loudly in Wugtown ."
    assert [word for word, _, _ in predicted] == words.split()
    assert {tag for _, tag, _ in predicted} <= set(TAGS.values())
    assert (tmp_path / "pictures" / "test_upos.png").stat().st_size


def test_baseline(load):
    example = load("tutorials/tag_words")
    train = {"form": [["a", "b", "a"], ["a"]], "upos": [["X", "Y", "Z"], ["X"]]}
    test = {"form": [["a", "b", "new", "more"]], "upos": [["X", "Z", "NOUN", "X"]]}
    assert example.baseline(train, test) == 0.5
