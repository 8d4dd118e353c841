"""The words of router/consent.py: keywords in seven languages, sentences that ask for no more, and what only seems to.

Patterns are matched by re2, so no text can make them slow, against text in small letters without accents, apostrophes,
hyphens or other punctuation: "Don't e-mail me" is "dont e mail me", "m'écrire" is "m ecrire".
"""

# ruff: noqa: E501 - a pattern a line reads better than one wrapped

from __future__ import annotations

import re
from typing import Literal

Wish = Literal["stop", "start", "help"]

# The whole message, once case, accents and punctuation are gone. Carriers and Twilio act on these themselves, too
# (help.twilio.com, "Twilio support for opt-out keywords"); those of other languages are what senders there announce.
_KEYWORDS: tuple[tuple[Wish, str], ...] = (
    (
        "stop",
        "stop|stopall|stop all|quit|end|revoke|opt out|optout|cancel|unsubscribe|unsubscribe me|remove me|"
        "no more|leave me alone|opt me out|"
        "baja|alto|parar|pare|para|detener|detente|basta|no mas|cancelar|desuscribir|darme de baja|dar de baja|"
        "arret|arrete|arretez|arreter|arrett|desabonner|desabonnement|desinscription|me desabonner|"
        "stopp|stoppen|aufhoren|aufhoeren|abmelden|abmeldung|abbestellen|austragen|"
        "sair|descadastrar|remover|cancelar inscricao|nao quero mais|"
        "ferma|fermare|fermate|fermati|disiscrivi|disiscrivimi|cancellami|disiscrizione|"
        "stoppe|afmelden|uitschrijven|avsluta|avregistrera|rezygnuje|wypisz",
    ),
    (
        "start",
        "start|unstop|subscribe|resubscribe|opt in|optin|opt me in|alta|darme de alta|suscribir|"
        "reprendre|reabonner|starten|anmelden|inscrever|iscrivimi|iscriviti",
    ),
    ("help", "help|info|aide|ayuda|hilfe|ajuda|aiuto"),
)
KEYWORDS: dict[str, Wish] = {word: wish for wish, words in _KEYWORDS for word in words.split("|")}
# Words that may stand around a keyword that leaves no doubt: "ok STOP it now please", but not "cancel it please",
# which is about an order more often than not.
# fmt: off
CERTAIN = frozenset(
    [
        "stop", "stopall", "unsubscribe", "opt out", "optout", "unsubscribe me", "remove me", "leave me alone",
        "opt me out", "revoke", "darme de baja", "desabonner", "me desabonner", "stopp", "abmelden",
        "abbestellen", "descadastrar", "disiscrivimi", "cancellami", "arretez", "arrete", "no mas", "pare",
        "basta", "fermate", "fermati",
    ]
)
# fmt: on
# fmt: off
FILLERS = frozenset(
    [
        "please", "pls", "plz", "now", "ok", "okay", "just", "thanks", "thank", "you", "hi", "hello", "hey",
        "immediately", "it", "this", "that", "i", "said", "all", "already", "asap", "yes", "and", "dear",
        "sir", "madam", "team", "for", "the", "love", "of", "god", "everything", "por", "favor", "ya",
        "gracias", "hola", "s", "il", "vous", "te", "plait", "merci", "bonjour", "maintenant", "bitte",
        "danke", "hallo", "jetzt", "sofort", "mich", "mir", "das", "obrigado", "obrigada", "ola", "agora",
        "per", "favore", "grazie", "ciao", "adesso", "subito", "svp", "ti", "pf",
    ]
)
# fmt: on

# Verbs and nouns that the patterns share.
_CONTACT = (
    r"(?:text|sms|messag|mail|e ?mail|call|phon|ring|contact|writ|send|spam|bother|harass|pester|notify|notif|"
    r"reach)\w*"
)
_THINGS = (
    r"(?:texts?|sms|smses|messages?|msgs?|mails?|e ?mails?|newsletters?|calls?|notifications?|updates?|alerts?|"
    r"reminders?|spam|marketing|ads?|advert\w*|promotion\w*|promos?|mailings?|communications?)"
)
_OF_OURS = r"(?:(?:of )?(?:all|any|any more|these|those|your|the|this|such|further|more|sending|getting|me|us|to|from|with|of|marketing|stupid|damn|annoying|unwanted|unsolicited) ){0,5}"
# Each sentence that holds one of these asks for no more. Accents are gone, apostrophes too ("dont", "d argent").
ASKS = (
    # English
    rf"\b(?:stop|quit|cease) (?:\w+ ){{0,1}}{_CONTACT} (?:to )?(?:me|us|my|this number|these|this|any)\b",
    rf"\bstop {_OF_OURS}{_THINGS}\b",
    rf"\bend {_OF_OURS}{_THINGS}\b",
    r"\b(?:do not|dont|never|please no longer|not to) (?:ever |please )?"
    r"(?:text|message|mail|e ?mail|call|phone|contact|write|spam|sms|bother)(?: to)? (?:me|us|this number)\b",
    rf"\b(?:do not|dont|never) (?:ever )?send (?:me |us )?{_OF_OURS}{_THINGS}\b",
    rf"\b(?:do not|dont|no longer) (?:want|wish|need|care)(?: to)? (?:(?:get|receive|be|hear|have) )?{_OF_OURS}"
    rf"(?:{_THINGS}|from you|contacted|texted|called|e ?mailed|messaged)\b",
    rf"\b(?:no more|no further|enough) (?:of )?{_OF_OURS}{_THINGS}\b",
    r"\b(?:take|remove|delete|drop|get|cross|strike) (?:me|us|my (?:name|number|e ?mail|address|phone number)|this number) "
    r"(?:off|from|of) (?:of )?(?:your|the|this|that|all|any|every)\b[\w ]{0,30}\b(?:lists?|mailings?|database|contacts?)\b",
    r"\bunsubscribe (?:me|us|my|this)\b",
    rf"\bunsubscribe (?:from|to) {_OF_OURS}(?:{_THINGS}|lists?|everything)\b",
    r"\b(?:want|like|wish|need|going|trying|tried|asked|how (?:do i|can i|to)) (?:to )?(?:unsubscribe|opt out)\b",
    r"\bopt (?:me|us) out\b",
    rf"\bopt(?:ing)? out of {_OF_OURS}{_THINGS}\b",
    r"\b(?:revoke|withdraw|cancel) (?:my|our|any|all) (?:prior |express |previous )*consent\b",
    rf"\bcancel {_OF_OURS}{_THINGS}\b",
    r"\b(?:lose|forget|delete|erase) my (?:phone )?number\b",
    r"\bleave me (?:alone|in peace)\b",
    # Spanish
    r"\b(?:deje|dejen|deja|dejad|paren|pare|para|basta) (?:ya )?de (?:enviar|mandar|escribir|llamar|molestar|contactar)\w*",
    r"\bno (?:me|nos) (?:envi\w+|mand\w+|escrib\w+|llam\w+|molest\w+|contact\w+)(?: mas| nunca| nada| mensajes| correos| sms)\b",
    r"\bno (?:quiero|deseo|queremos|deseamos) (?:\w+ )?(?:recibir|mas) (?:\w+ )?(?:mas )?(?:mensajes|sms|correos|emails|llamadas|publicidad|noticias|avisos)\b",
    r"\bno (?:quiero|deseo) que me (?:escrib|llam|contact|mand|envi)\w+",
    r"\b(?:no mas|basta de) (?:mensajes|sms|correos|emails|llamadas|publicidad)\b",
    r"\b(?:den?me|darme|darnos|que me den|dar) de baja de (?:la |su |sus |esta |este |todas? )*(?:lista|listas|boletin|correos|mensajes|newsletter|suscripciones)\b",
    r"\b(?:quiten|quita|quite|borren|borra|borre|saquen|saca|elimin\w+)(?:me| me| mi numero| mi correo) de (?:la|su|sus|esta|tu) (?:lista|base)\b",
    # French
    r"\b(?:arretez|arrete|arreter|cessez|cesser|cesse) (?:svp |s il vous plait )?(?:de |d )(?:m |me |nous )(?:envoyer|ecrire|appeler|contacter|deranger|harceler|spammer)\b",
    r"\bne (?:m |me |nous )(?:envoyez|envoie|ecrivez|ecris|appelez|appelle|contactez|contacte|derangez) (?:plus|jamais)\b",
    r"\b(?:ne )?(?:veux|souhaite|desire|voulons|souhaitons) plus (?:recevoir|etre contacte\w*|de (?:messages?|sms|mails?|courriels?|appels?|publicite))\b",
    r"\bplus (?:de|aucun) (?:messages?|sms|mails?|e ?mails?|courriels?|appels?|publicites?) (?:svp|s il vous plait|merci|de votre part)\b",
    r"\b(?:desabonnez|desinscrivez|desabonne|desinscris|retirez|supprimez|enlevez)(?: | moi | )(?:moi|nous|mon numero|mon adresse|mon e ?mail)\b",
    r"\bme (?:desabonner|desinscrire) (?:de |d )(?:la |votre |vos |cette |toutes? )*(?:liste|listes|newsletter|messages|sms|mails|e ?mails|courriels|envois)\b",
    # German
    r"\b(?:hor\w*|hoer\w*) (?:bitte |endlich |sofort )*(?:sie |ihr )?(?:bitte |endlich |sofort )*(?:auf|damit auf),? (?:mir|mich|uns)\b",
    r"\b(?:keine?|nie wieder|nicht (?:mehr|langer|laenger)) (?:weiteren? |mehr )?(?:nachrichten|sms|mails?|e ?mails?|anrufe|werbung|newsletter|infos|benachrichtigungen)(?: mehr| erhalten| bekommen| von (?:ihnen|euch)| senden| schicken| bitte)",
    r"\b(?:schreib\w*|ruf\w*|kontaktier\w*|belastig\w*|belaestig\w*|schick\w*|send\w*) (?:sie |ihr )?(?:mir|mich|uns)?(?: bitte)? ?(?:nicht mehr|nie wieder|nie mehr|keine? (?:weiteren? )?(?:nachrichten|sms|mails?|e ?mails?|werbung|newsletter))\b",
    r"\b(?:will|mochte|moechte|wunsche|wuensche|wollen|mochten) (?:ich |wir )?(?:nicht (?:mehr|langer|laenger)|keine?) (?:\w+ ){0,3}(?:kontaktiert|angeschrieben|angerufen|nachrichten|sms|mails?|e ?mails?|werbung|newsletter|anrufe)\b",
    r"\b(?:nehmen|nehmt|nimm|streichen|streicht|loschen|loeschen|entfernen|tragen) (?:sie |ihr )?(?:mich|meine (?:nummer|adresse|e ?mail)) (?:bitte )?(?:aus|von) \w+ (?:\w+ )?(?:liste|verteiler|datenbank|mailingliste)\b",
    r"\b(?:melden|meldet|meld) (?:sie |ihr )?mich (?:bitte )?(?:von|vom) (?:\w+ )?(?:newsletter|verteiler|liste|nachrichten)?\b[\w ]{0,12}\bab\b",
    r"\b(?:einwilligung|zustimmung) (?:\w+ ){0,4}(?:widerruf\w*|zuruck|zurueck)\b|\bwiderruf\w* (?:\w+ ){0,4}(?:einwilligung|zustimmung)\b",
    r"\blass(?:en|t)? (?:sie |ihr )?mich in ruhe\b",
    # Portuguese
    r"\b(?:pare|parem|para|chega|deixem?|deixe) (?:ja )?de (?:me |nos )?(?:enviar|mandar|escrever|ligar|contatar|contactar|incomodar)\w*",
    r"\bnao (?:me )?(?:envi\w+|mand\w+|escrev\w+|lig\w+|contat\w+|contact\w+)(?: me)? (?:mais|nunca)\b",
    r"\bnao (?:quero|desejo|queremos) (?:mais )?(?:receber|mensagens|sms|emails?|ligacoes|ser contatad\w)(?: mais)?\b",
    r"\b(?:remov\w+|retir\w+|tir\w+|exclu\w+)(?: me| meu numero| meu email|me) d(?:a|e|essa|esta) (?:sua )?lista\b",
    r"\b(?:chega de|sem mais|nao mais) (?:mensagens|sms|emails?|ligacoes|propaganda)\b",
    # Italian
    r"\b(?:smett\w+|basta|finit\w+|cessat\w+) di (?:mandar|inviar|scriver|chiamar|contattar|disturbar)\w*",
    r"\bnon (?:mandat\w+|inviat\w+|scrivet\w+|chiamat\w+|contattat\w+|mandar\w+|inviar\w+|scriver\w+|chiamar\w+|contattar\w+) (?:mi )?(?:piu|mai piu)\b",
    r"\bnon (?:voglio|desidero|vogliamo) (?:piu )?(?:ricevere|essere contattat\w|altri messaggi|sms|messaggi|email)\b",
    r"\b(?:toglie\w*|rimuove\w*|cancella\w*|elimina\w*)(?:mi| mi| il mio numero| la mia email) da(?:l|lla|i|lle)? (?:vostra |vostre |tua |questa )?(?:list\w|mailing list|newsletter|database)\b",
    r"\bbasta (?:con (?:i |gli |le )?)?(?:messaggi|sms|email|chiamate|pubblicita)\b",
)
# A sentence with one of these means something else: when, where or how instead, or the very opposite.
EXCEPTIONS = (
    r"^(?:please |but |and |so )?(?:do not|dont|never) (?:ever )?(?:stop|unsubscribe|remove|quit|cease|cancel|opt|take|delete)\b",
    r"\b(?:didnt|did not|havent|have not|cant|cannot|not|never) (?:ever |asked? to |want to )?(?:stop|unsubscribe|remove|opt)\w*\b",
    r"^(?:so |and |but |hi |hello )?(?:did|have|has|does|why|when) (?:did |have |has |do |does )?(?:you|they|it|we|i)\b",
    r"\b(?:instead|rather than|but (?:text|e ?mail|write|message|call|whatsapp)|only (?:text|e ?mail|write|message|call)|"
    r"(?:text|e ?mail|write to|message|call) me (?:here|by|at|on|via|only|rather))\b",
    r"\b(?:until|till|before|after) (?:\d|noon|work|i|my|the|we|then|next|monday|tomorrow|one|two|three|six|eight|nine)",
    r"\b(?:dont|do not) (?:\w+ ){0,4}(?:at work|at night|at home|today|tonight|tomorrow|"
    r"this (?:morning|afternoon|evening|week)|on (?:mon|tues|wednes|thurs|fri|satur|sun)days?)\b",
    r"\b(?:unless|about (?:this|that|it|my)|in (?:the|your|my) app|from my (?:account|profile))\b",
    r"\b(?:there|had|got|received|was|were|not|dont|do not|didnt) (?:\w+ )?(?:no more|no further|enough)\b",
    r"\b(?:sino|mejor|hasta|antes de|despues de|en vez de|en el trabajo)\b",
    r"\b(?:plutot|avant|apres|jusqu|au travail|sauf)\b",
    r"\b(?:sondern|stattdessen|lieber|bis|vor|nach \d+|ausser)\b",
    r"\b(?:invece|piuttosto|prima|dopo le|fino)\b",
    r"\b(?:em vez|antes|depois das|ate as)\b",
)

# Where somebody else's words, or a signature, begin.
QUOTED = re.compile(
    r"^[ \t]*(?:>|-{2,}[ \t]*(?:original|forwarded|urspr|message d|mensaje or|mensagem or|messaggio or)|_{8,}|--[ \t]*$|"
    r"(?:on|am|le|el|em|il|op)\b[^\n]{4,200}(?:wrote|schrieb|a écrit|escribió|escreveu|ha scritto|schreef)\b[^\n]*:?[ \t]*$|"
    r"(?:from|von|de|da|sent from|envoyé de|gesendet von|enviado desde|enviado do|inviato da)\b ?[^\n]*(?:@|my |meinem |mon |mi |meu |il mio |iphone|android))",
    re.IGNORECASE | re.MULTILINE,
)
