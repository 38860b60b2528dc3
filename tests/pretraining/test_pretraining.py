"""Pretraining of tiny backbones on planted classes, and its losses against slow references."""

import math

import numpy as np
import pytest
import torch
from backbone_fixtures import CLIP_SMALL, HF_MLP, TIMM_SMALL
from PIL import Image

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.checks import check_raster_order
from visae.backbones.weights import save_weights
from visae.base.errors import UserError
from visae.images.index import ClassRecord, ImageRecord, build_index
from visae.pretraining import sanity
from visae.pretraining.captions import PADDING, TextEncoder, caption, tokenize
from visae.pretraining.contrast import same
from visae.pretraining.decoded import DecodedSplit, decode
from visae.pretraining.paradigms import PARADIGMS
from visae.pretraining.paradigms.clip.objective import softmax_contrast
from visae.pretraining.paradigms.deit.objective import hard_distillation
from visae.pretraining.paradigms.dino.objective import (
    STUDENT_TEMPERATURE,
    TEACHER_MEMORY,
    TEACHER_TEMPERATURE,
    Dino,
    koleo,
    self_distillation,
    sharpened,
)
from visae.pretraining.paradigms.mae.objective import Mae, sine_positions
from visae.pretraining.paradigms.siglip.objective import sigmoid_contrast
from visae.pretraining.pretrain import pretrain
from visae.pretraining.towers import embedding_width, last_tokens, make_trainable, only_patches
from visae.pretraining.training import PretrainingSettings, data_order, fit, schedule
from visae.pretraining.views import network_input, random_views

SIDE = 32
TIMM = TIMM_SMALL | {"depth": 2}
CLIP = CLIP_SMALL | {"vision_cfg": CLIP_SMALL["vision_cfg"] | {"layers": 2}}
HUGGING_FACE = HF_MLP | {"num_hidden_layers": 2}
MODELS = {
    "dino": ("timm", "vit_tiny_patch16_224", TIMM),
    "mae": ("transformers", "vit_mae", HUGGING_FACE),
    "clip": ("open_clip", "ViT-B-16-quickgelu:openai", CLIP),
    "siglip": ("transformers", "siglip_vision_model", HUGGING_FACE),
    "deit": ("timm", "vit_tiny_patch16_224", TIMM),
}
STEPS = {"dino": 24, "mae": 40, "clip": 30, "siglip": 30, "deit": 30}
CLASSES = tuple(
    ClassRecord(i, f"{parent}_{part}", parent)
    for i, (parent, part) in enumerate(
        (parent, part) for parent in ("red", "green", "blue") for part in ("top", "bottom")
    )
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_backbone(objective, **changes):
    loader, model, options = MODELS[objective]
    values = {"weights": "random", "image_size": SIDE, "seed": 3, "options": options}
    return build_backbone(BackboneSpec(objective, loader, model, **values | changes))


def planted_split(images=96, seed=0):
    """Noise with a bright half, top or bottom, in the class's colour."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % len(CLASSES)
    pixels = random.integers(0, 120, (images, 3, SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        start = (label % 2) * SIDE // 2
        image[label // 2, start : start + SIDE // 2] += 120
    return DecodedSplit(torch.from_numpy(pixels), torch.from_numpy(labels), CLASSES)


def state(backbone):
    return {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}


@pytest.fixture(scope="module")
def runs():
    """Every objective once: {objective: (weights before, pretrained backbone, log)}."""
    finished = {}
    for objective in PARADIGMS:
        backbone = small_backbone(objective)
        before = state(backbone)
        settings = PretrainingSettings(objective, STEPS[objective], 12, learning_rate=2e-3)
        finished[objective] = (before, *pretrain(backbone, planted_split(), settings))
    return finished


# ---------------------------------------------------------------- what every paradigm does


@pytest.mark.parametrize("objective", PARADIGMS)
def test_the_loss_falls(runs, objective):
    log = [record for record in runs[objective][2] if record["phase"] == "pretraining"]
    assert log[-1]["step"] == STEPS[objective]
    assert log[-1]["loss"] < 0.95 * log[0]["loss"]


@pytest.mark.parametrize("objective", PARADIGMS)
def test_weights_change_and_the_architecture_does_not(runs, objective):
    before, trained, _ = runs[objective]
    after = trained.model.state_dict()
    assert {n: t.shape for n, t in after.items()} == {n: t.shape for n, t in before.items()}
    for number in range(trained.depth):
        block = {id(p) for p in trained.blocks[number].parameters()}
        names = [n for n, p in trained.model.named_parameters() if id(p) in block]
        assert all(not torch.equal(before[n], after[n]) for n in names if n.endswith("weight"))
    assert not trained.model.training
    assert not any(p.requires_grad for p in trained.model.parameters())


@pytest.mark.parametrize("objective", PARADIGMS)
def test_the_weights_are_loaded_by_the_same_loader(runs, objective, tmp_path):
    trained = runs[objective][1]
    save_weights(trained, tmp_path / "weights.safetensors")
    loaded = small_backbone(objective, weights=str(tmp_path / "weights.safetensors"), seed=9)
    images = trained.normalise(planted_split(4).pixels_n3hw)
    for layer in range(trained.depth):
        expected = trained.patch_tokens(images, layer)
        assert torch.equal(loaded.patch_tokens(images, layer), expected)
        assert not torch.allclose(small_backbone(objective).patch_tokens(images, layer), expected)


@pytest.mark.parametrize("objective", PARADIGMS)
def test_equal_seeds_give_equal_bytes(objective):
    def run(seed):
        backbone = small_backbone(objective, seed=seed)
        settings = PretrainingSettings(objective, 3, 8)
        torch.rand(1)  # the global random state must not matter
        trained, log = pretrain(backbone, planted_split(24), settings)
        return trained.weights_fingerprint, log

    assert run(1) == run(1)
    assert run(1)[0] != run(2)[0]


@pytest.mark.parametrize("objective", PARADIGMS)
def test_gradients_reach_every_block(objective):
    backbone = small_backbone(objective)
    split = planted_split(8)
    learner = PARADIGMS.module(objective, "objective").OBJECTIVE(
        backbone, CLASSES, PretrainingSettings(objective, 1, 8)
    )
    make_trainable(backbone)
    loss, _ = learner.loss(split.pixels_n3hw, split.labels_n, torch.Generator().manual_seed(0))
    loss.backward()
    for block in backbone.blocks:
        assert all(p.grad.abs().sum() > 0 for n, p in block.named_parameters() if "weight" in n)


def test_unknown_objectives_are_refused():
    with pytest.raises(UserError, match="'moco', which does not exist: choose one of clip"):
        pretrain(small_backbone("deit"), planted_split(8), PretrainingSettings("moco", 1, 8))


def test_a_loss_that_is_not_finite_stops_the_run():
    class Broken(torch.nn.Linear):
        def loss(self, images, labels, generator):
            return self.weight.sum() * math.inf, {}

    with pytest.raises(UserError, match=r"became -?inf at step 1: lower `learning_rate`"):
        fit(Broken(1, 1), planted_split(8), PretrainingSettings("deit", 1, 8), 0, "pretraining")


# ---------------------------------------------------------------- losses, against slow references


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_softmax_contrast_is_the_cross_entropy_of_the_diagonal(generator):
    logits = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    expected = 0
    for i in range(6):
        row, column = logits[i], logits[:, i]
        expected -= (row[i] - row.exp().sum().log()) / 12
        expected -= (column[i] - column.exp().sum().log()) / 12
    torch.testing.assert_close(softmax_contrast(logits, same(torch.arange(6))), expected)


def test_equal_captions_share_the_target(generator):
    logits = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([7, 2, 7])
    expected = 0
    for scores in (logits, logits.T):
        for i in range(3):
            fitting = [j for j in range(3) if labels[j] == labels[i]]
            terms = [scores[i, j] - scores[i].exp().sum().log() for j in fitting]
            expected -= sum(terms) / len(terms) / 6
    torch.testing.assert_close(softmax_contrast(logits, same(labels)), expected)


def test_sigmoid_contrast_pair_by_pair(generator):
    logits = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    labels = [0, 1, 1, 2, 3]
    expected = 0.0
    for i in range(5):
        for j in range(5):
            p = 1 / (1 + math.exp(-logits[i, j]))
            expected -= math.log(p if labels[i] == labels[j] else 1 - p) / 5
    assert sigmoid_contrast(logits, same(torch.tensor(labels))).item() == pytest.approx(expected)


def test_self_distillation_is_the_cross_entropy_between_crops(generator):
    taught, student = (
        [torch.randn(4, 7, generator=generator, dtype=torch.float64) for _ in range(n)]
        for n in (2, 3)
    )
    centre = torch.randn(7, generator=generator, dtype=torch.float64)
    losses = []
    for i in range(2):
        for j in range(3):
            if i == j:
                continue
            for b in range(4):
                target = np.exp((taught[i][b] - centre).numpy() / TEACHER_TEMPERATURE)
                answer = np.exp(student[j][b].numpy() / STUDENT_TEMPERATURE)
                target, answer = target / target.sum(), answer / answer.sum()
                losses.append(-(target * np.log(answer)).sum())
    found = self_distillation(student, [sharpened(logits, centre) for logits in taught])
    assert found.item() == pytest.approx(np.mean(losses))


def test_koleo_is_about_the_nearest_other_image_and_pulls_apart(generator):
    embeddings = torch.randn(7, 5, generator=generator).requires_grad_()
    unit = torch.nn.functional.normalize(embeddings.detach(), dim=1).double().numpy()
    distances = np.linalg.norm(unit[:, None] - unit, axis=2) + 9 * np.eye(7)
    loss = koleo(embeddings)
    assert loss.item() == pytest.approx(-np.log(distances.min(axis=1)).mean(), rel=1e-4)
    loss.backward()
    with torch.no_grad():
        assert koleo(embeddings - 0.01 * embeddings.grad) < loss
        assert koleo(embeddings * 3) == pytest.approx(loss.item(), rel=1e-4)


def test_hard_distillation_weighs_both_labels_alike(generator):
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    labels, taught = torch.tensor([0, 1, 2]), torch.tensor([0, 3, 1])
    log_p = logits.log_softmax(dim=1)
    expected = -sum(log_p[i, labels[i]] + log_p[i, taught[i]] for i in range(3)) / 6
    torch.testing.assert_close(hard_distillation(logits, labels, taught), expected)


# ---------------------------------------------------------------- masked reconstruction


def test_the_masked_model_sees_its_patches_in_raster_order():
    backbone = small_backbone("mae")
    check_raster_order(backbone)
    images = backbone.normalise(planted_split(2).pixels_n3hw)
    entered = []
    hook = backbone.blocks[0].register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    last_tokens(backbone, images)
    positions = torch.tensor([[1, 4, 9, 14], [0, 2, 3, 15]])
    with only_patches(backbone, positions), torch.no_grad():
        # This hook runs after the one above, which still sees everything.
        seen = []
        inner = backbone.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        tokens = last_tokens(backbone, images)
    inner.remove()
    hook.remove()
    assert tokens.shape == (2, 1 + 4, backbone.width)
    assert torch.equal(seen[0][:, 0], entered[0][:, 0])
    for image in range(2):
        assert torch.equal(seen[0][image, 1:], entered[0][image, 1 + positions[image]])
    with torch.no_grad():
        assert last_tokens(backbone, images).shape == (2, 1 + 16, backbone.width)


def test_visible_and_hidden_patches_are_all_patches(generator):
    mae = Mae(small_backbone("mae"), CLASSES, None)
    visible, hidden = mae.choose(5, generator, "cpu")
    assert (visible.shape, hidden.shape) == ((5, 4), (5, 12))
    assert torch.equal(
        torch.cat([visible, hidden], 1).sort(dim=1).values, torch.arange(16).expand(5, -1)
    )
    assert (visible.diff(dim=1) > 0).all()
    assert not torch.equal(visible[0], visible[1])


def test_targets_are_the_pixels_of_the_hidden_patches():
    mae = Mae(small_backbone("mae"), CLASSES, None)
    images = torch.rand(2, 3, SIDE, SIDE)
    hidden = torch.tensor([[5, 7], [0, 14]])
    targets = mae.targets(images, hidden)
    for image in range(2):
        for i, number in enumerate(hidden[image].tolist()):
            y, x = (8 * n for n in divmod(number, 4))
            patch = images[image, :, y : y + 8, x : x + 8].reshape(-1)
            assert torch.equal(targets[image, i], patch)


def test_hidden_pixels_do_not_reach_the_prediction(generator):
    mae = Mae(small_backbone("mae"), CLASSES, None)
    images = torch.rand(1, 3, SIDE, SIDE)
    visible, hidden = mae.choose(1, generator, "cpu")

    def predict(pixels):
        with torch.no_grad(), only_patches(mae.backbone, visible):
            encoded = last_tokens(mae.backbone, pixels)[:, mae.backbone.prefix_tokens :]
            return mae.decode(encoded, visible, hidden)

    def changed(number):
        y, x = (8 * n for n in divmod(number, 4))
        other = images.clone()
        other[..., y : y + 8, x : x + 8] = 0
        return other

    assert torch.equal(predict(changed(hidden[0, 0].item())), predict(images))
    assert not torch.equal(predict(changed(visible[0, 0].item())), predict(images))


def test_positions_of_the_decoder_are_all_different():
    positions = sine_positions((4, 5), 16)
    assert positions.shape == (20, 16)
    assert (torch.cdist(positions, positions) + torch.eye(20) > 0.1).all()


# ---------------------------------------------------------------- self-distillation


def test_self_distillation_does_not_collapse(runs):
    _, trained, log = runs["dino"]
    random = sanity.effective_rank(sanity.pooled_features(small_backbone("dino"), planted_split()))
    rank = sanity.effective_rank(sanity.pooled_features(trained, planted_split()))
    assert rank > max(3, 0.2 * random)
    assert log[-1]["usage_entropy"] > 0.5


def test_the_teacher_follows_the_student_ever_more_slowly():
    dino = Dino(small_backbone("dino"), CLASSES, PretrainingSettings("dino", 200, 8))
    with torch.no_grad():
        dino.head.prototypes.add_(1.0)

    def distance():
        return (dino.head.prototypes - dino.teacher_head.prototypes).mean().item()

    assert distance() == pytest.approx(1, abs=1e-5)
    dino.after_step(0.0)
    first = 1 - 1 / (TEACHER_MEMORY * 200)
    assert distance() == pytest.approx(first, abs=1e-5)
    dino.after_step(0.5)
    half = first * (1 + first) / 2
    assert distance() == pytest.approx(half, abs=1e-5)
    dino.after_step(1.0)
    assert distance() == pytest.approx(half, abs=1e-5)


# ---------------------------------------------------------------- data, views, captions, schedule


def test_views_are_crops_of_their_own_image(generator):
    grey = torch.arange(0, 240, 30, dtype=torch.uint8)[:, None, None, None]
    views = random_views(grey.expand(-1, 3, SIDE, SIDE), (16, 16), generator)
    assert views.shape == (8, 3, 16, 16)
    assert (views.amax(dim=(1, 2, 3)) - views.amin(dim=(1, 2, 3)) < 1e-2).all()
    brightness = views.mean(dim=(1, 2, 3))[1:] / grey[1:].flatten()
    assert ((brightness > 0.6 - 1e-3) & (brightness < 1.4 + 1e-3)).all()


def test_the_network_sees_views_on_the_scale_of_images(generator):
    backbone, images = small_backbone("mae"), planted_split().pixels_n3hw
    seen = network_input(backbone, random_views(images, (SIDE, SIDE), generator))
    black, white = (backbone.normalise(images[:1] * 0 + value) for value in (0, 255))
    assert (seen >= black.amin()).all()
    assert (seen <= white.amax()).all()
    assert abs(seen.mean() - backbone.normalise(images).mean()) < 0.1


def test_views_cover_the_stated_share_of_the_image(generator):
    ramp = torch.linspace(0, 255, 64).to(torch.uint8).expand(400, 3, 64, 64)
    jitter_free = torch.nn.functional.normalize(
        random_views(ramp, (8, 8), generator, area=(0.25, 0.25)).mean(dim=(1, 2)), dim=1
    )
    rising = jitter_free[:, -1] > jitter_free[:, 0]
    assert 0.4 < rising.float().mean() < 0.6  # half of them are mirrored
    down = random_views(ramp.transpose(2, 3), (8, 8), generator)
    assert (
        down[:, :, -1].mean(dim=(1, 2)) > down[:, :, 0].mean(dim=(1, 2))
    ).all()  # none upside down


def test_captions_say_the_parent_and_then_the_class():
    assert caption(ClassRecord(0, "astronaut_row0_column2", "astronaut")) == [
        "astronaut",
        "row0",
        "column2",
    ]
    assert caption(ClassRecord(0, "001.Black_footed_Albatross")) == [
        "001",
        "black",
        "footed",
        "albatross",
    ]
    with pytest.raises(UserError, match="has no words"):
        caption(ClassRecord(0, "__"))


def test_padding_does_not_change_a_text_embedding():
    tokens, vocabulary = tokenize([["red", "top"], ["blue", "very", "top"]])
    assert (tokens.shape, vocabulary) == ((2, 3), 5)
    assert tokens[0, 2] == PADDING
    assert tokens[0, 1] == tokens[1, 2]
    torch.manual_seed(0)
    encoder = TextEncoder(vocabulary, 3, 8)
    alone = TextEncoder(vocabulary, 2, 8)
    weights = encoder.state_dict()
    alone.load_state_dict(weights | {"positions": weights["positions"][:2]})
    torch.testing.assert_close(encoder(tokens)[0], alone(tokens[:1, :2])[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(encoder(tokens)[0], encoder(tokens)[1])


def test_every_epoch_visits_every_image(generator):
    order = data_order(10, 4, 5, generator)
    assert [len(batch) for batch in order] == [4] * 5
    epochs = torch.cat(order).reshape(2, 10)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(10).expand(2, -1))
    assert not torch.equal(epochs[0], epochs[1])


def test_the_learning_rate_rises_then_falls():
    rates = [schedule(step, 100) for step in range(1, 101)]
    assert rates[9] == max(rates) == 1
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert schedule(1, 1) == 1


def test_decoding_a_split(tmp_path):
    images = []
    for i in range(3):
        Image.new("RGB", (SIDE, SIDE), (10 * i, 0, 200)).save(tmp_path / f"{i}.png")
        images.append(ImageRecord(f"image{i}", f"{i}.png", i % 2, CLASSES[i % 2].class_name))
    transform = small_backbone("mae").transform
    split = decode(build_index(images, CLASSES, "here"), tmp_path, transform)
    assert split.pixels_n3hw.shape == (3, 3, SIDE, SIDE)
    assert split.pixels_n3hw[2, :, 5, 5].tolist() == [20, 0, 200]
    assert split.labels_n.tolist() == [0, 1, 0]
    unlabelled = build_index([ImageRecord("a", "0.png", -1, "")], CLASSES, "here")
    with pytest.raises(UserError, match=r"'a' .* has no class"):
        decode(unlabelled, tmp_path, transform)


# ---------------------------------------------------------------- sanity


def test_effective_rank_of_planted_features():
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(500, 4)))[0]
    directions = np.linalg.qr(directions - directions.mean(axis=0))[0]
    assert sanity.effective_rank(directions @ np.eye(4, 10) + 5) == pytest.approx(4, abs=1e-6)
    line = np.outer(random.normal(size=500), np.ones(10))
    assert sanity.effective_rank(line) == pytest.approx(1, abs=1e-3)


def test_the_probe_finds_what_is_there_and_nothing_else():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    fitted, read = random.normal(size=(2, 200, 6))
    assert sanity.probe_hits(fitted, labels, read, labels).mean() < 0.4
    signal = 8 * np.eye(4, 6)[labels]
    assert sanity.probe_hits(fitted + signal, labels, read + signal, labels).mean() > 0.97


def test_the_probe_is_fitted_on_equally_many_images_of_each_class():
    split = planted_split()
    few = sanity.first_of_each_class(split, 3)
    labels = split.labels_n.tolist()
    assert few.labels_n.tolist() == [c for c in sorted(set(labels)) for _ in range(3)]
    rows = [i for c in sorted(set(labels)) for i in range(len(labels)) if labels[i] == c
            and labels[:i].count(c) < 3]  # fmt: skip
    assert torch.equal(few.pixels_n3hw, split.pixels_n3hw[rows])
    assert len(sanity.first_of_each_class(split, 10**6).labels_n) == len(labels)


def test_the_report_is_about_the_backbone_and_not_its_teacher(runs):
    _, trained, log = runs["deit"]
    split = planted_split()
    random = sanity.assess(small_backbone("deit"), split, split)
    final = sanity.assess(trained, split, split)
    settings = PretrainingSettings("deit", STEPS["deit"], 12)
    report = sanity.report(trained.spec, settings, split, split, random, final, log, 1.0)
    own = [record["loss"] for record in log if record["phase"] == "pretraining"]
    assert log[0]["phase"] == "teacher"
    assert (report["first_loss"], report["last_loss"]) == (own[0], own[-1])
    assert (report["random"], report["pretrained"]) == (random.numbers(), final.numbers())
    assert report["training_images"] == 96


def test_the_gain_has_the_standard_error_of_paired_images():
    before = sanity.Assessment(np.array([True, False, False, True]), 3.0)
    after = sanity.Assessment(np.array([True, True, True, False]), 2.0)
    split = planted_split()
    log = [{"phase": "pretraining", "loss": 1.0}]
    settings = PretrainingSettings("deit", 1, 1)
    spec = small_backbone("deit").spec
    report = sanity.report(spec, settings, split, split, before, after, log, 1.0)
    assert report["gain"] == 0.25
    assert report["gain_standard_error"] == pytest.approx(np.std([0, 1, 1, -1], ddof=1) / 2)


@pytest.mark.parametrize("objective", PARADIGMS)
def test_paradigms_are_built_on_the_device_of_the_backbone(objective):
    """As on a GPU: the meta device, too, refuses tensors of the CPU."""
    loader, model, options = MODELS[objective]
    spec = BackboneSpec(objective, loader, model, "random", image_size=SIDE, options=options)
    backbone = build_backbone(spec).to("meta")
    if objective == "dino":  # whose teacher copies weights, which that device has not
        assert embedding_width(backbone) == backbone.width
        return
    settings = PretrainingSettings(objective, steps=1, batch_size=2)
    made = PARADIGMS.module(objective, "objective").OBJECTIVE
    assert made(backbone, CLASSES, settings).backbone is backbone
