"""What somebody wrote now, and what they quoted: folded, never thrown away, never hidden where in doubt."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from connectors.mail import body, markup, mime, quotes
from connectors.mail.quotes import Split
from hub.model import MessageReceived
from tests.connectors.mail.corpus import ACCOUNT, AT
from tests.each import each

OLD = "> Is it broken?\n> Bo"
ATTRIBUTIONS = [
    "On Fri, Mar 1, 2024 at 9:12 AM Bo <bo@example.com> wrote:",
    "On 2024-03-01 09:12, Bo wrote:",
    "Am Fr., 1. März 2024 um 09:12 Uhr schrieb Bo <bo@example.com>:",
    "Am 01.03.2024 um 09:12 schrieb Bo:",
    "Le 01/03/2024 à 09:12, Bo a écrit :",
    "Le ven. 1 mars 2024 à 09:12, Bo <bo@example.com> a écrit\u00a0:",
    "El vie, 1 mar 2024 a las 9:12, Bo (<bo@example.com>) escribió:",
    "Il giorno ven 1 mar 2024 alle ore 09:12 Bo <bo@example.com> ha scritto:",
    "Em sex., 1 de mar. de 2024 às 09:12, Bo <bo@example.com> escreveu:",
    "Op vr 1 mrt 2024 om 09:12 schreef Bo <bo@example.com>:",
    "Den fre 1 mars 2024 kl 09:12 skrev Bo <bo@example.com>:",
    "pe 1.3.2024 klo 9.12 Bo (bo@example.com) kirjoitti:",
    "pt., 1 mar 2024 o 09:12 Bo <bo@example.com> napisał(a):",
    "пт, 1 мар. 2024 г. в 09:12, Bo <bo@example.com>:",
    "1 марта 2024 г., 9:12, Bo написал(а):",
    "2024年3月1日(金) 9:12 Bo <bo@example.com>:",
    "Bo <bo@example.com> schrieb am Fr., 1. März 2024, 09:12:",
    "Bo <bo@example.com> ezt írta (időpont: 2024. márc. 1., P, 9:12):",
    "2024-03-01 9:12 GMT+03:00 Bo <\nbo@example.com>:",
    "2024-03-01 09:12:00, Bo <bo@example.com> 写道：",
    "2024년 3월 1일 (금) 오전 9:12, Bo <bo@example.com>님이 작성:",
]


@each("words", ATTRIBUTIONS)
@each("below", [OLD, "Is it broken?\n\nBo"])
def test_an_answer_above_what_it_answers(words: str, below: str) -> None:
    assert quotes.split(f"Yes.\n\n{words}\n\n{below}\n") == Split("Yes.", f"{words}\n\n{below}")


@each("words", ATTRIBUTIONS)
def test_an_answer_below_what_it_answers(words: str) -> None:
    assert quotes.split(f"{words}\n{OLD}\n\nYes.\n") == Split("Yes.", f"{words}\n{OLD}")


@each(
    "head",
    [
        "From: Bo\nSent: Friday\nTo: Ann\nSubject: Kettle",
        "*From:* Bo\n*Sent:* Friday\n*To:* Ann\n*Subject:* Kettle",
        "________________________________\nFrom: Bo\nDate: Friday\nSubject: Kettle",
        "Von: Bo\nGesendet: Freitag\nAn: Ann\nBetreff: Kessel",
        "De : Bo\nEnvoyé : vendredi\nÀ : Ann\nObjet : Bouilloire",
        "De: Bo\nEnviado el: viernes\nPara: Ann\nAsunto: Hervidor",
        "Da: Bo\nInviato: venerdì\nA: Ann\nOggetto: Bollitore",
        "Van: Bo\nVerzonden: vrijdag\nAan: Ann\nOnderwerp: Ketel",
        "Från: Bo\nSkickat: fredag\nTill: Ann\nÄmne: Kittel",
        "Od: Bo\nWysłano: piątek\nDo: Ann\nTemat: Czajnik",
        "От: Бо\nОтправлено: пятница\nКому: Анна\nТема: Чайник",
        "差出人: Bo\n送信日時: 金曜日\n宛先: Ann\n件名: やかん",
        "发件人: Bo\n发送时间: 星期五\n收件人: Ann\n主题: 水壶",
        "-----Original Message-----\nFrom: Bo",
        "---- On Fri, 01 Mar 2024 09:12:00 +0100 Bo <bo@example.com> wrote ----",
        "---- Bo wrote ----",
        "Date: Fri, 1 Mar 2024 09:12:00 -0600\nTo: ann@example.net\nFrom: bo@example.com\nSubject: Kettle",
        "From: Bo <bo@example.com>\nTo: Ann\nDate: Friday",
        "От: Бо\nОтправлено: пятница\nКому: Анна",
        "Feladó: Bo\nElküldve: péntek\nCímzett: Ann\nTárgy: Kanna",
        "De la: Bo\nTrimis: vineri\nCătre: Ann\nSubiect: Ceainic",
        "Από: Bo\nΣτάλθηκε: Παρασκευή\nΠρος: Ann\nΘέμα: Βραστήρας",
        "מאת: Bo\nנשלח: יום שישי\nאל: Ann\nנושא: קומקום",
        "-------- Oprindelig besked --------\nFra: Bo <bo@example.com>\nDato: 01.03.2024  09.12\nTil: Ann\nEmne: Kedel",
        "**From:** Bo\n**Sent:** Friday\n**To:** Ann\n**Subject:** Kettle",
        "From: Bo of a long name\n<bo@example.com>\nSent: Friday\nTo: Ann\nSubject: Kettle",
        "-------- Ursprüngliche Nachricht --------\nVon: Bo",
    ],
)
def test_a_block_of_header_fields(head: str) -> None:
    text = f"Yes.\n\n{head}\n\nIs it broken?"
    assert quotes.split(text) == Split("Yes.", f"{head}\n\nIs it broken?")
    assert quotes.split(text, forward=True) == Split(text, "")


@each("subject", ["Fwd: x", "FW: x", "WG: x", "Tr : x", "RV: x", "转发: x", "  fwd:x"])
def test_subjects_of_mails_sent_on(subject: str) -> None:
    assert quotes.is_forward(subject)
    assert not quotes.is_forward(f"Re: {subject}")


@each(
    "text",
    [
        "On Monday I wrote:\nthe kettle leaks.",
        "My list:\nFrom: the shop\nnothing else",
        "> only a quotation",
        "On Fri, Mar 1, 2024 Bo wrote:\n> a\n\nmine\n\n> b\n\nmine too",
        "-- \nonly a signature",
        "Where is it?\n\nSent via DHL on Friday",
        "Hello.\n\nOn Monday 3 March 2024 your colleague Bo wrote:\n\nwe come.\n\nHe did not.",
        "Bonjour.\n\nLe 3 mars votre collègue m'a écrit :\n\nNous venons.\n\nPersonne !",
        "Please send it to:\n\nAnn Berger <ann@example.net>, flat 12:\nknock.",
        "See the error:\n\n> Error 7",
        "Von meinem Konto wurden 50 Euro abgebucht.",
        "Bitte prüfen.\n\nVon meinem Konto wurden 50 Euro abgebucht.",
        "Où est-il ?\n\nEnvoyé de Paris le 3 mai",
        "Hallo.\n\nGesendet von DHL am Freitag",
        "Missä se on?\n\nLähetetty perjantaina",
        "Mine:\n--\nthe first\n--\nthe second",
        "A ticket, please.\n\nFrom: Berlin\nTo: Paris\nDate: 5 March\n\nTwo of us.",
        "Date: 5 March\nTo: Paris\nSubject: to change\nthank you",
        "Look:\n> a\nmine",
        "",
    ],
)
def test_where_it_is_in_doubt_all_stays_visible(text: str) -> None:
    assert quotes.split(text) == Split(text, "")


@each(
    "signature",
    ["-- \nAnn\n+44 20 7946 0000", "--\nAnn", "Sent from my iPhone", "Von meinem iPhone gesendet",
     "Get Outlook for iOS", "Laden Sie Outlook für iOS herunter<https://aka.ms/o0ukef>",
     "Von meinem/meiner Galaxy gesendet", "Sent via Superhuman",
     "Diese Nachricht wurde von meinem Android Mobiltelefon mit GMX Mail gesendet.", "Sent from Mail for Windows",
     "Envoyé depuis mon téléphone", "Enviado desde mi iPhone", "Wysłane z telefonu",
     "Отправлено с iPhone", "iPhoneから送信"],
)  # fmt: skip
def test_signatures_are_folded(signature: str) -> None:
    assert quotes.split(f"Hello.\n\n{signature}") == Split("Hello.", signature)
    assert quotes.split(f"Hello.\n\n{signature}\n\n{ATTRIBUTIONS[0]}\n{OLD}").visible == "Hello."


def test_a_quotation_that_is_announced_in_another_way_is_folded() -> None:
    text = f"Yes.\n\nBo <bo@example.com> has written:\n{OLD}"
    assert quotes.split(text) == Split("Yes.\n\nBo <bo@example.com> has written:", OLD)


def test_what_somebody_quotes_above_the_mail_that_is_answered_is_theirs() -> None:
    text = f"It says:\n\n> Error 7\n\n{ATTRIBUTIONS[0]}\n{OLD}"
    assert quotes.split(text) == Split("It says:\n\n> Error 7", f"{ATTRIBUTIONS[0]}\n{OLD}")


def test_what_markup_marks_as_below_is_folded() -> None:
    text = markup.to_text("<div>Yes.</div><hr><div id='divRplyFwdMsg'>whatever stands here</div><p>Old.</p>")
    assert quotes.split(text).visible.startswith("Yes.")
    assert "Old." in quotes.split(text).folded


_LINES = st.lists(
    st.sampled_from(
        ["> a", ">> b", "mine", "", "-- ", "On Fri, Mar 1, 2024 Bo wrote:", "From: Bo", "To: Ann", "Subject: x",
         "Sent: y",
         "________________", "Sent from my iPhone",
         "---------- Forwarded message ---------", quotes.BOUNDARY, "a:", ":"]
    ),
    max_size=25,
)  # fmt: skip


@given(_LINES, st.booleans())
def test_no_line_is_lost_whatever_stands_where(lines: list[str], forward: bool) -> None:
    split = quotes.split("\n".join(lines), forward=forward)
    kept = [line for line in lines if line.strip() and line != quotes.BOUNDARY]
    found = [line for line in f"{split.visible}\n{split.folded}".split("\n") if line.strip()]
    assert sorted(line.strip() for line in found) == sorted(line.strip() for line in kept)
    assert split.visible.strip() or not kept


@each(
    "line",
    [
        "On On On " * 100,
        "wrote: " * 60,
        "a" * 399 + ":",
        "1 <a@b " * 50 + ":",
        ">" * 300,
        "\u5e74" * 300 + ":",
    ],
)
def test_what_looks_like_an_attribution_takes_no_time(line: str) -> None:
    before = time.process_time()
    quotes.split(f"{line}\n" * (body.TEXT_CHARS // len(line)))
    assert time.process_time() - before < 1


@each("subject", ["Re: x", "AW: x", "Re[2]: x", "SV : x", "Antw: x", "回复：x", "Vá: x"])
def test_subjects_of_answers(subject: str) -> None:
    assert quotes.is_answer(subject)


@each("subject", ["Kettle", "My order: late", "", ":"])
def test_subjects_of_first_mails(subject: str) -> None:
    assert not quotes.is_answer(subject)


def test_a_form_on_a_page_writes_header_rows_too() -> None:
    form = "Somebody wrote by your page:\n\nFrom: Ann\nDate: today\nSubject: Kettle\n\nIt drips."
    assert quotes.split(form, answers=False) == Split(form, "")
    assert quotes.split(form).visible == "Somebody wrote by your page:"
    for fields, seen in (
        ("Subject: Your page", True),
        ("Subject: Re: x", False),
        ("In-Reply-To: <1@a>", False),
    ):
        (event,) = mime.read(f"From: ann@example.net\n{fields}\n\n{form}\n".encode(), ACCOUNT, AT).events
        assert isinstance(event, MessageReceived)
        assert ("It drips." in event.text) is seen
