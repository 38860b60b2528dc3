"""Print peak memory and time by stage, from Snakemake's benchmark files in the given folder."""

import csv
import sys
from pathlib import Path


def main(folder):
    stages = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        inside = path.relative_to(folder).parts
        stage = inside[0] if len(inside) > 1 else path.stem
        with open(path, newline="") as handle:
            stages.setdefault(stage, []).extend(csv.DictReader(handle, delimiter="\t"))
    print(f"{'stage':<18} {'jobs':>4} {'peak GB':>8} {'wall s':>8} {'CPU s':>8}")
    for stage, rows in stages.items():
        print(
            f"{stage:<18} {len(rows):>4} {_peak(rows):>8.2f} {_sum(rows, 's'):>8.0f} "
            f"{_sum(rows, 'cpu_time'):>8.0f}"
        )
    rows = [row for group in stages.values() for row in group]
    largest = sorted((_number(row, "max_rss") for row in rows), reverse=True)[:2]
    print(
        f"{'all':<18} {len(rows):>4} {_peak(rows):>8.2f} {_sum(rows, 's'):>8.0f} "
        f"{_sum(rows, 'cpu_time'):>8.0f}"
    )
    print(f"Two jobs at a time: at most {sum(largest) / 1000:.2f} GB.")


def _number(row, column):
    # Jobs that are over before Snakemake looks have `-` or `NA`.
    try:
        return float(row[column])
    except ValueError:
        return 0.0


def _peak(rows):
    return max(_number(row, "max_rss") for row in rows) / 1000


def _sum(rows, column):
    return sum(_number(row, column) for row in rows)


main(sys.argv[1])
