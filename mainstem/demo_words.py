"""What simulated customers and agents are called and say."""

from __future__ import annotations

NAMES = ("Ann", "Bruno", "Chiara", "Dev", "Elif", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Kofi", "Lena")
LINES = (
    "Hello! Where is my parcel? It should have come on Tuesday.",
    "I was charged twice on my last invoice, INV-20417. Could I have a refund?",
    "The app says “error 17” after I log in. Please help, it is urgent.",
    "What would it cost to add five more seats?",
    "Guten Tag, meine Rechnung fehlt noch.",
    "Is the shop open on Saturday?",
    "My password does not work any more.",
    "Could you send me an offer for 200 pieces?",
    "Thanks, that was quick!",
    "I would like to change my delivery address.",
)
CAPTIONS = ("It came like this.", "Is this the right one?", "Look at the label, please.")
COMMENTS = (
    "Lovely! Do you ship to Norway?",
    "Mine arrived today, very happy with it.",
    "Still waiting for an answer to my message …",
)
ANSWERS = (
    "Thank you for writing. I am looking into it.",
    "I have found it. It will be with you tomorrow.",
    "That is done. Is there anything else?",
    "May I ask for the order's number?",
)
QUESTION = "When does it suit you?"
CHOICES = ("In the morning", "In the evening", "Any time")
PUBLIC_ANSWER = "Thank you! We have written to you."
