"""A small configuration that uses every key there is."""

CHANNELS = """\
brands:
  main: {name: Example Ltd}
  other: {opt_outs: customer, signature: "Other Ltd"}
accounts:
  webchat/main:
    brand: main
    title: Chat
    address: https://example.com
    conversation: account
    reopen_within: 1h30m
    rate_per_s: 2.5
    burst: 3
    settings: {greeting: Hello, limit: 5, loud: true, names: [a, b]}
    secrets: {signing: [NEW_SECRET, OLD_SECRET]}
  mail/support: {brand: other, enabled: false}
"""
QUEUES = """\
priorities:
  high: 10m
  normal: 0
  low: -1h
queues:
  general:
    title: General
    calendar: office
    service: {percent: 90, within: 2m}
    offer: 30s
    idle: 1h
  billing:
  old: {moved_to: general}
"""
ROUTING = """\
rules:
  - name: adjusting
    when:
      customer: {tier: gold, kind: person, stage: customer, tags: [a], preferred_channel: mail}
      sender: verified
    then: {priority: high, tags: [gold], skills: [german]}
    continue: true
  - name: deciding
    when:
      any:
        - text: {words: [invoice, "credit note"], matches: 'inv-\\d+'}
        - all:
            - channel: webchat
            - account: [webchat/main]
      not: {form: letter, language: no, contact: first, automatic: true, brand: main}
      hours: {office: open}
    then: {queue: billing}
default: {queue: general, priority: low}
"""
AGENTS = """\
agents:
  bo:
    name: Bo
    email: bo@example.com
    role: lead
    queues: [general, billing]
    skills: [german]
    limit: 3
    slack: U0123456789
  ada: {queues: all}
"""
CALENDARS = """\
calendars:
  office:
    timezone: Europe/London
    hours: {mon-fri: 09:00-17:30, sat: [10:00-12:00, 13:00-15:00], sun: closed}
    holidays: [GB-ENG]
    closed: [2026-12-24]
"""
REPLIES = """\
replies:
  hi: {title: Hi, text: Hello there, queues: [general]}
"""
FILES = {
    "channels.yaml": CHANNELS,
    "queues.yaml": QUEUES,
    "routing.yaml": ROUTING,
    "agents.yaml": AGENTS,
    "calendars.yaml": CALENDARS,
    "replies.yaml": REPLIES,
}


def having(**files: str) -> dict[str, str]:
    """FILES with others in their place: having(routing="...")."""
    return {**FILES, **{f"{name}.yaml": text for name, text in files.items()}}
