"""Which part of a mail its author wrote now, and which is quoted or a signature. Nothing is thrown away.

A reader sees the first and unfolds the second. Where it is in doubt the text stays visible: showing a quotation does
no harm, hiding an answer does. Line by line and with patterns that hold no nested repeats, so that the time is linear.
Signatures: RFC 3676, 4.3. Attributions and header blocks are what mail programs write, learnt from looking at them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BOUNDARY = "\x02"  # (no blank to str.strip) a line of this alone: markup.py saw that all below is the mail that is answered
PART = "\x03"  # and a line of this: here another part of the mail begins
MARKER = "reply above this line"  # what we may put into our own mails (RFC has nothing for it)

_LINE = 400  # a longer line is nobody's attribution
_LINES = 20_000

# Each is tried on a line, or on two or three joined: mail programs wrap them at 72 columns.
_WROTE = re.compile(
    "|".join(
        (
            r"On\b.{6,300}\bwrote\s?:",
            r"(?:Am|Den)\b.{6,300}\b(?:schrieb|geschrieben)\b.{0,120}:",
            r"Le\b.{6,300}\ba écrit\s?:",
            r"El\b.{6,300}\bescribi[óo]\s?:",
            r"Il\b.{6,300}\bha scritto\s?:",
            r"(?:Em|A|No dia|Na)\b.{6,300}\bescreveu\s?:",
            r"Op\b.{6,300}\bschreef\b.{0,120}:",
            r"(?:Den|På|Fra|Kl\.?)\b.{6,300}\bskrev\b.{0,120}:",
            r".{6,300}\bkirjoitti\s?:",
            r"(?:W dniu|Dnia|Dne|.{1,60})\b.{6,240}\b(?:napisał|napisała|napisał\(a\)|pisze|napsal|napsala|napsal\(a\))"
            r".{0,120}:",
            r".{6,300}(?:написал|написала|писал|писала|пишет|написав|пише)(?:\(а\))?.{0,120}:",
            r".{6,300}\byazdı\s?:",
            r".{3,300}(?:写道|寫道)\s?[:：]",
            r"\d{4}年\d{1,2}月\d{1,2}日.{0,200}[:：]",
            r".{6,200}님이 작성\s?:",
            r"(?:בתאריך|ב).{6,300}(?:כתב|כתבה|כתב/ה)\s?.{0,80}:",
            r".{0,160}\d.{0,200}<[^<>\s@]{1,80}@[^<>\s]{1,120}>.{0,60}:",
            r"[^<>]{0,160}<[^<>\s@]{1,80}@[^<>\s]{1,120}>.{2,60}\b\d{1,4}\b.{0,80}:",
        )
    )
)
_ORIGINAL = re.compile(
    r"[-_=* ]{2,}\s?(?:Original Message|Original-Nachricht|Ursprüngliche Nachricht|Message d'origine|Message original|"
    r"Mensaje original|Messaggio originale|Mensagem original|Oorspronkelijk bericht|Ursprungligt meddelande|"
    r"Oprindelig meddelelse|Opprinnelig melding|Alkuperäinen viesti|Wiadomość oryginalna|Původní zpráva|"
    r"Исходное сообщение|Orijinal Mesaj|元のメッセージ|原始邮件|原始郵件|원본 메시지|"
    r"[^\s\-][^\n]{2,200}\bwrote)\s?[-_=* ]{2,}",  # Samsung's and Zoho's
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"[-_=* ]{0,40}\s?(?:Forwarded message|Begin forwarded message|Weitergeleitete Nachricht|"
    r"Anfang der weitergeleiteten (?:Nachricht|E-Mail)|Message transféré|Message transmis|Début du message (?:transféré|"
    r"réexpédié)|Mensaje reenviado|Inicio del mensaje reenviado|Messaggio inoltrato|Inizio messaggio inoltrato|"
    r"Mensagem encaminhada|Doorgestuurd bericht|Begin doorgestuurd bericht|Vidarebefordrat meddelande|"
    r"Videresendt meddelelse|Przekazana wiadomość|Přeposlaná zpráva|Пересылаемое сообщение|転送されたメッセージ|转发的邮件)"
    r"\s?:?\s?[-_=* ]{0,40}",
    re.IGNORECASE,
)
_ANSWERS = re.compile(r"\s*[^\s:：]{1,8}\s?(?:\[\d{1,3}\]|\(\d{1,3}\))?\s?[:：]")
_SENT_ON = re.compile(
    r"\s*(?:fwd?|wg|tr|rv|enc|i|doorst|vb|vl|vs|pd|转发|轉寄|転送|전달|пересл)\s?[:：]", re.IGNORECASE
)
_FROM = "From|Von|De|Da|Van|Från|Fra|Lähettäjä|Od|От|Отправитель|Kimden|差出人|发件人|寄件者|보낸 사람|Expéditeur|Mittente|Feladó|De la|Από|Від|Dari|מאת|من"
_SENT = (
    "Sent|Gesendet|Envoyé|Enviado|Enviado el|Inviato|Verzonden|Skickat|Sendt|Lähetetty|Wysłano|Odesláno|Отправлено|"
    "Gönderildi|送信日時|发送时间|寄件日期|보낸 날짜|Elküldve|Trimis|Στάλθηκε|Odoslané|"
    "Poslano|Изпратено|Надіслано|Terkirim|נשלח|تم الإرسال"
)
_WHEN = f"{_SENT}|Date|Datum|Fecha|Data|Dato|Päivämäärä|Дата|日期|日付"
_TO = "To|An|À|A|Para|Aan|Till|Til|Vastaanottaja|Do|Komu|Кому|Kime|宛先|收件人|收件者|받는 사람|Cc|Kopie|Copie|Destinataire|Címzett|Către|Προς|Za|До|Kepada|אל|إلى"
_ABOUT = "Subject|Betreff|Objet|Asunto|Oggetto|Assunto|Onderwerp|Ämne|Emne|Aihe|Temat|Předmět|Тема|Konu|件名|主题|主旨|제목|Tárgy|Subiect|Θέμα|Predmet|Относно|Perihal|נושא|الموضوع"
_COLON = r"\s?\*?\s?[:：]"
_HEAD_FROM = re.compile(rf"\*{{0,2}}(?:{_FROM}){_COLON}", re.IGNORECASE)
_HEAD_ANY = re.compile(rf"\*{{0,2}}(?:{_WHEN}|{_TO}|{_ABOUT}){_COLON}", re.IGNORECASE)
_HEAD_OF_MAIL = re.compile(rf"\*{{0,2}}(?:{_SENT}|{_ABOUT}){_COLON}", re.IGNORECASE)
_TIME = re.compile(r"(?<![\d.])\d{1,2}[:.h]\d{2}(?![\d.])")
_RULE = re.compile(r"[_\-=]{10,}")
_ANNOUNCED = re.compile(r"[-_=]{3,}\s?[^\s\-_=].{2,60}?[-_=]{3,}")  # "original message", in whatever language
# Parcels are sent too, and from many places: so a device or a program must be named.
_DEVICES = (
    r"(?:iPhone|iPad|iPod|Galaxy|Samsung|Android|Huawei|Xiaomi|Pixel|BlackBerry|Nokia|Xperia|Motorola|OnePlus|Handy|"
    r"Smartphone|Mobiltelefon|Mobilgerät|Tablet|telefoon|téléphone|(?:tele)?phone|telefon|telefono|teléfono|móvil|celular|"
    r"cellulare|mobil|mobile|matkapuhelin|telefonu|Outlook|Yahoo|Gmail|AOL|Proton(?:mail)?|GMX|WEB\.DE|T-Online|Telekom|"
    r"Superhuman|Spark|Mail for|Mail App|Mailbox|courriel|Mail pour|Mail für)"
)
_DEVICE = re.compile(
    r"(?:(?:Sent (?:from|with|via|using)|Gesendet (?:von|mit|aus|via)|Envoyé (?:de|depuis|à partir|avec)|Enviado (?:desde|do|"
    r"de|con|com|a partir)|Inviato (?:da|con|dal)|Verzonden (?:vanaf|via|met|vanuit)|Skickat från|Sendt fra|Lähetetty|"
    rf"Wysłan[eoy] z|Odesláno z|Отправлено (?:с|из)) .{{0,60}}?{_DEVICES}.{{0,80}}|"
    rf"(?:Von|Diese Nachricht wurde von) mein\S{{1,12}} .{{0,60}}?{_DEVICES}.{{0,40}}\bgesendet.{{0,40}}|"
    r"(?:Get Outlook for |Holen Sie sich Outlook|Obtenir Outlook|Obtener Outlook|Télécharger Outlook |iPhoneから送信|发自我的|"
    r"從我的 iPhone 傳送|[^.!?]{0,40}\bOutlook\b[^.!?]{0,30}[<(\[]https://aka\.ms/).{0,80})",
    re.IGNORECASE,
)
_SIGNATURE_LINES = 15


@dataclass(frozen=True, slots=True)
class Split:
    """visible: what to read. folded: quotations and signatures in their order, empty where there are none."""

    visible: str
    folded: str


def is_forward(subject: str) -> bool:
    """Does a subject say that somebody else's mail is sent on? Then that mail is what there is to read."""
    return bool(_SENT_ON.match(subject))


def is_answer(subject: str) -> bool:
    """Does a subject begin as answers do ("Re:", in whatever language)?"""
    return bool(_ANSWERS.match(subject))


def split(text: str, *, forward: bool = False, answers: bool = True) -> Split:
    """Part `text`. What is visible is never empty where `text` is not. forward: see is_forward. answers: it is
    an answer, so that rows of header fields in it are a mail's; a form on a page writes such rows too."""
    lines: list[str] = []
    starts: list[int] = []  # of the mail's parts
    for line in text.split("\n", _LINES):
        if line == PART:
            starts.append(len(lines))
        else:
            lines.append(line)
    end = _cut(lines, forward, answers)
    body, below = lines[:end], lines[end:]
    body, above = _top_quote(body) if not below or _blank(below) else (body, [])
    body, tail = _bottom_quote(body) if _blank(below) else (body, [])
    body, signature = _signature(body, [at - len(above) for at in starts])
    visible = _joined(body)
    if not visible:
        return Split(_joined([line for line in lines if line != BOUNDARY]), "")
    folded = [_joined(part) for part in (above, signature, tail, below)]
    return Split(visible, "\n\n".join(part for part in folded if part))


def _joined(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line != BOUNDARY).strip("\n").rstrip()


def _blank(lines: list[str]) -> bool:
    return not any(line.strip() for line in lines)


def _quoted(line: str) -> bool:
    return line.lstrip().startswith((">", "|> "))


def _cut(lines: list[str], forward: bool, answers: bool) -> int:
    """The line from which on all is the mail that is answered; the number of lines where there is no such place.

    Something must stand above: a mail that begins with a header block is a forwarded one, and all of it is its text.
    """
    something = False
    for at, line in enumerate(lines):
        bare = line.strip()
        if not bare or len(bare) > _LINE:
            something = something or bool(bare)
            continue
        if _FORWARDED.fullmatch(bare):
            return len(lines)  # what follows was sent on for us to read
        if _quoted(bare):
            continue
        if forward and (bare == BOUNDARY or _ORIGINAL.fullmatch(bare) or _block(lines, at)):
            return len(lines)
        if something and (bare == BOUNDARY or _ORIGINAL.fullmatch(bare) or MARKER in bare.lower()):
            return at
        if something and answers and _block(lines, at):
            return at
        if something and (taken := _attribution(lines, at)) and _quotes_to_the_end(lines, at, taken):
            return at
        if bare != BOUNDARY:
            something = True
    return len(lines)


def _block(lines: list[str], at: int) -> bool:
    """Outlook's way: From, Sent, To and Subject in a row, perhaps below a rule; Hotmail's begins with the date. Whoever
    asks for a journey writes such rows too: so it must be one that was sent, or have a subject, or be from an address."""
    first = lines[at].strip()
    start = at + 1 if _RULE.fullmatch(first) or _ANNOUNCED.fullmatch(first) else at
    near = [line.strip() for line in lines[start : start + 12] if line.strip()][:8]
    if len(near) < 3 or not all(_HEAD_FROM.match(line) or _HEAD_ANY.match(line) for line in near[:1]):
        return False
    sender = next((at for at, line in enumerate(near[:5]) if _HEAD_FROM.match(line)), None)
    if sender is None or (sender and not all(_HEAD_ANY.match(line) for line in near[:sender])):
        return False
    others = sum(1 for line in near[:6] if _HEAD_ANY.match(line))
    return others >= 2 and ("@" in near[sender] or any(_HEAD_OF_MAIL.match(line) for line in near))


def _attribution(lines: list[str], at: int) -> int:
    """How many lines the words "On … Ann wrote:" take here; 0 where they are not here."""
    joined = ""
    for count in range(1, 4):
        if at + count > len(lines):
            return 0
        line = lines[at + count - 1].strip()
        if not line or _quoted(line):
            return 0
        joined = f"{joined}{'' if joined.endswith('<') else ' '}{line}" if joined else line
        if len(joined) > _LINE:
            return 0
        if joined[-1] in ":：" and _WROTE.fullmatch(joined):
            return count
    return 0


def _quotes_to_the_end(lines: list[str], at: int, taken: int) -> bool:
    """Below an attribution: quoted lines to the end; or none at all, by programs that do not mark what they quote. They
    say the time of day; people who tell what somebody wrote seldom do."""
    rest = [line for line in lines[at + taken :] if line.strip()]
    marked = [_quoted(line) for line in rest]
    if not any(marked):
        return bool(_TIME.search(" ".join(lines[at : at + taken])))
    last = len(marked) - 1 - marked[::-1].index(True)
    return all(marked[: last + 1]) and _is_signature(rest[last + 1 :])


def _top_quote(lines: list[str]) -> tuple[list[str], list[str]]:
    """An answer below what it answers: (the answer, the quotation). Answers between quotations stay where they are."""
    start = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    at = start + (_attribution(lines, start) if start < len(lines) else 0)
    while at < len(lines) and not lines[at].strip():
        at += 1
    if at >= len(lines) or not _quoted(lines[at]):
        return lines, []
    while at < len(lines) and (_quoted(lines[at]) or not lines[at].strip()):
        at += 1
    rest = lines[at:]
    if _blank(rest) or any(_quoted(line) for line in rest) or _is_signature([x for x in rest if x.strip()]):
        return lines, []
    return rest, lines[:at]


def _bottom_quote(lines: list[str]) -> tuple[list[str], list[str]]:
    """Quoted lines at the end that nobody answered below, with the words that announce them."""
    at = len(lines)
    while at > 0 and (_quoted(lines[at - 1]) or not lines[at - 1].strip()):
        at -= 1
    if at == len(lines) or not any(_quoted(line) for line in lines[at:]):
        return lines, []
    if any(_quoted(line) for line in lines[:at]):
        return lines, []  # answers stand between quotations: the last one belongs to them
    for back in range(3, 0, -1):
        if at >= back and _attribution(lines, at - back) == back:
            return lines[: at - back], lines[at - back :]
    above = next((line.strip() for line in reversed(lines[:at]) if line.strip()), "")
    if above.endswith((":", "：")) and "@" not in above and not _TIME.search(above[-_LINE:]):
        return lines, []  # they quote something to show it
    return lines[:at], lines[at:]


def _signature(lines: list[str], starts: list[int]) -> tuple[list[str], list[str]]:
    """(the words, the signature). It ends where another part of the mail begins: there may be more words.

    Who draws several rules parts a text by them.
    """
    rules = ("--", "—")
    ruled = sum(1 for line in lines if line.strip() in rules) > 1
    for at in range(len(lines) - 1, max(-1, len(lines) - 60), -1):
        if lines[at].rstrip("\r") == "-- " or (lines[at].strip() in rules and not ruled):
            end = next((start for start in starts if start > at), len(lines))
            if end - at <= 2 * _SIGNATURE_LINES:
                return lines[:at] + lines[end:], lines[at:end]
    at = len(lines)
    while at > 0 and not lines[at - 1].strip():
        at -= 1
    if at and len(lines[at - 1]) < _LINE and _DEVICE.fullmatch(lines[at - 1].strip().strip("<>[]")):
        return lines[: at - 1], lines[at - 1 :]
    return lines, []


def _is_signature(lines: list[str]) -> bool:
    """Lines (none blank) that say nothing of the matter: none at all, a signature, a device's advertisement."""
    if not lines:
        return True
    first = lines[0].strip()
    return len(lines) <= _SIGNATURE_LINES and (
        first in ("--", "—") or bool(len(first) < _LINE and _DEVICE.fullmatch(first))
    )
