"""Names before connections: which look-up led to which session, what it says of the device, and what led nowhere."""

from analyzer.names.log import NameLog
from analyzer.names.lookups import BELONGS_NS, Lookup, as_step, leading_to, summary
from analyzer.names.particle import ParticleName, particle_name
from analyzer.names.probes import Probe

__all__ = [
    "BELONGS_NS",
    "Lookup",
    "NameLog",
    "ParticleName",
    "Probe",
    "as_step",
    "leading_to",
    "particle_name",
    "summary",
]
