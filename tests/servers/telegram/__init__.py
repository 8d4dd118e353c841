"""A strict local Telegram: the Bot API with one bot, and the people, groups and channels around it.

    async with Telegram() as telegram:              # or `with Telegram() as telegram:` and telegram.run(…)
        … our connector uses telegram.url as the API's base and telegram.token; files are under telegram.url + "/file"
        ann = telegram.person("Ann", username="ann")
        update = await ann.says("/start ref_42")    # delivered by webhook, or kept for getUpdates
        telegram.sent[-1].text, telegram.refused[-1].description
        await ann.presses(telegram.sent[-1].message_id, "yes")
        await ann.blocks()                          # from now on 403

fail (tests/servers/local.py): the operation is the method's name in lower case ("sendmessage"), or "file"; `to` is the
chat's id as text: `fail("sendmessage", status=429, retry_after=7)`, `fail("*", how="lost")`.
updates.hold: what happens is kept back until `await telegram.flush()`; meanwhile `telegram.shuffle(seed)`, `double()`.
`await telegram.redeliver(update_id)`: a webhook once more, as after a lost answer. One that fails keeps its update, and
`await telegram.retry()` is the next attempt (never by sleeping; the delays are not documented).
`telegram.passes(seconds)`: 48 hours for deletions, 24 for updates.

https://core.telegram.org/bots/api; the words of errors as in github.com/tdlib/telegram-bot-api, Client.cpp.
"""

from tests.servers.telegram.people import Group, Person
from tests.servers.telegram.records import Refused, Sent, Update
from tests.servers.telegram.server import Telegram

__all__ = ["Group", "Person", "Refused", "Sent", "Telegram", "Update"]
