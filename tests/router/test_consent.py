"""Opting out in people's own words. The first table is 47 CFR 64.1200(a)(10)'s own list; the others are what people
write to numbers they have had enough of, and what they write that only looks like it."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from router import consent
from router.consent import wish
from router.consent_words import ASKS, CERTAIN, KEYWORDS
from tests.each import each

BY_LAW = ["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"]


@each("word", BY_LAW)
@each("shape", ["{}", "{}.", " {} ", '"{}"', "{}!!!", "{}\n", "**{}**", "{}\n\n-- \nAnn Smith\n+1 555 0100"])
def test_the_words_of_the_law(word: str, shape: str) -> None:
    for text in (shape.format(word), shape.format(word.upper()), shape.format(word.title())):
        assert wish(text) == "stop", text


@each(
    "text",
    [
        "STOP",
        "Stop please",
        "please stop",
        "Pls STOP it now",
        "stop stop stop",
        "STOPALL",
        "Stop all",
        "Opt-out",
        "OPTOUT",
        "Unsubscribe me please",
        "ok i said stop",
        "Stop texting me",
        "Can you stop texting me?",
        "Please stop sending me messages.",
        "stop sending these",
        "STOP MESSAGING THIS NUMBER",
        "Hi, I've changed my mind. Please don't text me again.",
        "Don’t contact me anymore",
        "do not call me ever again",
        "Never write to me again!",
        "no more texts please",
        "I don't want to receive your emails any more",
        "I do not wish to be contacted",
        "take me off your list",
        "Remove me from this mailing list, thanks",
        "please remove my number from your database",
        "unsubscribe from all emails",
        "how do I unsubscribe from your newsletter?",
        "I would like to opt out",
        "opt me out",
        "I hereby revoke my prior express consent.",
        "I withdraw my consent",
        "leave me alone",
        "Lose my number",
        "if you don't stop texting me I will report you",
        "Stop the spam",
        "stop all these marketing messages",
        "quit texting me",
        "My order was fine. But stop emailing me about offers.",
        "Stop\nSent from my iPhone",
        "Unsubscribe\n\nOn Mon, 2 Nov 2026 at 10:00, Example <a@example.com> wrote:\n> Hello Ann",
    ],
)
def test_stop_in_english(text: str) -> None:
    assert wish(text) == "stop"


@each(
    "text",
    [
        # Spanish
        "BAJA",
        "Alto",
        "no más",
        "Dejen de enviarme mensajes",
        "deje de escribirme",
        "Por favor, no me envíen más correos",
        "no quiero recibir más mensajes",
        "No quiero que me llamen",
        "Quítenme de su lista",
        "darme de baja de la lista, por favor",
        # French
        "Arrêt",
        "STOP svp",
        "Arrêtez de m'envoyer des SMS",
        "ne m'écrivez plus",
        "Je ne veux plus recevoir vos messages",
        "Désabonnez-moi",
        "je souhaite me désabonner de votre newsletter",
        "plus de SMS svp",
        # German
        "Stopp",
        "Abmelden",
        "Bitte abmelden!",
        "Hören Sie auf, mir zu schreiben",
        "Keine Nachrichten mehr bitte",
        "Schreiben Sie mir nicht mehr",
        "Ich möchte keine Werbung von Ihnen",
        "ich will nicht mehr kontaktiert werden",
        "Nehmen Sie mich aus dem Verteiler",
        "Hiermit widerrufe ich meine Einwilligung.",
        "Lassen Sie mich in Ruhe",
        # Portuguese
        "Parar",
        "SAIR",
        "Pare de me enviar mensagens",
        "não quero mais receber mensagens",
        "Não me ligue mais",
        "remova-me da lista",
        # Italian
        "Ferma",
        "Basta!",
        "Smettetela di scrivermi",
        "smettete di mandarmi messaggi",
        "Non scrivetemi più",
        "non voglio più ricevere email",
        "cancellatemi dalla vostra lista",
        "basta messaggi",
    ],
)
def test_stop_in_other_languages(text: str) -> None:
    assert wish(text) == "stop"


@each(
    "text",
    [
        "",
        "   \n",
        "👍",
        "Hello",
        "please stop by tomorrow",
        "Can I stop by the shop at 5?",
        "Where is the nearest bus stop?",
        "The washing machine doesn't stop spinning",
        "It stopped working",
        "the app stops when I open it",
        "cancel my order",
        "Please cancel it",
        "I want to cancel my subscription to the gym",
        "How can I cancel order 1234?",
        "Cancel please",
        "when does the sale end?",
        "At the end of the month",
        "in the end it worked",
        "I want to quit my job",
        "remove the item from my basket",
        "remove me from the booking for Friday",
        "Please don't stop texting me, I love these",
        "never stop sending me these!",
        "Why did you stop sending me updates?",
        "Did you stop emailing me?",
        "You stopped sending me invoices",
        "I did not unsubscribe from your newsletter",
        "Don't call me, text me here instead",
        "don't call me before 9",
        "Please don't call me at work",
        "Do not call me today, I am travelling",
        "Stop. The parcel has arrived, no need to look for it",
        "how do I stop the notifications in your app?",
        "There were no more messages after that",
        "I don't have enough messages left in my plan",
        "help me please",
        "I need help with my order",
        "start date of the contract?",
        "When do you start?",
        "The information is wrong",
        "Thanks, see you.\n\nOn Mon, 2 Nov 2026, Example wrote:\n> Reply STOP to unsubscribe from our emails",
        "Yes please\n> stop sending me messages",
        "Danke!\n\nAm 2.11.2026 schrieb Example:\n> Newsletter abbestellen: keine Nachrichten mehr",
        "Quiero cancelar mi pedido",
        "para mañana, por favor",
        "No me envíen el paquete a casa",
        "Je voudrais arrêter mon abonnement au gaz",
        "où est l'arrêt de bus ?",
        "Ich möchte keine Rechnung auf Papier",
        "Wann ist Ende?",
        "Não recebi mais nada",
        "Non ho ricevuto il messaggio",
        "Posso passare a ritirarlo? Basta il nome?",
    ],
)
def test_only_looks_like_it(text: str) -> None:
    assert wish(text) is None


@each(
    "text, expected",
    [
        ("START", "start"),
        ("unstop", "start"),
        ("Subscribe", "start"),
        ("opt in", "start"),
        ("HELP", "help"),
        ("info", "help"),
        ("Ayuda", "help"),
        ("Hilfe!", "help"),
        ("yes", None),
    ],
)
def test_back_in_and_help(text: str, expected: str | None) -> None:
    assert wish(text) == expected


def test_quick_whatever_is_sent() -> None:
    ordinary = "Hello, my order 1234 has not arrived yet and I would like to know where it is. Thank you, Ann"
    started = time.perf_counter()
    for _ in range(200):
        wish(ordinary)
    assert (time.perf_counter() - started) / 200 < 0.001
    for nasty in (
        "stop " * 5000,
        "do not " * 5000,
        "a" * 100_000,
        "’" * 50_000,
        "on " * 20_000 + "wrote",
        "stop of " * 9999,
    ):
        started = time.perf_counter()
        wish(nasty)
        assert time.perf_counter() - started < 0.5


@settings(max_examples=300)
@given(
    st.sampled_from(ASKS).flatmap(
        lambda asks: st.from_regex(asks, alphabet=st.characters(max_codepoint=127))
    ),
    st.sampled_from(["", "Invoice 4711. ", "My dear\n", "x, "]),
    st.sampled_from(["", ".", " Ann", "\n> On Monday we wrote"]),
)
def test_no_sentence_that_asks_is_ruled_out_at_a_glance(asks: str, before: str, after: str) -> None:
    text = f"{before}{asks}{after}"
    if consent._ASKS.search(consent._plain(consent._own_words(text))):
        assert not consent._surely_none(text)


@each("word", sorted({*KEYWORDS, *CERTAIN}))
def test_no_keyword_is_ruled_out_at_a_glance(word: str) -> None:
    assert not consent._surely_none(word)
    assert not consent._surely_none(f"  {word.upper()}!\n-- \nAnn")
