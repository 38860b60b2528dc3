#!/usr/bin/env bash
# Versions: statsmodels 0.15.0, pandas 3.1.1, numpy 2.4.6, scipy 1.17.1; Python 3.11 or newer.
#
# Data: a two-way layout without interaction that falls into two parts. Models a and b were measured
# at settings 1 and 2, models c and d at settings 3 and 4. Each sum of squares can be had exactly, as
# the fall of the residual sum when the factor joins the other one.
#
# Guess: anova_lm(typ=2) gives that fall, since an additive model needs no balance.
# Seen: it gives 18.31 on 3 degrees of freedom for the models, where the fall is 1.7425 on 2, and
#   21.31 on 3 for the settings, where it is 2.3125 on 2. Both p values drop below 0.05 (0.041 and
#   0.035); that of the models is 0.23. Residual sum and its degrees of freedom are right. The same
#   function, given the two nested models, gives 1.7425 on 2 and p = 0.227.
# The fit warns that the design is rank-deficient; anova_lm itself says nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 pandas==3.1.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy
import pandas
import statsmodels
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

print("statsmodels", statsmodels.__version__)
table = pandas.DataFrame(
    {
        "model": list("aabbccdd"),
        "setting": list("12123434"),
        "y": [1.0, 2.0, 2.5, 2.9, 4.0, 6.0, 5.2, 5.9],
    }
)


def least_squares(*factors):
    """Residual sum of squares and rank, from indicator columns."""
    columns = [pandas.get_dummies(table[factor]).to_numpy(float) for factor in factors]
    design = numpy.hstack([numpy.ones((len(table), 1)), *columns])
    solution = numpy.linalg.lstsq(design, table.y, rcond=None)[0]
    return ((table.y - design @ solution) ** 2).sum(), numpy.linalg.matrix_rank(design)


both, rank = least_squares("model", "setting")
right = {}
for factor, other in (("model", "setting"), ("setting", "model")):
    alone, smaller = least_squares(other)
    right[factor] = alone - both, rank - smaller

fit = ols("y ~ C(model) + C(setting)", table).fit()
with warnings.catch_warnings(record=True) as raised:
    warnings.simplefilter("always")
    given = anova_lm(fit, typ=2)
for factor, (value, freedom) in right.items():
    row = given.loc[f"C({factor})"]
    print(
        f"{factor}: typ=2 says {row.sum_sq:.4f} on {row.df:g}, p {row['PR(>F)']:.3f};"
        f" least squares says {value:.4f} on {freedom}"
    )
print("warnings of anova_lm:", [str(warning.message) for warning in raised])
nested = anova_lm(ols("y ~ C(setting)", table).fit(), fit).iloc[1]
print(f"nested models: {nested.ss_diff:.4f} on {nested.df_diff:g}, p {nested['Pr(>F)']:.3f}")

assert numpy.isclose(given.loc["C(model)"].sum_sq, 18.31) and given.loc["C(model)"].df == 3
assert not raised
assert numpy.isclose(right["model"][0], 1.7425) and right["model"][1] == 2
assert numpy.isclose(given.loc["C(setting)"].sum_sq, 21.3133, atol=1e-3)
assert numpy.isclose(right["setting"][0], 2.3125)
assert numpy.isclose(nested.ss_diff, 1.7425) and nested.df_diff == 2
print("as described")
PYTHON
