"""Check a dataset: every rule is applied, every finding is reported, nothing stops the check.

`pipeline` scans the folder, takes what still holds from the `cache`, lets `inspect_images` read the other files (TensorFlow's verdict from
`tensorflow_decoder`, the drawing's `features`, the `metadata`), and applies the `rules`. `fixing` and `change_records` change a folder.
"""

from cldc.validation.model import Finding, InspectedDataset, Rule, Severity, ValidationReport
from cldc.validation.pipeline import validate

__all__ = ["Finding", "InspectedDataset", "Rule", "Severity", "ValidationReport", "validate"]
