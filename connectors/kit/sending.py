"""What a send does."""

from __future__ import annotations

from connectors.kit.tell import Check

CHECKS: tuple[Check, ...] = ()
