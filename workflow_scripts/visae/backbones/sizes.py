"""Sizes of images in pixels: one number for the side of a square, or (height, width)."""


def pair(size):
    """(height, width) of a size."""
    return (size, size) if isinstance(size, int) else tuple(size)


def scaled(size, function):
    """A size with `function` of each of its sides; a square as one number."""
    height, width = pair(size)
    return function(height) if height == width else (function(height), function(width))
