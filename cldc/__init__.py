"""From a folder of images to a scored CodaLab submission."""

__version__ = "0.1.0"
