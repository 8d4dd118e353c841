// The desk works without this file. It adds: live updates, counting times, drafts, the keyboard.
"use strict";
(() => {
  const $ = (query, root = document) => root.querySelector(query);
  const $$ = (query, root = document) => [...root.querySelectorAll(query)];
  const body = document.body;

  // ---------------------------------------------------------------------------------------------- times

  const words = (seconds) => {
    const s = Math.max(0, Math.floor(seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (s < 60) return `${s} s`;
    if (m < 60) return `${m} min`;
    if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
    return h % 24 ? `${d} d ${h % 24} h` : `${d} d`;
  };
  // What the server's clock says, whatever this machine's does.
  const skew = Date.parse(body.dataset.now || "") - Date.now() || 0;
  const now = () => Date.now() + skew;

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const dated = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const localise = (root) => {
    for (const time of $$("time[datetime]", root)) {
      const at = new Date(time.dateTime);
      if (time.classList.contains("until")) { time.textContent = words((at - now()) / 1000); continue; }
      if (time.classList.contains("since")) { time.textContent = words((now() - at) / 1000); continue; }
      const today = at.toDateString() === new Date(now()).toDateString();
      time.title = at.toLocaleString();
      time.textContent = (today ? clock : dated).format(at);
    }
  };
  const tick = () => {
    for (const time of $$("time.since")) time.textContent = words((now() - new Date(time.dateTime)) / 1000);
    for (const time of $$("time.until")) {
      const left = (new Date(time.dateTime) - now()) / 1000;
      time.textContent = words(left);
      if (left <= 0 && !time.dataset.over) { time.dataset.over = "1"; setTimeout(refresh, 500); }
    }
  };

  // A reply that can still be undone counts down; at its end the page looks what became of it.
  const undos = () => {
    for (const form of $$("form[data-until]")) {
      const left = Math.ceil((Date.parse(form.dataset.until) - now()) / 1000);
      const place = $(".left", form);
      if (place) place.textContent = left > 0 ? words(left) : "";
      if (left <= 0 && !form.hidden) { form.hidden = true; setTimeout(refresh, 1200); }
    }
  };

  // --------------------------------------------------------------------------------------------- drafts

  const draftKey = (box) => `draft:${location.pathname}:${box.name}:${box.dataset.draft}`;
  const keepDrafts = (root) => {
    for (const box of $$("textarea[data-draft]", root)) {
      try {
        const kept = sessionStorage.getItem(draftKey(box));
        if (body.dataset.done === box.dataset.draft) sessionStorage.removeItem(draftKey(box));
        else if (kept && !box.value) box.value = kept;
      } catch { /* no storage: nothing is kept */ }
    }
  };
  document.addEventListener("input", (event) => {
    const box = event.target;
    if (!(box instanceof HTMLTextAreaElement) || !box.dataset.draft) return;
    try {
      if (box.value) sessionStorage.setItem(draftKey(box), box.value);
      else sessionStorage.removeItem(draftKey(box));
    } catch { /* as above */ }
    sawIt(box.form);
  });

  // What the agent had seen when she wrote: a message counts as seen once she types on a second after it was shown.
  let shown = null;
  const sawIt = (form) => {
    const field = form && form.elements.namedItem("seen");
    if (field && shown && Date.now() - shown.at > 1000) { field.value = shown.id; shown = null; $("#wrote")?.setAttribute("hidden", ""); }
  };

  // ------------------------------------------------------------------------------------------ live pages

  const busy = (region) =>
    region.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)
    || $$("textarea, input:not([type=hidden]):not([type=submit]), select", region).some((field) =>
      field.type === "file" ? field.files.length > 0
      : field.type === "checkbox" || field.type === "radio" ? field.checked !== field.defaultChecked
      : field.tagName === "SELECT" ? [...field.options].some((o) => o.selected !== o.defaultSelected) && field.dataset.touched
      : field.value !== "" && field.value !== field.defaultValue || field.tagName === "TEXTAREA" && field.value !== "" && !field.closest("details"));
  document.addEventListener("change", (event) => { event.target.dataset.touched = "1"; });

  const opened = Date.now(), READ_MS = 10000;  // no update takes a notice away before it can have been read
  const swap = (region, fresh) => {
    if (region.served === fresh.innerHTML) return;
    if (region.dataset.live === "compose" && busy(region)) {
      const seen = $("input[name=seen]", fresh)?.value, field = $("input[name=seen]", region);
      if (seen && field && seen !== field.value && shown?.id !== seen) {
        shown = { id: seen, at: Date.now() };
        $("#wrote")?.removeAttribute("hidden");
      }
      if (!seen && field) $("#moved")?.removeAttribute("hidden");
      window.desk?.moved(region, fresh);
      return;
    }
    if (busy(region)) return;
    const open = new Set($$("details[open][id]", region).map((d) => d.id));
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    const scroller = region.closest(".scroll"), up = scroller && scroller.scrollTop < -40;
    const players = $$("audio[id], video[id]", region).filter((p) => p.currentTime > 0).map((p) => [p, p.paused]);
    const before = region.scrollHeight, ids = new Set($$("[id]", region).map((e) => e.id));
    const atEnd = region.getBoundingClientRect().bottom < innerHeight + 60;
    const left = opened + READ_MS - Date.now(), notice = left > 0 && !$(".flash", fresh) && $(".flash", region);
    region.innerHTML = region.served = fresh.innerHTML;
    if (notice) { region.append(notice); region.served = ""; setTimeout(refresh, left); }
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [player, paused] of players) {  // who listens goes on listening
      document.getElementById(player.id)?.replaceWith(player);
      if (!paused && player.isConnected) player.play().catch(() => {});
    }
    for (const each of $$("[id]", region)) if (!ids.has(each.id) && ids.size) each.classList.add("fresh");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    if (up) scroller.scrollTop -= region.scrollHeight - before;
    else if (scroller && getComputedStyle(scroller).overflowY === "visible" && atEnd) newest();
    keepDrafts(region); localise(region); undos();
    window.desk?.drawn(region);
  };

  let fetching = false, again = false;
  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Desk-Live": "1" }, redirect: "error" });
      if (answer.status === 401) { location.assign("/login?to=" + encodeURIComponent(location.pathname)); return; }
      if (answer.status === 404) $("#moved")?.removeAttribute("hidden");  // to a queue that is not this agent's
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const region of $$("[data-live]:not(body)")) {
          const other = $(`[data-live="${region.dataset.live}"]:not(body)`, fresh);
          if (other) swap(region, other);
        }
        document.title = fresh.title;
      }
    } catch { /* the next notice or the next look tries again */ }
    fetching = false;
    if (again) { again = false; setTimeout(refresh, 400); }
  }
  let soon = 0;
  const refreshSoon = () => { clearTimeout(soon); soon = setTimeout(refresh, 60 + Math.random() * 140); };

  const topics = (body.dataset.topics || "").split(" ").filter(Boolean);
  const concerns = (topic) => topic === "*" || topic === "hello" || topics.includes(topic) || topics.includes(topic.split(":")[0]);
  // A browser keeps few connections to one place, so a page that nobody looks at gives its own back after a while.
  let source = null, timer = 0, leaving = 0;
  const connect = () => {
    if (source) return;
    let first = true;
    const mine = source = new EventSource("/live?drawn=" + encodeURIComponent(body.dataset.now || ""));
    mine.onmessage = (event) => {
      $("#offline").hidden = true; clearInterval(timer); timer = 0;
      const said = JSON.parse(event.data);
      if (said.includes("bye")) { disconnect(); location.reload(); return; }
      if (said.includes("hello") && first) { first = false; return; }
      if (said.some(concerns)) refreshSoon();
    };
    mine.onerror = () => {
      if (!timer) timer = setInterval(refresh, 10000);
      setTimeout(() => {
        if (source === mine && mine.readyState !== EventSource.OPEN) $("#offline").hidden = false;
        if (source === mine && mine.readyState === EventSource.CLOSED) { source = null; setTimeout(connect, 15000); }
      }, 4000);
    };
  };
  const disconnect = () => { source?.close(); source = null; clearInterval(timer); timer = 0; };
  const listen = () => {
    connect();
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    document.addEventListener("visibilitychange", () => {
      clearTimeout(leaving);
      if (document.hidden) leaving = setTimeout(disconnect, 20000);
      else if (!source) { connect(); refresh(); }
    });
  };

  // ---------------------------------------------------------------------------------------- the keyboard

  const typing = (target) => /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable;
  const rows = () => $$("a.row, a.queue");
  const step = (by) => {
    const all = rows(), at = all.indexOf(document.activeElement);
    (all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)])?.focus();
  };
  const press = (key) => {
    const target = $$(`[data-key="${key}"]`).find((e) => e.getClientRects().length || e.closest("details:not([open])") || e.closest("[role=tabpanel]"));
    if (!target) return false;
    target.closest("details")?.setAttribute("open", "");
    const panel = target.closest("[role=tabpanel]");
    if (panel) show(panel.id);
    if (/^(TEXTAREA|INPUT|SELECT)$/.test(target.tagName)) target.focus(); else target.click();
    return true;
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target instanceof HTMLTextAreaElement) {
      event.preventDefault(); event.target.form.requestSubmit(); return;
    }
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") { event.preventDefault(); $("#help").showModal(); return; }
    if ($("#help").open) return;
    if (event.key === "j" || event.key === "k") { event.preventDefault(); step(event.key === "j" ? 1 : -1); return; }
    if (event.key === "h") { location.assign("/"); return; }
    if (press(event.key)) event.preventDefault();
  });

  // Reply and note share one place; without this file both are simply there.
  const show = (id) => {
    for (const tab of $$("[role=tab]")) {
      const on = tab.getAttribute("aria-controls") === id;
      tab.setAttribute("aria-selected", on);
      const panel = document.getElementById(tab.getAttribute("aria-controls"));
      if (panel) panel.hidden = !on;
    }
  };
  const tabs = () => {
    const strip = $(".tabs");
    if (!strip || !strip.hidden) return;
    strip.hidden = false;
    show($("[role=tab]", strip).getAttribute("aria-controls"));
  };
  document.addEventListener("click", (event) => {
    const tab = event.target.closest?.("[role=tab]");
    if (tab) { show(tab.getAttribute("aria-controls")); $(`#${tab.getAttribute("aria-controls")} textarea`)?.focus(); }
    for (const menu of $$("details.me[open]")) if (!menu.contains(event.target)) menu.removeAttribute("open");
    if (event.target.closest?.("#help button")) $("#help").close();
  });
  document.addEventListener("change", (event) => {
    const channel = event.target.closest?.("#channel"), because = $("#channel-because");
    if (channel && because) because.textContent = channel.selectedOptions[0].dataset.why || "as you chose";
  });

  // A form is sent once: the key in it makes a second one harmless, this keeps it from being tried.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent && Date.now() - Number(form.dataset.sent) < 4000) { event.preventDefault(); return; }
    form.dataset.sent = Date.now();
  });

  // ------------------------------------------------------------------------------------------- beginning

  for (const region of $$("[data-live]")) region.served = region.innerHTML;

  // The answer to a form that could not be done is the page itself: loading it again must not send the form again.
  if (body.dataset.here) history.replaceState(null, "", body.dataset.here);
  const url = new URL(location);
  if (url.searchParams.has("done")) {  // what was done is said once, and by no later look
    url.searchParams.delete("done"); url.searchParams.delete("draft");
    history.replaceState(null, "", url);
  }
  new MutationObserver(tabs).observe(body, { childList: true, subtree: true });
  tabs(); keepDrafts(document); localise(document); undos();
  // On a phone the page itself scrolls: begin at the newest, above the box that sticks to the edge.
  const scroller = $(".scroll");
  const newest = () => {
    const box = $(".compose").offsetHeight, end = $(".history").getBoundingClientRect().bottom + scrollY;
    scrollTo(0, end + box - innerHeight);
  };
  if (scroller && getComputedStyle(scroller).overflowY === "visible" && !location.hash) {
    newest();
    let moved = false;
    for (const how of ["wheel", "touchmove", "keydown"]) addEventListener(how, () => { moved = true; }, { once: true, passive: true });
    document.addEventListener("load", () => { if (!moved) newest(); }, true);  // a picture that came late
  }
  setInterval(tick, 10000); setInterval(undos, 500);
  if (topics.length) listen();
})();
