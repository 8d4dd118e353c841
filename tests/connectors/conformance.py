"""What holds for every channel: connectors/kit, which `mainstem channel check` runs too; its names for our tests."""

from connectors.kit.bodies import nearly
from connectors.kit.hostile import nothing_but_forged_and_malformed
from connectors.kit.run import CHECKS
from connectors.kit.tell import Check, Skipped

__all__ = ["CHECKS", "Check", "Skipped", "nearly", "nothing_but_forged_and_malformed"]
