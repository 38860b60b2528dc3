"""Derive `imagenet_hypernyms.csv` from WordNet 3.0.

    python resources/derive_imagenet_hypernyms.py data.noun imagenet_synsets.txt

`data.noun` is WordNet 3.0's noun file (Debian: package `wordnet-base`, installed as
/usr/share/wordnet/data.noun). `imagenet_synsets.txt` lists the 1000 WordNet ids of ImageNet-1K,
one per line (timm ships it as timm/data/_info/imagenet_synsets.txt). An ImageNet id is `n` and
the synset's offset in that file.
"""

import csv
import sys
from pathlib import Path


def read_nouns(path):
    """Offset -> (first word, offsets of direct hypernyms), after wndb(5WN)."""
    nouns = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.split(" | ")[0].split()
        words = int(fields[3], 16)
        first_pointer = 4 + 2 * words + 1
        pointers = int(fields[first_pointer - 1])
        symbols_and_targets = [
            fields[first_pointer + 4 * i : first_pointer + 4 * i + 2] for i in range(pointers)
        ]
        hypernyms = [target for symbol, target in symbols_and_targets if symbol == "@"]
        nouns[fields[0]] = fields[4], hypernyms
    return nouns


def main(nouns_path, synsets_path):
    """Write one row per (class, direct hypernym), in order of class and hypernym."""
    nouns = read_nouns(nouns_path)
    class_names = sorted(Path(synsets_path).read_text(encoding="utf-8").split())
    output = Path(__file__).with_name("imagenet_hypernyms.csv")
    with open(output, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["class_name", "parent", "class_word", "parent_word"])
        for class_name in class_names:
            word, hypernyms = nouns[class_name[1:]]
            for parent in sorted(hypernyms):
                writer.writerow([class_name, f"n{parent}", word, nouns[parent][0]])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
