"""The doctor: what works between here and there, and what to do where it does not.

Each examination has a file of its own, in two halves: what it asks of the machine or the network, and a
verdict, which is a pure function of what was found. `examine` runs them all at once; `connection` says of a
present connection which way it goes and why.
"""

from plait.doctor.examine import Patient, examine
from plait.doctor.finding import Finding, Verdict

__all__ = ["Finding", "Patient", "Verdict", "examine"]
