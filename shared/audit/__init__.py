"""The audit trail: one record for each decision, one for each outcome, chained, on disk before the model is called."""

from shared.audit.chain import verify
from shared.audit.record import Audit
from shared.audit.sinks import make_sink

__all__ = ["Audit", "make_sink", "verify"]
