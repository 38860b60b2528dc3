"""What holds for all tests: annotated shapes are checked."""

import checked_shapes

checked_shapes.install()
