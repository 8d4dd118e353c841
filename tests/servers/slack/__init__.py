"""A strict local Slack: one workspace with our app in it, and people who type and press.

The real slack-sdk and slack-bolt talk to it. What its documentation says Slack refuses, it refuses.
"""

from tests.servers.slack.api import Called
from tests.servers.slack.person import NoAnswer, Person
from tests.servers.slack.server import Slack
from tests.servers.slack.workspace import View

__all__ = ["Called", "NoAnswer", "Person", "Slack", "View"]
