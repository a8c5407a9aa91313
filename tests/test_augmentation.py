"""Changes of training examples, by their statistics, and by what they must not depend on."""

import dataclasses
import math

import pytest
import torch
from handmade import settings
from scipy import stats
from torch.nn import functional

from optlab.training import augmentation
from optlab.training.datasets import Dataset, Split
from optlab.training.world import ALONE, World


def images(count, height=8, width=6, classes=10):
    """Images that show where each pixel comes from: their values are 1 to height x width."""
    pixels = torch.arange(1.0, height * width + 1).view(1, 1, height, width)
    x = pixels.expand(count, 2, height, width).clone()
    split = Split(x, torch.arange(count) % classes)
    return Dataset("images", "images", "classification", classes, (2, height, width), 1, split)


def augmented(augment, data, batch_size=100, seed=0, world=ALONE, **more):
    run = settings(
        *("mlp", "sgd", {}, {"hidden": [16]}), augment=augment, batch_size=batch_size, **more
    )
    return augmentation.batches(run, data, seed, world)


def whole_epoch(batches, epoch=1, skip=0):
    x, y = zip(*(batch[:2] for batch in batches.epoch(epoch, skip)), strict=True)
    return torch.cat(x), torch.cat(y)


def test_flip_mirrors_half_of_the_images_left_to_right():
    data = images(10_000)
    x, _ = whole_epoch(augmented("flip", data))
    image = data.train.x[0]
    mirrored = (x == image.flip(2)).flatten(1).all(1)
    assert torch.equal(mirrored, ~(x == image).flatten(1).all(1))
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.02)  # 4 deviations
    again, _ = whole_epoch(augmented("flip", data), 2)
    both = (again == image.flip(2)).flatten(1).all(1) & mirrored
    assert both.float().mean().item() == pytest.approx(0.25, abs=0.02)  # others in another epoch


def test_crop_takes_windows_at_all_offsets_alike():
    data = images(20_000)
    x, _ = whole_epoch(augmented("crop=2", data))
    padded = functional.pad(data.train.x[:1], (2, 2, 2, 2))[0]
    counts = {}
    for down in range(5):
        for right in range(5):
            window = padded[:, down : down + 8, right : right + 6]
            counts[down, right] = int((x == window).flatten(1).all(1).sum())
    assert sum(counts.values()) == 20_000  # each image is one of the windows
    squares = sum((count - 800) ** 2 / 800 for count in counts.values())
    assert squares < 56  # chi-squared of 24 degrees: 0.02 % are above


def test_cutout_covers_a_square_around_any_pixel():
    data = images(20_000)
    x, _ = whole_epoch(augmented("cutout=4", data))
    holes = (x == 0)[:, 0]
    assert torch.equal(holes, (x == 0)[:, 1])  # of all channels
    assert torch.equal(x[:, 0][~holes], data.train.x[:, 0][~holes])
    # A pixel is covered if the centre is within reach: 2 before, 1 behind it.
    reach = [
        [len({c for c in range(n) if p in range(c - 2, c + 2)}) / n for p in range(n)]
        for n in (8, 6)
    ]
    wanted = torch.outer(*map(torch.tensor, reach))
    torch.testing.assert_close(holes.float().mean(0), wanted, atol=0.015, rtol=0)


def test_mixup_mixes_pairs_of_a_batch_by_a_number_from_its_beta_distribution():
    count, size = 4_000, 4
    data = images(count, classes=count)  # each image is a class, so that targets say the pair
    x = torch.arange(1.0, count + 1).view(-1, 1, 1, 1).expand_as(data.train.x).clone()
    data = dataclasses.replace(data, train=Split(x, data.train.y))
    weights = []
    for epoch in (1, 2):
        for x, y in augmented("mixup=0.4", data, size).epoch(epoch):
            torch.testing.assert_close(y.sum(1), torch.ones(size))
            ids = torch.arange(1.0, count + 1)
            torch.testing.assert_close(x[:, 0, 0, 0], y @ ids, rtol=1e-5, atol=0)  # in the same way
            mixed = [row[row > 0].tolist() for row in y]
            pairs = [pair for pair in mixed if len(pair) == 2]
            assert all(math.isclose(max(a), max(b), rel_tol=1e-5) for a in pairs for b in pairs)
            assert len(y.nonzero()[:, 1].unique()) == size  # of the batch
            weights += [max(pairs[0])] if pairs else []
    # The larger share of Beta(0.4, 0.4) and its complement, folded at a half.
    folded = stats.beta(0.4, 0.4)
    found = stats.kstest(weights, lambda w: folded.cdf(w) - folded.cdf(1 - w))
    assert found.pvalue > 1e-4 and len(weights) > 1500


def test_the_loss_of_mixed_targets_is_the_mixed_loss():
    data = images(500)
    batches = augmented("mixup", data, 50)
    drawn = batches.draw(1, len(data.train.x))
    rows, (others, weights) = batches.order(1), drawn["mixup"]
    x, y = next(batches.epoch(1))
    weight, model = weights[0], torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(96, 10))
    pixels, labels = batches.take(rows)
    torch.testing.assert_close(x, weight * pixels[:50] + (1 - weight) * pixels[others[:50]])
    output = model(x)
    each = [functional.cross_entropy(output, labels[part]) for part in (range(50), others[:50])]
    mixed = weight * each[0] + (1 - weight) * each[1]
    torch.testing.assert_close(functional.cross_entropy(output, y), mixed, rtol=1e-6, atol=0)


ALL = "flip+crop=1+cutout=3+mixup=0.4"


@pytest.mark.parametrize("size", [100, 100_000, "full"])
def test_each_rank_changes_its_share_of_what_one_process_has(size):
    data = images(250)
    size = 250 if size == 100_000 else size
    alone = [tuple(batch) for batch in augmented(ALL, data, size).epoch(3)]
    ranks = [augmented(ALL, data, size, world=World(rank, 3)) for rank in range(3)]
    shared = list(zip(*(list(rank.epoch(3)) for rank in ranks), strict=True))
    assert len(shared) == len(alone)
    for (x, y), parts in zip(alone, shared, strict=True):
        assert torch.equal(torch.cat([part[0] for part in parts]), x)
        assert torch.equal(torch.cat([part[1] for part in parts]), y)
        assert {part[2] for part in parts} == {len(x)}


def test_each_seed_and_each_augmentation_has_its_own_stream():
    data = images(300)
    x, y = whole_epoch(augmented(ALL, data))
    rest = whole_epoch(augmented(ALL, data), skip=2)
    assert torch.equal(rest[0], x[200:]) and torch.equal(rest[1], y[200:])
    other = augmented("flip", data, seed=1).draw(1, 300)["flip"]
    assert not torch.equal(other, augmented("flip", data).draw(1, 300)["flip"])
    both, one = augmented(ALL, data).draw(1, 300), augmented("flip", data).draw(1, 300)
    assert torch.equal(both["flip"], one["flip"])  # an augmentation more leaves the others alone
    fixed = augmented("flip", data, seed=1, vary=["weights"]).draw(1, 300)["flip"]
    assert torch.equal(fixed, one["flip"])
