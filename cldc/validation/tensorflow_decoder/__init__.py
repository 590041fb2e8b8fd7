"""Decides without TensorFlow whether TensorFlow reads an image.

`judge` answers for `tf.io.decode_image(contents, channels=3, expand_animations=False)` as TensorFlow 2.4.1
runs it: its `decode_image_op.cc`, libpng 1.6.37, libjpeg-turbo 2.0, giflib 5.2 and zlib 1.2.11. The modules
follow the control flow of those libraries and never build a picture, so memory stays bounded whatever the
file claims. `tests/real/test_decoder_against_tensorflow.py` holds every answer against the real thing.
"""

from cldc.validation.tensorflow_decoder.dispatch import judge
from cldc.validation.tensorflow_decoder.verdict import Format, Readable, Remark, Verdict

__all__ = ["Format", "Readable", "Remark", "Verdict", "judge"]
