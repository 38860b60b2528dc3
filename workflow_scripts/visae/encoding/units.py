"""Units of images: what a pass over an activation cache is made of.

Everything that a pass leaves behind is a sum over images, a maximum within an image or a row
per image. Units of a fixed number of images, counted from the first image of the cache, are
computed each on its own and joined in order; so neither sharding nor chunks nor the number
of threads changes a bit of the result.
"""

import collections
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from visae.base.errors import UserError


def image_units(cache, unit_images):
    """Yield the activations of a cache `unit_images` at a time, whatever its chunks: [n, P, D]."""
    rest = None
    for number in range(len(cache.chunks)):
        chunk = cache.read_chunk(number)
        rest = chunk if rest is None or not len(rest) else np.concatenate([rest, chunk])
        whole = len(rest) - len(rest) % unit_images
        for start in range(0, whole, unit_images):
            yield rest[start : start + unit_images]
        rest = rest[whole:]
    if rest is not None and len(rest):
        yield rest


def computed(function, items, threads, initializer=None, *arguments):
    """Yield function(item) in order, computed in threads that begin with `initializer`."""
    pool = ThreadPoolExecutor(threads, initializer=initializer, initargs=arguments)
    waiting = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def check_statistics(owner, mean, std, cache):
    """UserError unless mean [D] and std can normalise the activations of `cache`."""
    if mean.shape != (cache.info.width,) or not np.isfinite(mean).all() or not 0 < std < np.inf:
        raise UserError(
            f"the activation statistics of {owner} (mean of shape {list(mean.shape)}, std "
            f"{std}) cannot normalise the activations of width {cache.info.width} in "
            f"{cache.path}: train on, or extract, this backbone's activations again"
        )
    if cache.mean is None:
        return
    same_mean = np.allclose(mean, cache.mean, rtol=1e-5, atol=1e-5 * cache.std)
    if not (same_mean and np.isclose(std, cache.std, rtol=1e-5)):
        raise UserError(
            f"the activation statistics of {owner} are not those of the training cache "
            f"{cache.path}: the SAE was trained on other activations, train it again"
        )
