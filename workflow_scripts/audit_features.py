"""Look up two features of one SAE per backbone: their top images, and where they are active."""

from pathlib import Path

from visae.activations.opening import open_cache
from visae.audit.choice import audit_features
from visae.audit.examples import write_examples
from visae.audit.patch_maps import feature_examples
from visae.audit.values import values_of_features
from visae.base import paths
from visae.base.job import run
from visae.encoding.reductions import SaeReductions
from visae.images.index import read_index
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.folder import WEIGHTS


def body(snakemake):
    files, root = snakemake.input, Path(snakemake.params.root)
    index = read_index(files.index, files.classes)
    image_paths = {record.image_id: root / record.path for record in index.images}
    results, _ = paths.of_job(snakemake)
    name, split = snakemake.params.sae, snakemake.params.split
    for place in snakemake.params.places:
        folder = Path(results.sae(name, place=place)).parent
        sae = load_sae(folder)
        arrays = results.metric(name, "localization", "npz", place)
        with (
            open_cache(results.cache(split, place)) as cache,
            SaeReductions(results.reductions(name, split, place)) as reductions,
        ):
            inputs = (arrays, cache.path, reductions.path, folder / WEIGHTS, files.index)
            check_fits(sae, cache.info, folder)
            moran_f = values_of_features("localization", arrays, reductions.features)
            examples = feature_examples(
                audit_features(moran_f), moran_f, reductions, cache, sae, image_paths
            )
            about = {
                "backbone": cache.info.backbone,
                "layer": cache.info.layer,
                "sae": folder.name,
                "split": f"{cache.info.dataset}/{cache.info.split}",
                "sae_fingerprint": sae.fingerprint,
                "cache_fingerprint": cache.fingerprint,
            }
        write_examples(results.examples(name, place), examples, about, inputs)


run(body, snakemake)  # noqa: F821
