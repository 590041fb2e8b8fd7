"""A submission, from a package on this machine to a tagged bundle, exactly once.

`plan` settles what is meant and checks everything that can be checked before a byte is uploaded. `carry_out` does
the steps in order. Everything up to the tag is private to the competition, repeatable and free; the tag is the
commit point: it alone spends quota, and it is the last step.
"""

from cldc.submission.model import Check, Consent, Intent, NeedsConsent, Plan, Submission
from cldc.submission.places import Clock, facts, standing
from cldc.submission.planning import plan
from cldc.submission.steps import STEPS, carry_out
from cldc.submission.work import Work

__all__ = [
    "STEPS",
    "Check",
    "Clock",
    "Consent",
    "Intent",
    "NeedsConsent",
    "Plan",
    "Submission",
    "Work",
    "carry_out",
    "facts",
    "plan",
    "standing",
]
