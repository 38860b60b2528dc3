"""From patches of an image to features, on the command line.

    python -m visae.interface.patches results/demo clip/layer11/batchtopk_16x_k192 cat.jpg 3,4 3,5

prints the features whose codes are largest, added up over the patches (row,column, from 0), and the
images of the evaluation split on which each fires most.
"""

import argparse
import sys

from visae.base.errors import UserError
from visae.interface.study import OpenStudy

EXEMPLARS = 3


def main(arguments=None):
    """Print the answer; 1 with a sentence on stderr where there is none."""
    parsed = _parser().parse_args(arguments)
    try:
        sae = OpenStudy(parsed.study).sae(parsed.sae)
        found = sae.features_of_patches(parsed.image, parsed.patches, parsed.number)
        print("feature  sum     patches  images on which it fires most (largest code)")
        for feature, total, patches in found.to_numpy(dtype=object):
            exemplars = sae.exemplars(feature, EXEMPLARS)
            images = "; ".join(f"{item.path} ({item.code:.3g})" for item in exemplars)
            print(f"{feature:<7}  {total:<6.4g}  {patches:<7}  {images or 'none'}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m visae.interface.patches",
        description="From patches of an image to features and the images on which these fire most",
    )
    parser.add_argument("study", help="folder of its results")
    parser.add_argument("sae", help="{backbone}/layer{layer}/{sae}")
    parser.add_argument("image", help="an image file")
    parser.add_argument("patches", nargs="+", type=_patch, help="row,column in the grid, from 0")
    parser.add_argument("--number", type=int, default=10, help="features that are named (10)")
    return parser


def _patch(text):
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no patch: write row,column, such as 3,4"
        ) from None
    return row, column


if __name__ == "__main__":
    sys.exit(main())
