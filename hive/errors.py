"""Floor 0: the error family; whose fault it is comes first.

    HiveError
    ├── LocalError      our caller's fault
    │     ConfigError · StateError · DeltaTooLarge · NotPermitted
    ├── RemoteError     the peer's fault
    │     MalformedFrame · ProtocolViolation · Refused
    └── ResourceError   disk or network
          StoreError · TransportError · QuorumNotMet · LeaseLost

A refusal is a value first (`hive.protocol.ingress.Refusal`); `Refused` is its form at the API.
"""

from __future__ import annotations


class HiveError(Exception):
    """Every error hive raises on purpose; `hint` says to a person what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class LocalError(HiveError):
    """The caller of this process asked for something it may not or cannot have."""


class ConfigError(LocalError):
    """A setting is missing, out of range or contradicts another; nothing was changed."""


class StateError(LocalError):
    """The request does not fit the present state; nothing was changed."""


class DeltaTooLarge(LocalError):
    """The content exceeds a bound of the format; nothing was written."""


class NotPermitted(LocalError):
    """No capability of the caller covers the request; nothing was written."""


class RemoteError(HiveError):
    """Bytes or behaviour from outside broke a rule."""


class MalformedFrame(RemoteError):
    """Bytes that do not decode to the announced shape, or not canonically."""


class ProtocolViolation(RemoteError):
    """Well-formed bytes at a moment or from a peer where the protocol forbids them."""


class Refused(RemoteError):
    """Ingress refused a delta or record; `step` is the ingress step and `reason` its name."""

    def __init__(self, reason: str, step: int, *, detail: str = "", hint: str = "") -> None:
        super().__init__(
            f"refused at step {step}: {reason}" + (f" ({detail})" if detail else ""), hint=hint
        )
        self.reason = reason
        self.step = step


class ResourceError(HiveError):
    """Disk or network did not serve."""


class StoreError(ResourceError):
    """The store could not keep or give what it should; what was acknowledged is intact."""


class TransportError(ResourceError):
    """A link could not be made or broke."""


class QuorumNotMet(ResourceError):
    """Fewer receipts arrived than the durability class demands."""


class LeaseLost(ResourceError):
    """The writer's lease ran out before the acknowledgement."""


FAMILY = (
    ConfigError,
    StateError,
    DeltaTooLarge,
    NotPermitted,
    MalformedFrame,
    ProtocolViolation,
    StoreError,
    TransportError,
    QuorumNotMet,
    LeaseLost,
)
"""The members that carry a message and a hint and nothing else (`Refused` carries more)."""
