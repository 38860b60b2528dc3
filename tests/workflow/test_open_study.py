"""A finished study from Python: what is computed anew equals what the workflow left on disk."""

import json
import os
import shutil

import numpy as np
import pandas
import pytest
import torch
import yaml
from page_fixtures import PAGES, blocks_of, of_small_study
from PIL import Image
from study_fixtures import ROOT
from workflow_fixtures import study_folder, tiny_config

import visae
from visae.activations.cache import ActivationCache
from visae.audit.examples import read_examples
from visae.base.errors import UserError
from visae.interface.patches import main as command

SAE = "dino_small/layer3/batchtopk_2x_k8"


@pytest.fixture(scope="module")
def study(finished):
    return visae.open_study(study_folder(finished))


@pytest.fixture(scope="module")
def pictures(study):
    """(paths of the first images of the evaluation split, their number)."""
    split = study.splits[0]
    return [study.root(split) / record.path for record in study.index(split).images[:5]]


def test_study_says_what_it_holds(study):
    assert yaml.safe_load((study.folder / "config.yaml").read_text()) == tiny_config()
    assert study.name == "tiny"
    assert study.backbones == ["dino_small", "deit_small"]
    assert study.splits[0] == "photographs/val"
    assert len(study.saes) == 4
    assert SAE in study.saes


def test_tables_are_data_frames(study):
    written = pandas.read_csv(study.folder / "tables/scores.csv")
    scores = study.scores()
    assert list(scores.columns) == list(written.columns)
    assert len(scores) == len(written)
    headline = scores[(scores.reading == "headline") & (scores.metric == "fvu")]
    assert headline.value.tolist() == written[
        (written.reading == "headline") & (written.metric == "fvu")
    ].value.tolist()  # fmt: skip
    assert set(study.downstream().task) >= {"retrieval"}


def test_codes_of_files_are_those_of_the_study(study, pictures):
    sae = study.sae(SAE)
    codes_npf = sae.encode(pictures)
    assert codes_npf.shape == (5, 64, sae.features)
    with ActivationCache(study.paths.cache("photographs/val", sae.place)) as cache:
        cached_npd = torch.from_numpy(cache.read_chunk(0)[:5])
    torch.testing.assert_close(sae.activations(pictures), cached_npd.float(), rtol=2e-3, atol=2e-3)
    pooled_nf = sae.pooled_codes()[:5].toarray()
    np.testing.assert_allclose(codes_npf.amax(dim=1), pooled_nf, rtol=5e-3, atol=5e-3)
    tokens = sae.patch_codes()[: 5 * 64].toarray().reshape(5, 64, -1)
    np.testing.assert_allclose(codes_npf, tokens, rtol=5e-3, atol=5e-3)


def test_images_arrays_and_files_give_the_same_codes(study, pictures):
    sae = study.sae(SAE)
    image = Image.open(pictures[0]).convert("RGB")
    codes = sae.encode(pictures[0])
    for given in (image, np.asarray(image), [image]):
        torch.testing.assert_close(sae.encode(given), codes, rtol=0, atol=0)


def test_reconstruction_is_decoded_codes(study, pictures):
    sae = study.sae(SAE)
    model, x_npd = sae.model, sae.activations(pictures)
    codes = sae.encode(pictures)
    expected = codes @ model.decoder_weight * model.activation_std + model.activation_mean
    torch.testing.assert_close(sae.reconstruct(pictures), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape == x_npd.shape


def test_top_features_are_the_largest_codes(study, pictures):
    sae = study.sae(SAE)
    codes_pf = sae.encode(pictures[1])[0].numpy()
    top = sae.top_features(pictures[1], 4)
    assert top.code.tolist() == sorted(codes_pf.max(axis=0), reverse=True)[:4]
    for row in top.itertuples():
        assert codes_pf[:, row.feature].max() == np.float32(row.code)
        assert (codes_pf[:, row.feature] > 0).sum() == row.patches


def test_exemplars_are_those_of_the_audit(study):
    """The audit's file has two features' images, found by the workflow."""
    audited = sorted((study.folder / "examples").rglob("*.h5"))
    about, examples = read_examples(audited[0])
    sae = study.sae(f"{about['backbone']}/layer{about['layer']}/{about['sae']}")
    for example in examples.values():
        found = sae.exemplars(example["feature"], len(example["image_ids"]))
        assert [item.image_id for item in found] == list(example["image_ids"])
        np.testing.assert_array_equal(np.stack([item.map for item in found]), example["maps"])
        for item in found:
            assert item.path.exists()
            assert item.code == pytest.approx(item.map.max(), rel=1e-5)


def test_features_of_patches_are_those_of_their_summed_codes(study, pictures, capsys):
    sae, patches = study.sae(SAE), [(0, 0), (2, 5), (7, 7)]
    codes_pf = sae.encode(pictures[0])[0, [0, 21, 63]].numpy()
    total_f = codes_pf.sum(axis=0)
    found = sae.features_of_patches(pictures[0], patches, 5)
    assert found.feature.tolist() == np.argsort(-total_f, kind="stable")[:5].tolist()
    np.testing.assert_allclose(found["sum"], total_f[found.feature], rtol=1e-5)
    assert found.patches.tolist() == (codes_pf[:, found.feature] > 0).sum(axis=0).tolist()
    asked = [str(study.folder), SAE, str(pictures[0]), "0,0", "2,5", "7,7", "--number", "5"]
    assert command(asked) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == found.feature.tolist()
    for line, feature in zip(lines, found.feature, strict=True):
        assert str(sae.exemplars(feature, 1)[0].path) in line
    for wrong, sentence in (("8,0", "outside the 8 × 8 patches"), ("0,-1", "outside the 8 × 8")):
        assert command([*asked[:3], "0,0", wrong]) == 1
        assert sentence in capsys.readouterr().err
    assert command([*asked[:2], "none.png", "0,0"]) == 1
    assert "none.png" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command([*asked[:3], "middle"])
    assert "'middle' is no patch: write row,column" in capsys.readouterr().err


def test_pages_of_matches_say_what_python_does(study):
    folders = sorted((study.folder / "matches").iterdir())
    assert len(folders) == 2
    for folder in folders:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        found = study.sae(card["left"]).matches(study.sae(card["right"]), seed=42)
        written = pandas.read_csv(folder / "matches.csv")
        written = written[written.images_match]
        above = found[found.above]
        assert sorted(zip(above.feature, above.match, strict=True)) == sorted(
            zip(written.left, written.right, strict=True)
        )
        assert len(found) == card["kinds"]["images"]["mutual"]
        assert found.correlation.is_monotonic_decreasing
    for same in (study, visae.open_study(os.path.relpath(study.folder))):
        with pytest.raises(UserError, match=f"{SAE} is compared with itself"):
            study.sae(SAE).matches(same.sae(SAE))


def test_pages_say_of_features_what_python_does(study):
    """The workflow's pages beside the same numbers, found from Python."""
    pages = sorted((study.folder / "features").rglob("features.csv"))
    assert len(pages) == 2
    for path in pages:
        sae = study.sae("/".join(path.parts[-4:-1]))
        table, pooled = pandas.read_csv(path), sae.pooled_codes().toarray().astype(float)
        assert table.feature.tolist() == np.flatnonzero(pooled.max(axis=0)).tolist()
        assert table.images.tolist() == (pooled > 0).sum(axis=0)[table.feature].tolist()
        fires = (sae.patch_codes() != 0).mean(axis=0)
        np.testing.assert_allclose(table.frequency, fires[table.feature], rtol=1e-4)
        assert (path.parent / "patches.html").exists()
        text = (path.parent / "examples.js").read_text("utf-8").partition(" = ")[2]
        for feature, shown in json.loads(text.removesuffix(";\n"))["features"].items():
            own = [item.code for item in sae.exemplars(int(feature), len(shown["bands"]["top"]))]
            assert [code for _, code, _ in shown["bands"]["top"]] == pytest.approx(own, rel=2e-3)


def test_an_image_of_the_split_is_most_similar_to_itself(study, pictures):
    sae = study.sae(SAE)
    found = sae.similar_images(pictures[2], number=len(study.index(study.splits[0]).images))
    assert found.path[0] == pictures[2]
    pooled = sae.pooled_codes().toarray().astype(float)
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    own = [r.path for r in study.index(study.splits[0]).images].index(
        str(pictures[2].relative_to(study.root(study.splits[0])))
    )
    assert np.allclose(found.cosine, np.sort(unit @ unit[own])[::-1], atol=2e-3)


def test_nearest_feature_of_itself_is_itself(study):
    sae = study.sae(SAE)
    other = study.sae("dino_small/layer3/batchtopk_4x_k8")
    own = sae.nearest(sae, [3, 0])
    assert own.nearest.tolist() == [3, 0]
    assert own.cosine.tolist() == pytest.approx([1, 1], abs=1e-5)
    far = sae.nearest(other)
    row = far.iloc[7]
    a, b = sae.model.decoder_weight[7], other.model.decoder_weight
    cosine = torch.nn.functional.cosine_similarity(a[None], b)
    assert int(row.nearest) == int(cosine.argmax())


def test_mistakes_are_told_in_one_sentence(study, tmp_path):
    sae = study.sae(SAE)
    deit = study.sae(SAE.replace("dino", "deit"))
    for wrong, sentence in (
        (lambda: visae.open_study(tmp_path), "holds no study"),
        (lambda: study.sae("dino_small/layer3/batchtopk_9x_k8"), "has no trained SAE"),
        (lambda: sae.exemplars(10**6), "numbered 0 to"),
        (lambda: sae.exemplars(-1), "numbered 0 to"),
        (lambda: sae.pooled_codes("photographs/test"), "choose one of photographs/val"),
        (lambda: sae.encode(np.zeros((8, 8), np.float32)), "give uint8"),
        (lambda: sae.encode(tmp_path / "none.png"), "none.png"),
        (lambda: sae.nearest(deit), "different activations"),
    ):
        with pytest.raises(UserError, match=sentence):
            wrong()


def pages():
    """(page, its Python) of all that open a study."""
    for path in PAGES:
        blocks = [text for language, text in blocks_of(path) if language == "python"]
        if "visae.open_study" in "".join(blocks):
            yield path.relative_to(ROOT).as_posix(), "\n".join(blocks)


@pytest.mark.parametrize(("page", "code"), pages())
def test_what_pages_show_runs(page, code, study, pictures, tmp_path, monkeypatch, capsys):
    """Their code is that of the demo; the tiny study has other SAEs."""
    (tmp_path / "results").symlink_to(study.folder.parent)
    shutil.copy(pictures[0], tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(of_small_study(code), page, "exec"), {})
    assert capsys.readouterr().out


def test_pages_that_open_a_study_are_found():
    found = {page for page, _ in pages()}
    assert found >= {"README.md", "docs/first_look.md", "docs/python.md", "docs/matches.md"}
