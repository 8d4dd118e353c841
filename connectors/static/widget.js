// Mainstem's web chat. One script tag on any page:
//   <script src="https://hub.example.com/chat/main/widget.js" defer></script>
// data-open opens it at once. docs/channels/webchat.md describes the frames and what is promised.
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || window.__mainstemChat) return;
  window.__mainstemChat = true;
  const base = new URL("./", script.src);
  const address = new URL("ws", base);
  address.protocol = base.protocol === "https:" ? "wss:" : "ws:";

  // ---------------------------------------------------------------- what this browser remembers
  const KEY = "mainstem-chat " + base.href;
  const EMPTY = { token: "", outbox: [], mine: [], delivered: [], read: [] };
  let memory = JSON.stringify(EMPTY); // where storage is denied, the page's own time is all there is
  function load() {
    let text = memory;
    try { text = localStorage.getItem(KEY) || memory; } catch { /* denied */ }
    try { return { ...EMPTY, ...JSON.parse(text) }; } catch { return { ...EMPTY }; }
  }
  // Read, change, write in one go: other tabs of the same visitor write here too.
  function change(how) {
    const kept = load();
    how(kept);
    kept.mine = kept.mine.slice(-100);
    kept.delivered = kept.delivered.slice(-400);
    kept.read = kept.read.slice(-400);
    memory = JSON.stringify(kept);
    try { localStorage.setItem(KEY, memory); } catch { /* denied or full */ }
    return kept;
  }
  const newId = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };

  // ---------------------------------------------------------------- what is on the screen
  const CSS = `
:host { all: initial; }
* { box-sizing: border-box; font: inherit; }
.root { --main: #0b6e5f; --on: #fff; --paper: #fff; --ink: #1c2b2d; --soft: #5f7275; --line: #dfe7e7; --theirs: #eef3f3;
  position: fixed; z-index: 2147483000; right: max(20px, env(safe-area-inset-right)); bottom: max(20px, env(safe-area-inset-bottom));
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); }
@media (prefers-color-scheme: dark) {
  .root { --paper: #182325; --ink: #e7efee; --soft: #9aaeaf; --line: #2c3b3e; --theirs: #263437; } }
button { border: 0; background: none; color: inherit; cursor: pointer; padding: 0; }
button:focus-visible, a:focus-visible { outline: 2px solid var(--main); outline-offset: 2px; }
textarea:focus, input:focus { outline: none; border-color: var(--main); box-shadow: 0 0 0 1px var(--main); }
[hidden] { display: none !important; }
.launch { width: 60px; height: 60px; border-radius: 50%; background: var(--main); color: var(--on); display: grid; place-items: center;
  box-shadow: 0 6px 22px #0b2b2a55; margin-left: auto; position: relative; transition: transform .15s; }
.launch:hover { transform: scale(1.05); }
.badge { position: absolute; top: -2px; right: -2px; min-width: 22px; height: 22px; padding: 0 6px; border-radius: 11px;
  background: #c8321f; color: #fff; font-size: 12px; font-weight: 700; line-height: 22px; text-align: center; }
.panel { width: min(380px, calc(100vw - 40px)); height: min(620px, calc(100dvh - 120px)); margin-bottom: 14px; display: flex; flex-direction: column;
  background: var(--paper); border-radius: 18px; overflow: hidden; box-shadow: 0 14px 50px #0b2b2a44, 0 0 0 1px #0b2b2a14; }
header { display: flex; align-items: center; gap: 10px; padding: 15px 12px 15px 18px; background: var(--main); color: var(--on); }
header h2 { margin: 0; font-size: 17px; font-weight: 650; line-height: 1.2; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
header p { margin: 2px 0 0; font-size: 12.5px; opacity: .88; }
header div { flex: 1; min-width: 0; }
.close { width: 36px; height: 36px; border-radius: 10px; display: grid; place-items: center; }
.close:hover { background: #ffffff2b; }
.close:focus-visible { outline-color: var(--on); }
.log { flex: 1; overflow-y: auto; overscroll-behavior: contain; padding: 16px 14px 8px; display: flex; flex-direction: column; gap: 3px; }
.log:focus-visible { outline: 2px solid var(--main); outline-offset: -2px; }
.day { align-self: center; margin: 10px 0 6px; font-size: 12px; color: var(--soft); }
.message { max-width: 84%; padding: 9px 13px; border-radius: 16px; white-space: pre-wrap; overflow-wrap: anywhere; }
.out { align-self: flex-start; background: var(--theirs); border-bottom-left-radius: 5px; }
.gone, .changed { color: var(--soft); font-style: italic; }
.in { align-self: flex-end; background: var(--main); color: var(--on); border-bottom-right-radius: 5px; }
.in a { color: inherit; }
.out a { color: var(--main); }
.by, .meta { font-size: 12px; color: var(--soft); }
.by { margin: 8px 4px 2px; }
.meta { margin: 2px 4px 6px; }
.meta.right { align-self: flex-end; }
.meta.bad { color: #c8321f; }
.file { display: flex; gap: 7px; align-items: center; margin-top: 4px; padding: 6px 10px; border-radius: 10px; background: #7f9f9f2e; text-align: left; max-width: 100%; }
.file span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.note { padding: 6px 16px; font-size: 13px; color: var(--soft); text-align: center; }
.chips { display: flex; flex-wrap: wrap; gap: 6px; padding: 8px 12px 0; }
.chip { display: flex; gap: 6px; align-items: center; max-width: 100%; padding: 3px 6px 3px 10px; border-radius: 12px; background: var(--theirs); font-size: 13px; }
.chip button { display: grid; place-items: center; width: 24px; height: 24px; }
.empty { margin: auto; padding: 0 30px; text-align: center; color: var(--soft); }
.chip span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
form { border-top: 1px solid var(--line); }
.write { display: flex; align-items: flex-end; gap: 6px; padding: 10px 10px max(10px, env(safe-area-inset-bottom)); }
textarea, input[type=text], input[type=email] { width: 100%; border: 1px solid var(--line); border-radius: 14px; padding: 10px 13px; background: var(--paper); color: var(--ink);
  font-size: 16px; resize: none; }
textarea { min-height: 44px; max-height: 130px; line-height: 1.4; }
textarea::placeholder, input::placeholder { color: var(--soft); opacity: 1; }
.round { flex: none; width: 44px; height: 44px; border-radius: 50%; display: grid; place-items: center; color: var(--soft); }
.send { background: var(--main); color: var(--on); }
.send:disabled { opacity: .45; cursor: default; }
.away { display: grid; gap: 8px; padding: 14px 14px max(14px, env(safe-area-inset-bottom)); }
.away p { margin: 0; color: var(--soft); font-size: 14px; }
.away button { padding: 11px; border-radius: 14px; background: var(--main); color: var(--on); font-weight: 600; }
@media (max-width: 480px) {
  .root.open { inset: 0; }
  .root.open .panel { width: 100vw; height: 100dvh; margin: 0; border-radius: 0; }
  .root.open .launch { display: none; }
  header { padding-top: max(15px, env(safe-area-inset-top)); } }
@media (prefers-reduced-motion: no-preference) { .message.new { animation: rise .18s ease-out; } @keyframes rise { from { opacity: 0; transform: translateY(6px); } } }
`;
  const host = document.createElement("div");
  host.id = "mainstem-chat";
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // not a style element: pages with a strict style-src may hold us too
  sheet.replaceSync(CSS);
  shadow.adoptedStyleSheets = [sheet];

  function make(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  function icon(path, size = 22) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS(svg.namespaceURI, "path");
    for (const [k, v] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" })) svg.setAttribute(k, v);
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }
  const CHAT = "M21 12a8 8 0 0 1-8 8H4l2-3.5A8 8 0 1 1 21 12z";
  const CROSS = "M6 6l12 12M18 6L6 18";
  const CLIP = "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 5 5l-8.5 8.5a1.7 1.7 0 0 1-2.5-2.5L14.500 8";
  const ARROW = "M12 20V5M5 12l7-7 7 7";

  const title = make("h2", {}, "Chat");
  const status = make("p", { role: "status" }, "Connecting…");
  const log = make("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": "Conversation", tabindex: "0" });
  const note = make("div", { class: "note", role: "status", hidden: true });
  const chips = make("div", { class: "chips", hidden: true });
  const text = make("textarea", { rows: "1", placeholder: "Write a message…", "aria-label": "Your message", maxlength: "5000" });
  const pick = make("input", { type: "file", hidden: true, "aria-hidden": "true", tabindex: "-1" });
  const attach = make("button", { type: "button", class: "round attach", "aria-label": "Attach a file", title: "Attach a file", onclick: () => pick.click() }, icon(CLIP));
  const sendButton = make("button", { type: "submit", class: "round send", "aria-label": "Send", title: "Send", disabled: true }, icon(ARROW));
  const writing = make("form", { novalidate: true }, chips, make("div", { class: "write" }, attach, pick, text, sendButton));
  const awayName = make("input", { type: "text", name: "name", placeholder: "Your name", "aria-label": "Your name", autocomplete: "name", maxlength: "200" });
  const awayMail = make("input", { type: "email", name: "email", placeholder: "Your e-mail address", "aria-label": "Your e-mail address", autocomplete: "email", required: true, maxlength: "254" });
  const awayText = make("textarea", { rows: "3", placeholder: "Your message", "aria-label": "Your message", required: true, maxlength: "5000" });
  const away = make("form", { class: "away", hidden: true }, make("p", {}, "We are not here just now. Leave us a message, and we will answer by e-mail."), awayName, awayMail, awayText, make("button", { type: "submit" }, "Leave a message"));
  const closer = make("button", { type: "button", class: "close", "aria-label": "Close the chat", onclick: () => show(false) }, icon(CROSS));
  const panel = make("section", { class: "panel", role: "dialog", "aria-label": "Chat", hidden: true },
    make("header", {}, make("div", {}, title, status), closer), log, note, writing, away);
  const badge = make("span", { class: "badge", hidden: true });
  const launch = make("button", { type: "button", class: "launch", "aria-label": "Open the chat", "aria-expanded": "false", onclick: () => show(panel.hidden) }, icon(CHAT, 28), badge);
  const root = make("div", { class: "root" }, panel, launch);
  shadow.append(root);

  function show(open) {
    panel.hidden = !open;
    root.classList.toggle("open", open);
    launch.setAttribute("aria-expanded", String(open));
    launch.setAttribute("aria-label", open ? "Close the chat" : "Open the chat");
    if (open) { toEnd(); (away.hidden ? text : awayName).focus({ preventScroll: true }); } else launch.focus({ preventScroll: true });
    receipts();
  }
  shadow.addEventListener("keydown", (event) => { if (event.key === "Escape" && !panel.hidden) show(false); });

  // ---------------------------------------------------------------- messages
  const messages = new Map(); // ours by the id the browser gave, theirs by the id the hub gave
  const nodes = new Map();
  let greeting = "";
  const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
  const calendar = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });

  function put(message) {
    const key = message.dir === "in" && message.cid ? message.cid : message.id;
    const known = messages.get(key);
    if (known && known.state !== "sending" && (message.change || 0) <= (known.change || 0)) return false;
    messages.set(key, { ...message, key, fresh: !known });
    if (known) nodes.delete(key); // it reads differently now
    return true;
  }
  const ordered = () => [...messages.values()].sort((a, b) => (a.state === "sending") - (b.state === "sending") || a.at - b.at);
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };

  function draw() {
    const stay = atEnd();
    const out = [];
    let day = "", by = null;
    const all = ordered();
    if (greeting) out.push(make("div", { class: "message out" }, greeting));
    else if (!all.length && connected && away.hidden) out.push(make("p", { class: "empty" }, "Write to us, and the answer will appear here."));
    all.forEach((message, at) => {
      const today = calendar.format(message.at);
      if (today !== day) { out.push(make("div", { class: "day" }, today)); day = today; by = null; }
      if (message.dir === "out" && message.by && message.by !== by) out.push(make("div", { class: "by" }, message.by));
      by = message.dir === "out" ? message.by : null;
      out.push(bubble(message));
      const next = all[at + 1];
      const last = !next || next.dir !== message.dir || next.at - message.at > 300000 || message.state;
      if (last) out.push(meta(message));
    });
    log.replaceChildren(...out);
    if (stay) toEnd();
  }
  function bubble(message) {
    let node = nodes.get(message.key);
    if (!node) {
      node = make("div", { class: `message ${message.dir}${message.fresh ? " new" : ""}${message.gone ? " gone" : ""}` });
      linked(node, message.gone ? "This message was taken back." : message.text);
      if (message.change && !message.gone) node.append(make("span", { class: "changed" }, " (changed)"));
      for (const file of message.files || []) node.append(fileButton(file));
      nodes.set(message.key, node);
      if (message.dir === "out") watcher.observe(node);
      node.dataset.id = message.dir === "out" ? message.id : "";
    }
    return node;
  }
  function meta(message) {
    const mine = message.dir === "in";
    const words = { sending: connected ? "Sending…" : "Will be sent when you are online", failed: message.why || "Not sent" }[message.state];
    const bad = message.state === "failed";
    return make("div", { class: `meta${mine ? " right" : ""}${bad ? " bad" : ""}` }, words || clock.format(message.at) + (mine ? " · Sent" : ""));
  }
  function linked(node, value) {
    let from = 0;
    for (const found of value.matchAll(/https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g)) {
      node.append(value.slice(from, found.index), make("a", { href: found[0], target: "_blank", rel: "noopener noreferrer nofollow" }, found[0]));
      from = found.index + found[0].length;
    }
    node.append(value.slice(from));
  }
  const size = (bytes) => bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${Math.round(bytes / 1024)} kB` : `${(bytes / 1048576).toFixed(1)} MB`;
  function fileButton(file) {
    return make("button", { type: "button", class: "file", onclick: () => fetchFile(file), "aria-label": `Download ${file.name}` },
      icon("M12 4v11M7 11l5 5 5-5M5 20h14", 18), make("span", {}, `${file.name} · ${size(file.size)}`));
  }
  async function fetchFile(file) {
    try {
      const answer = await fetch(new URL(`files/${file.file}`, base), { headers: { Authorization: `Bearer ${load().token}` } });
      if (!answer.ok) throw new Error();
      const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: file.name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch { tell("The file could not be fetched."); }
  }
  function tell(words, keep = false) {
    note.textContent = words;
    note.hidden = !words;
    clearTimeout(tell.timer);
    if (words && !keep) tell.timer = setTimeout(() => { note.hidden = true; }, 6000);
  }

  // ---------------------------------------------------------------- receipts: shown is delivered, seen is read
  const inView = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) inView.add(entry.target.dataset.id); else inView.delete(entry.target.dataset.id);
    }
    receipts();
  }, { root: log, threshold: 0.4 });
  function receipts() {
    const kept = load();
    const theirs = [...messages.values()].filter((m) => m.dir === "out").map((m) => m.id);
    const unread = theirs.filter((id) => !kept.read.includes(id));
    const seeing = !panel.hidden && document.visibilityState === "visible";
    badge.textContent = unread.length > 9 ? "9+" : unread.length;
    badge.hidden = !unread.length || !panel.hidden;
    if (!connected) return;
    const delivered = theirs.filter((id) => !kept.delivered.includes(id)).slice(0, 100);
    if (delivered.length) say({ type: "receipt", ids: delivered, status: "delivered" });
    const read = seeing ? unread.filter((id) => inView.has(id)).slice(0, 100) : [];
    if (read.length) say({ type: "receipt", ids: read, status: "read" });
  }

  // ---------------------------------------------------------------- the line
  let socket = null, connected = false, tries = 0, place = {}, said = "", retry = 0, deaf = 0;
  const say = (frame) => { if (socket && socket.readyState === 1) socket.send(JSON.stringify(frame)); };
  const flush = () => { for (const frame of load().outbox) say(frame.frame); };

  function connect() {
    clearTimeout(retry);
    if (socket && socket.readyState < 2) return;
    const line = socket = new WebSocket(address);
    line.onopen = () => { said = load().token; say({ type: "hello", token: said, ...place }); };
    line.onmessage = (event) => { clearTimeout(deaf); if (line === socket) handle(JSON.parse(event.data)); };
    line.onclose = () => {
      if (line !== socket) return;
      connected = false;
      clearTimeout(deaf);
      status.textContent = navigator.onLine ? "Connecting again…" : "You are offline";
      draw();
      retry = setTimeout(connect, Math.min(30000, 500 * 2 ** tries++) * (0.5 + Math.random()));
    };
  }
  setInterval(() => {
    if (!connected) return;
    say({ type: "ping" });
    clearTimeout(deaf);
    deaf = setTimeout(() => socket && socket.close(), 10000); // a phone that changed networks hears nothing of it
  }, 25000);
  setInterval(() => { if (connected) receipts(); }, 5000);
  addEventListener("online", connect);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") { connect(); receipts(); } });
  addEventListener("storage", (event) => { if (event.key === KEY) { recall(); draw(); receipts(); } });

  const handlers = {
    welcome(frame) {
      const kept = load();
      if (frame.new && kept.token && kept.token !== said) { socket.close(); return; } // another tab was first
      if (frame.new) { change((k) => { k.token = frame.token; k.delivered = []; k.read = []; k.mine = []; }); place = {}; }
      tries = 0;
      connected = true;
      title.textContent = frame.title;
      panel.setAttribute("aria-label", frame.title);
      greeting = frame.greeting;
      attach.hidden = !frame.files;
      if (/^#[0-9a-f]{6}$/i.test(frame.color)) {
        root.style.setProperty("--main", frame.color);
        const [r, g, b] = [1, 3, 5].map((i) => parseInt(frame.color.slice(i, i + 2), 16));
        root.style.setProperty("--on", r * 0.299 + g * 0.587 + b * 0.114 > 160 ? "#1c2b2d" : "#fff");
      }
      status.textContent = frame.open ? "We are here for you" : "We are closed just now";
      away.hidden = frame.open;
      writing.hidden = !frame.open;
      flush();
      draw();
    },
    messages(frame) {
      let fresh = false;
      for (const item of frame.items) {
        if (put(item)) fresh = true;
        if (item.cid) change((k) => { k.outbox = k.outbox.filter((o) => o.frame.id !== item.cid); });
      }
      place = { epoch: frame.epoch, pos: frame.pos, after: frame.after };
      if (fresh) { nodesOf(frame.items); draw(); if (frame.items.some((i) => i.dir === "out")) tell(""); }
      receipts();
    },
    ok(frame) {
      const kept = change((k) => {
        const sent = k.outbox.find((o) => o.frame.id === frame.id);
        k.outbox = k.outbox.filter((o) => o.frame.id !== frame.id);
        if (sent && !k.mine.some((m) => m.cid === frame.id)) k.mine.push({ ...sent.shown, at: frame.at });
      });
      const mine = kept.mine.find((m) => m.cid === frame.id);
      if (mine) { messages.set(frame.id, { ...mine, key: frame.id }); draw(); }
    },
    noted(frame) {
      change((k) => { for (const id of frame.ids) if (k[frame.status] && !k[frame.status].includes(id)) k[frame.status].push(id); });
      receipts();
    },
    later(frame) { if (frame.id) setTimeout(flush, frame.after_s * 1000); },
    error(frame) {
      const failed = change((k) => { k.outbox = k.outbox.filter((o) => o.frame.id !== frame.id); });
      const message = messages.get(frame.id);
      if (message) { messages.set(frame.id, { ...message, state: "failed", why: "Not sent: " + frame.text }); draw(); }
      else if (failed) tell(frame.text);
    },
    wait(frame) {
      const minutes = Math.max(1, Math.round(frame.seconds / 60));
      tell(frame.ahead ? `${frame.ahead} ${frame.ahead === 1 ? "person is" : "people are"} ahead of you, about ${minutes} min.` : "You are next.", true);
    },
    pong() {},
  };
  function handle(frame) { const known = handlers[frame.type]; if (known) known(frame); }
  function nodesOf(items) { for (const item of items) if (item.cid) nodes.delete(item.cid); } // the store's word replaces ours

  // ---------------------------------------------------------------- writing
  let files = [];
  function submit(frame, shown) {
    frame.id = newId();
    const message = { dir: "in", cid: frame.id, at: Date.now(), ...shown };
    change((k) => { k.outbox.push({ frame, shown: message }); });
    messages.set(frame.id, { ...message, key: frame.id, state: "sending", fresh: true });
    draw();
    toEnd();
    say(frame);
    connect();
  }
  writing.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = text.value.trim();
    if (!value && !files.length) return;
    submit({ type: "message", text: value, files: files.map((f) => f.file) }, { text: value, files });
    text.value = "";
    files = [];
    drawChips();
    grow();
    text.focus();
  });
  away.addEventListener("submit", (event) => {
    event.preventDefault();
    submit({ type: "form", name: awayName.value.trim(), email: awayMail.value.trim(), text: awayText.value.trim() }, { text: awayText.value.trim() });
    awayText.value = "";
    tell("Thank you. We will answer by e-mail.");
  });
  for (const box of [text, awayText]) {
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && box === text) { event.preventDefault(); writing.requestSubmit(); }
    });
  }
  function grow() {
    text.style.height = "auto";
    text.style.height = Math.min(130, text.scrollHeight + 2) + "px";
    sendButton.disabled = !text.value.trim() && !files.length;
  }
  text.addEventListener("input", grow);
  pick.addEventListener("change", () => { if (pick.files[0]) upload(pick.files[0]); pick.value = ""; });
  text.addEventListener("paste", (event) => { const file = event.clipboardData.files[0]; if (file && !attach.hidden) { event.preventDefault(); upload(file); } });
  async function upload(file) {
    if (files.length >= 5) return tell("At most five files fit into a message.");
    if (file.size > 10 * 1024 * 1024) return tell("A file may have 10 MB.");
    tell(`Uploading ${file.name}…`, true);
    try {
      const where = new URL("files", base);
      where.searchParams.set("name", file.name);
      const answer = await fetch(where, { method: "POST", body: file, headers: { Authorization: `Bearer ${load().token}`, "Content-Type": "application/octet-stream" } });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.error);
      files.push(said);
      tell("");
    } catch (error) { tell(error.message && error.message.length < 200 ? error.message : "The file could not be sent."); }
    drawChips();
    grow();
  }
  function drawChips() {
    chips.hidden = !files.length;
    chips.replaceChildren(...files.map((file) => make("div", { class: "chip" }, make("span", {}, file.name),
      make("button", { type: "button", "aria-label": `Remove ${file.name}`, onclick: () => { files = files.filter((f) => f !== file); drawChips(); grow(); } }, icon(CROSS, 16)))));
  }

  // ---------------------------------------------------------------- begin
  function recall() { // what this browser knows without asking: a reloaded page is never empty
    const kept = load();
    for (const message of kept.mine) if (!messages.has(message.cid)) messages.set(message.cid, { ...message, key: message.cid });
    for (const { shown } of kept.outbox) if (!messages.has(shown.cid)) messages.set(shown.cid, { ...shown, key: shown.cid, state: "sending" });
  }
  recall();
  (document.body || document.documentElement).append(host);
  draw();
  if (script.hasAttribute("data-open")) show(true);
  connect();
})();
