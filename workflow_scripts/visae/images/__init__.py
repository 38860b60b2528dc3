"""Images: how data sets lie on disk, the index of what they hold, and decoding."""
