"""What must hold between the parts of a study.

A check of `_checks` takes a Study and yields a sentence for each thing that is wrong. Others are
asked elsewhere, too, and raise UserError.
"""

import contextlib
import difflib
import json
import os
import re
from fractions import Fraction
from itertools import permutations, product
from pathlib import Path

from visae.backbones import geometry, sizes
from visae.backbones.catalogue import check_model
from visae.backbones.implementations import implementation
from visae.backbones.loaders import LOADERS
from visae.base.errors import UserError, refusal
from visae.evals import sections
from visae.evals.entry import SAES
from visae.evals.sections import settings_of
from visae.evals.shelf import EVALS, entry_name, reads
from visae.images.layouts import LAYOUTS, check_options, labels_of, shares_of
from visae.sae.specs import check_own_size, check_size
from visae.study import jobs, roles
from visae.study.storage import LEAN, storages


def check(study):
    """All checks, in the order of the flow; the first sentence is raised."""
    _raise_first(problems(study))


def problems(study):
    """A sentence for everything that is wrong, each once."""
    return dict.fromkeys(sentence for one in _checks() for sentence in one(study))


def _raise_first(sentences):
    for sentence in sentences:
        raise UserError(sentence)


def _checks():
    return (
        _held_out_images,
        _shapes,
        _resized,
        _layouts,
        _splits,
        _extractions,
        _generated,
        _evaluators,
        _token_orders,
        _ragged,
        _pretraining,
        _unique_saes,
        _control,
        _unscored,
        _tasks,
        _labels,
        _storages,
        _streams,
        _statistics,
        _protocols,
        _pages,
        _matches,
        _interventions,
    )


def _held_out_images(study):
    """Nothing is scored on the images that it was fitted on."""
    if study.evaluation == study.training:
        yield (
            f"config: evaluation and training are both {study.training.name}, so that SAEs "
            "would be scored on the images that they were trained on; name another split"
        )
    if study.evaluation.dataset in study.cross_domain:
        yield (
            f"config: metrics.cross_domain.datasets names '{study.evaluation.dataset}', which "
            "is the evaluation data set; take it out"
        )
    pairs = {
        f"metrics.cross_domain.datasets.{dataset}": pair
        for dataset, pair in study.cross_domain.items()
    }
    if study.segmentation:
        pairs["downstream.segmentation"] = study.segmentation
    for where, (train, test) in pairs.items():
        if train == test:
            yield (
                f"config: {where} has the split '{test.split}' for both train and test, so that "
                "probes would be scored on the images that they were fitted on; name another for "
                "one of them"
            )


def check_shapes(study):
    """UserError unless `_shapes` finds nothing wrong."""
    _raise_first(_shapes(study))


def _shapes(study):
    """Models, blocks and sizes, as far as they are known without measuring a backbone.

    One check, since a size is asked of models alone that exist.
    """
    return list(_models(study)) or _sizes(study)


def check_weights(study, name):
    """UserError unless the weights of a backbone lie there or are made by the study itself."""
    weights = study.weights(name)
    made_here = {study.weights(other) for other in study.pretrained()}
    if weights not in ("pretrained", "random", *made_here) and not os.path.exists(weights):
        raise UserError(
            f"config: backbones.{name}.weights is {weights!r}, which is neither pretrained, nor "
            "random, nor a file or folder that exists; correct the path"
        )


def _models(study):
    """Models and blocks exist, and other libraries' ways to compute them, as far as lists say."""
    for name, entry in study.backbones.items():
        read = [sweep.layers[name] for sweep in study.sweeps.values() if name in sweep.layers]
        chosen = (entry["loader"], entry["model"], entry.get("implementation"))
        last = max([entry["layer"], *read])
        where = _asking(study, name, last)
        yield from refusal(check_model, name, entry, last, where) or refusal(
            implementation, name, *chosen, entry["preprocessing"]
        )


def _resized(study):
    """No more is cut out of an image than it is resized to, where the config gives both."""
    for name, entry in study.backbones.items():
        resize, crop = entry["preprocessing"].get("resize"), entry["image_size"]
        if resize is None or crop is None:
            continue
        if any(cut > side for cut, side in zip(*map(sizes.pair, (crop, resize)), strict=True)):
            yield (
                f"config: backbones.{name}.preprocessing.resize is {resize}, which is less than "
                f"image_size, {crop}, that is cut out of it; raise resize"
            )


def _layouts(study):
    """What is said of a data set beside its root is known to its layout."""
    for name, entry in study.config["datasets"].items():
        where = f"config: datasets.{name}.options"
        yield from refusal(check_options, entry["layout"], entry["options"], where)
        shares = shares_of(entry)
        if shares and not LAYOUTS[entry["layout"]].whole:
            yield (
                f"config: datasets.{name} has splits that are shares of one folder, which the "
                f"layout {entry['layout']} has not; take `share` out, or set layout to imagefolder"
            )
            continue
        # On paper: 0.7 + 0.2 + 0.1 are 1.
        whole = sum(Fraction(str(share)) for share in (shares or {}).values())
        if shares and (len(shares) < len(entry["splits"]) or whole > 1):
            yield (
                f"config: datasets.{name}.splits: give each split a `share` of the one folder, "
                "such as 0.8 and 0.2, and no more than 1 together"
            )


def _splits(study):
    """Every split has files of its own, also where the disk does not tell `Val` from `val`."""
    for name, entry in study.config["datasets"].items():
        paths = study.paths.classes(name), study.paths.probe_split(name)
        seen, own = {}, {Path(path).stem for path in paths}
        for split in entry["splits"]:
            other = seen.setdefault(split.lower(), split)
            if split.lower() in own:
                yield (
                    f"config: datasets.{name}.splits has the name '{split}', which a file about "
                    "the whole data set has; give the split another, with its folder or list"
                )
            elif other != split:
                yield (
                    f"config: datasets.{name}.splits has the name '{split}', which differs from "
                    f"'{other}' in capital letters alone, which some disks do not tell apart; "
                    "rename one, with its folder or list"
                )


def _extractions(study):
    """No extraction is called as one of several blocks of other splits."""
    batches = dict(jobs.extraction(study))
    for name, other in permutations(batches, 2):
        if re.fullmatch(re.escape(other) + jobs.OF_BLOCKS, name):
            yield (
                f"config: datasets.{batches[name][0].dataset} has jobs called {name}, as jobs of "
                f"several blocks of {other} are; rename the data set, or its splits"
            )


def _generated(study):
    """Data sets that are generated are this study's own."""
    folder = study.paths.data()
    for name, entry in study.config["datasets"].items():
        results, other, *below = (*Path(os.path.relpath(entry["root"])).parts, "", "", "", "")
        elsewhere = results == "results" and other != study.name and below[0] == "data"
        if entry["generated"] and elsewhere:
            yield (
                f"config: datasets.{name}.root is {entry['root']!r}, of the study '{other}', but "
                f"what the study '{study.name}' generates lies below {folder}: write "
                f"{folder}/{below[1]}, and move other paths below results/ along"
            )


def _evaluators(study):
    """M5 is scored in the space of another backbone."""
    scored = {
        name: sweep.name
        for sweep in study.sweeps.values()
        if reads(sweep.metrics, SAES, "embeddings")
        for name in sweep.backbones
    }
    for name, entry in study.backbones.items():
        evaluator = entry["evaluator"]
        if evaluator is None:
            if name in scored:
                yield (
                    f"config: backbones.{name} has no evaluator, in whose space M5 is scored; name "
                    f"another backbone, or list the metrics of sweeps.{scored[name]} without it"
                )
            continue
        if evaluator == name:
            yield (
                f"config: backbones.{name}.evaluator is '{name}' itself, which would score M5 "
                "in the space that the SAE was trained on; name another backbone"
            )
        if evaluator not in study.backbones:
            yield (
                f"config: backbones.{name}.evaluator is '{evaluator}', which is not in "
                f"backbones ({', '.join(study.backbones)})"
            )


def _token_orders(study):
    """Not every library's forward pass draws an order."""
    for name, entry in study.backbones.items():
        order, loader = entry["token_order"], entry["loader"]
        if order not in LOADERS[loader].token_orders:
            able = [other for other in LOADERS if order in LOADERS[other].token_orders]
            yield (
                f"config: backbones.{name}.token_order is '{order}', which the loader '{loader}' "
                f"cannot give; set loader to {' or '.join(able)}, with that library's name of the "
                f"model, or token_order to {' or '.join(LOADERS[loader].token_orders)}"
            )
            continue
        kind = _model_type(entry["model"]) if order == "forward" else None
        if kind is not None and kind not in LOADERS[loader].shuffling:
            yield (
                f"config: backbones.{name}.token_order is 'forward', but the forward pass of "
                f"'{entry['model']}' leaves patches in raster order; set token_order to raster or "
                f"permuted, or name a model of type {' or '.join(LOADERS[loader].shuffling)}"
            )


def _model_type(model):
    """The type of a model that is named by it, or lies in a folder; None of a hub id."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return json.loads(Path(model, "config.json").read_text("utf-8")).get("model_type")
    return None if "/" in model else model


def _ragged(study):
    """Shards of training are made of whole chunks."""
    images = study.config["training"]["ragged_images"]
    chunk = study.config["extraction"]["chunk_images"]
    if images is not None and images % chunk:
        yield (
            f"config: training.ragged_images is {images}, which is no multiple of "
            f"extraction.chunk_images, {chunk}; change one of them"
        )


def _pretraining(study):
    pretrained = study.pretrained()
    for name in pretrained:
        weights = study.backbones[name]["weights"]
        if weights != "random":
            yield (
                f"config: backbones.{name} has both pretraining and weights '{weights}'; set "
                "weights to random, where pretraining starts, or take pretraining out"
            )
    for split in (study.training, study.evaluation):
        if pretrained and not split.labelled:
            yield (
                f"config: backbones.{pretrained[0]} has pretraining, which reads classes, in "
                f"training or to check what was learned, but {split.name} has no labels: name "
                "another data set, or weights that are trained"
            )


def _unique_saes(study):
    """The folder of an SAE does not name its sweep. Two sweeps are told of once.

    Sparsities of one sweep may differ in digits that names leave out.
    """
    seen, told = {}, set()
    for sae in study.saes():
        key = sae.place, sae.name
        other = seen.get(key)
        seen.setdefault(key, sae.sweep)
        if other and (other, sae.sweep) not in told:
            told.add((other, sae.sweep))
            both = f"sweeps.{sae.sweep} has, as sweeps.{other}, an SAE"
            cure = (
                "take it out of one of them, or give one of them a `variant`, which ends its SAEs' "
                "names"
            )
            if other == sae.sweep:
                both, cure = f"sweeps.{other} has more than one SAE", "leave one in its grid"
            yield f"config: {both} {sae.name} on {sae.backbone} at layer {sae.layer}; {cure}"


def _sizes(study):
    """Backbones whose geometry is known here have the blocks, and SAEs the features, asked for."""
    known = _geometries(study)
    yield from sizes_in(study, known)
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            if known[backbone]:
                yield from refusal(check_block, study, backbone, layer, known[backbone])


def _geometries(study):
    """Backbone → Geometry, or None where it is unknown."""
    kept = geometry.read_geometries(study.paths.plan("geometry.json"))
    return geometry.known(study.backbones, geometry.read_geometries(geometry.SHIPPED) | kept)


def check_block(study, backbone, layer, measured):
    """UserError unless a backbone of the Geometry `measured` has the block `layer`."""
    depth = len(measured.flops)
    if layer >= depth:
        raise UserError(
            f"config: {_asking(study, backbone, layer)} is {layer}, but {backbone} has {depth} "
            f"blocks, numbered 0 to {depth - 1}; take one of these"
        )


def _asking(study, backbone, layer):
    """The key of the config that asks for a block of a backbone."""
    own = f"backbones.{backbone}.layer"
    if study.backbones[backbone]["layer"] == layer:
        return own
    asking = (s.name for s in study.sweeps.values() if s.layers.get(backbone) == layer)
    return next((f"sweeps.{name}.layer" for name in asking), own)


def sizes_in(study, geometries):
    """A sentence for everything that backbones and SAEs are too small for.

    SAEs have as many features as are to be active, as their training needs and as are named; of a
    sweep the first that has not is told. Images have the patches that are edited. geometries:
    backbone → Geometry, or None where it is unknown.
    """
    for sweep in study.sweeps.values():
        yield from next(filter(None, _misfits(study, sweep, geometries)), ())
    yield from _named_features(study, geometries)
    yield from _edited_patches(study, geometries)


def _misfits(study, sweep, geometries):
    own, where = study.own_settings(sweep.name), f"config: sweeps.{sweep.name}"
    for sae in study.saes(sweep):
        if measured := geometries[sae.backbone]:
            on = f"on {sae.backbone}: "
            width = sweep.widths.get(sae.backbone, {}).get(sae.spec.name, measured.width)
            if width != measured.width:
                yield [
                    f"{where}.saes.{sae.spec.name} is for activations of width {width}, but those "
                    f"of {sae.backbone} have width {measured.width}: name the backbone that the "
                    "SAE was trained on"
                ]
            yield refusal(check_size, sae.spec, measured.width, f"{where}.grid {on}")
            if not sweep.imported:
                at = f"{where}.training {on}"
                yield refusal(check_own_size, sae.spec, own, measured.width, at)


def _named_features(study, geometries):
    """SAEs have the features that are named, numbered from 0."""
    for section in ("features", "interventions"):
        named = (study.config[section] or {}).get("named", {})
        for sae in study.saes():
            measured, asked = geometries[sae.backbone], named.get(sae.full_name)
            features = sae.spec.features(measured.width) if measured else None
            if features and asked and max(asked) >= features:
                yield (
                    f"config: {section}.named.{sae.full_name} has the feature {max(asked)}, but "
                    f"that SAE has {features} features, numbered 0 to {features - 1}; name one of "
                    "these"
                )


def _edited_patches(study, geometries):
    """Images of each backbone whose features are edited have the patches that are named."""
    section = study.config["interventions"]
    if section is None or _unknown_saes(study, "interventions"):
        return
    for name in dict.fromkeys(sae.backbone for sae in roles.edited(study)):
        measured = geometries[name]
        grid = geometry.grid(study.backbones[name], measured) if measured else None
        for row, column in section["patches"] or ():
            if grid and not (0 <= row < grid[0] and 0 <= column < grid[1]):
                yield (
                    f"config: interventions.patches has [{row}, {column}], but images of {name} "
                    f"have {grid[0]} × {grid[1]} patches, rows 0 to {grid[0] - 1} and columns 0 to "
                    f"{grid[1] - 1}; name one of these"
                )
                return


def _control(study):
    """The control is read against the main sweep's SAE of the same name."""
    main, control = roles.main(study), roles.control(study)
    if control is None or control == main:
        return
    paired = {permuted for _, permuted in roles.control_arms(study)}
    for backbone in control.backbones:
        if backbone not in paired:
            yield (
                f"config: sweeps.{control.name} permutes the patches of {backbone}, of which the "
                f"main sweep '{main.name}' has no backbone in raster order; give "
                f"backbones.{backbone} the weights ({study.weights(backbone)}), loader, model, "
                "image_size, preprocessing, options, storage and implementation of one of that "
                "sweep's (and, for random weights, the seed)"
            )
    name = control.sae_names()[0]
    if name not in main.sae_names():
        yield (
            f"config: sweeps.{control.name} begins with {name}, which the main sweep "
            f"'{main.name}' lacks, so that its permuted patches have nothing to be "
            f"compared with; take one of that sweep's grid ({', '.join(main.sae_names())})"
        )


def _unscored(study):
    """A metric that the config asks for is computed, although sweeps may have lists without it.

    The paper's metrics are in every config. Of the folders of extensions some may be chosen.
    """
    scored = {m for sweep in study.sweeps.values() for m in (*sweep.metrics, *sweep.absent)}
    chosen = any(map(EVALS.is_extension, scored))
    for metric in sections.asked(study.config):
        if metric in scored or EVALS[metric].in_paper or (EVALS.is_extension(metric) and chosen):
            continue
        yield (
            f"config: no sweep is scored on the metric {metric}, since each has a list of metrics "
            f"without it: add it to sweeps.{next(iter(study.sweeps))}.metrics"
        )


def _tasks(study):
    """Tasks may read metrics of the same SAEs: classification reads what M6 reconstructs."""
    for task, sweep in product(map(entry_name, study.tasks()), study.downstream_sweeps):
        for metric in EVALS[task].of[SAES].after:
            if metric not in sweep.metrics:
                yield (
                    f"config: downstream.{task} needs the metric {metric} of the sweep "
                    f"'{sweep.name}': add it to sweeps.{sweep.name}.metrics, or set it to false"
                )


def _labels(study):
    """Labels are read where there can be some."""
    for name, entry in study.config["datasets"].items():
        asked = [labels_of(entry, split) != "none" for split in entry["splits"]]
        if any(asked) and not LAYOUTS[entry["layout"]].labels:
            yield (
                f"config: datasets.{name}.labels asks for labels, which the layout "
                f"{entry['layout']} has not; set it to none"
            )


def _streams(study):
    """Only what is encoded once may do without a cache; its number of images must be known."""
    cached = {"training": study.training, "evaluation": study.evaluation}
    if study.segmentation:
        cached["downstream.segmentation"] = study.segmentation[0]
    told = set()  # of a data set one thing is to be set
    for where, split in cached.items():
        if not split.kept and split.dataset not in told:
            told.add(split.dataset)
            lean = ", or take it out and set storage to lean, with which training reads images"
            cure = f"set it to true{lean if where == 'training' else ''}"
            yield (
                f"config: datasets.{split.dataset}.cache is false, but {where} reads this data "
                f"set's activations from a cache; {cure}"
            )
    if not all(map(study.training.cached_in, storages(study))):
        sizes = study.config["extraction"]
        if sizes["chunk_images"] % sizes["batch_size"]:
            yield (
                f"config: extraction.chunk_images is {sizes['chunk_images']}, which is not a whole "
                f"number of batches of {sizes['batch_size']} images; with {_lean(study)} lean "
                "training reads chunks that are computed batch by batch, so change one of them"
            )
    read = [*study.encoded_splits(), study.training]
    streamed = [s.dataset for s in read if not all(map(s.cached_in, storages(study)))]
    if streamed and study.config["on_bad_image"] == "skip":
        said = study.config["datasets"][streamed[0]]["cache"] is not None
        where = f"datasets.{streamed[0]}.cache is false" if said else f"{_lean(study)} is lean"
        yield (
            f"config: {where}, which goes only with on_bad_image: fail, because the number of "
            "images must be known in advance; change one of them"
        )


def _lean(study):
    """The key of the config by which blocks keep few activations."""
    if study.config["storage"] == LEAN:
        return "storage"
    return next(f"sweeps.{s.name}.storage" for s in study.sweeps.values() if s.storage == LEAN)


def _storages(study):
    """Activations of a block are kept for all sweeps that read it, or for none.

    Two sweeps are told of once.
    """
    first, told, views = {}, set(), roles.views(study)
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            raster = views.get(backbone, backbone)
            other = first.setdefault((raster, layer), sweep)
            if other.storage != sweep.storage and (other.name, sweep.name) not in told:
                told.add((other.name, sweep.name))
                of = f"{raster}, of which {backbone} is permuted" if raster != backbone else raster
                yield (
                    f"config: sweeps.{sweep.name}.storage is {sweep.storage}, but "
                    f"sweeps.{other.name}, which reads block {layer} of {of} as well, has "
                    f"{other.storage}; give both the same `storage`"
                )


def _statistics(study):
    """What is encoded is normalised by one pair of statistics; the training cache has its own."""
    if study.statistics != study.training and study.training in study.encoded_splits():
        yield (
            f"config: evaluation.statistics is own, but SAEs encode {study.training.name} too, by "
            "whose statistics they are trained; take it out of metrics.cross_domain.datasets, or "
            "set evaluation.statistics to training"
        )


def _pages(study):
    """SAEs whose features are to be shown are there, and features that are named are shown."""
    section = study.config["features"]
    if section is None:
        return
    if unknown := _unknown_saes(study, "features"):
        yield from unknown
        return
    shown = [sae.full_name for sae in roles.on_pages(study)]
    for name in section["named"]:
        if name not in shown:
            yield (
                f"config: features.named has features of {name}, which is not one of the SAEs with "
                f"pages ({', '.join(shown)}); add it to features.saes"
            )


def _matches(study):
    """SAEs whose features are to be matched are there, two by two, each pair once."""
    seen, section = set(), study.config["matches"] or {}
    if section.get("patch_images") == 1:
        yield (
            "config: matches.patch_images is 1, and a control shuffles two images or more; set it "
            "to 2 at least, or to 0 to compare no patches"
        )
    for pair in section.get("pairs") or ():
        for name in dict.fromkeys(pair):
            yield from _unknown_sae(study, name, "matches.pairs")
        if len({*pair}) == 1:
            yield (
                f"config: matches.pairs pairs {pair[0]} with itself, so that each of its features "
                "would match itself; name two SAEs"
            )
        if frozenset(pair) in seen:
            yield (f"config: matches.pairs has {pair[0]} and {pair[1]} twice; take one of them out")
        seen.add(frozenset(pair))


def _interventions(study):
    """SAEs whose features are edited are there, at blocks that leave something for their heads."""
    section = study.config["interventions"]
    if section is None:
        return
    if unknown := _unknown_saes(study, "interventions"):
        yield from unknown
        return
    edited = [sae.full_name for sae in roles.edited(study)]
    for name in section["named"]:
        if name not in edited:
            yield (
                f"config: interventions.named has features of {name}, which is not one of the SAEs "
                f"that are edited ({', '.join(edited) or 'none'}); add it to interventions.saes"
            )
    known = roles.edited_tasks(study, whole=True)
    for dataset in section["datasets"] or ():
        if dataset not in known:
            yield (
                f"config: interventions.datasets names '{dataset}', which is none of the data sets "
                f"with probes or masks ({', '.join(known) or 'there are none'})"
            )
    if "class_token" not in (section["heads"] or ()):
        return
    geometries = _geometries(study)
    for sae in roles.edited(study):
        measured = geometries[sae.backbone]
        if measured and sae.layer == len(measured.flops) - 1:
            yield (
                f"config: interventions.heads has class_token, but {sae.full_name} reads "
                f"the last block of {sae.backbone}: nothing is left to run that would carry an "
                "edit of patches to the class token; take an SAE of an earlier block, or "
                "pooled_patches"
            )


def _unknown_saes(study, section):
    """A sentence for each SAE that a section of the config names and the study has not."""
    return [
        sentence
        for key in ("saes", "named")
        for name in study.config[section][key] or ()
        for sentence in _unknown_sae(study, name, f"{section}.{key}")
    ]


def _unknown_sae(study, name, where):
    """where: the key that names it."""
    known = [sae.full_name for sae in study.saes()]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1) or known[:1]
        yield (
            f"config: {where} names the SAE '{name}', which the study has not; "
            f"write {{backbone}}/layer{{layer}}/{{sae}}, such as {close[0]}"
        )


def _protocols(study):
    """Table 2 asks metrics of other people's for their protocol, which may fail."""
    for metric in filter(EVALS.is_extension, study.metrics()):
        try:
            EVALS[metric].protocol(study.config, settings_of(metric, study.config))
        except Exception as error:
            yield (
                f"config: the protocol of the extension '{metric}' fails, "
                f"{type(error).__name__}: {error}; correct its entry.py"
            )
