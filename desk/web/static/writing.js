// What the reply's form does while one writes: the chosen way's own fields, a ready-made reply's places, SMS counted.
// The form works without this file; everything is looked at again where the reply is kept.
"use strict";

// As hub/text.segments counts (3GPP TS 23.038, 6.2.1, and 23.040, 9.2.3.24.1). odd: the first that is no SMS letter.
function segments(text, gsm, two) {
  const letters = [...text], odd = letters.find((c) => !gsm.includes(c) && !two.includes(c)) || "";
  const costs = letters.map((c) => odd ? c.length : two.includes(c) ? 2 : 1);
  const units = costs.reduce((sum, cost) => sum + cost, 0), [alone, each] = odd ? [70, 67] : [160, 153];
  if (units <= alone) return { count: 1, units, gsm: !odd, odd, room: alone };
  let count = 1, used = 0;
  for (const cost of costs) {
    if (used + cost > each) { count += 1; used = 0; }
    used += cost;
  }
  return { count, units, gsm: !odd, odd, room: count * each };
}

(() => {
  const $ = (query, root = document) => root.querySelector(query);
  const $$ = (query, root = document) => [...root.querySelectorAll(query)];
  const form = () => $("#panel-reply, #begin-form");  // a reply's, or a first message's
  const say = (place, text) => { if (place) { place.textContent = text; place.hidden = !text; } };
  const way = () => $("#channel")?.selectedOptions[0];
  const only = () => way()?.dataset.template !== undefined;  // nothing but an approved text goes this way
  const picked = () => $("fieldset.ready:not([disabled])");
  const places = (set) => $$("input[data-place]", set).map((box) => box.value.trim());
  const filled = (set) => {
    const words = places(set);
    return set.dataset.text.replace(/\{(\d{1,2})\}/g, (whole, number) => words[number - 1] || whole);
  };
  const answers = () => [...new Set(($("#choices")?.value || "").split("\n").map((l) => l.trim().replace(/\s+/g, " ")).filter(Boolean))];

  function taps() {
    const place = $("#taps-said"), box = $("#taps");
    if (!place) return;
    const some = answers(), data = way()?.dataset || {}, most = Number(data.choices || 0), chars = Number(data.choiceChars || 0);
    box.hidden = only() || !most && !some.length;
    const counted = `${some.length} answer${some.length === 1 ? "" : "s"} to tap`, list = "they go as a numbered list below the text.";
    say(place, !some.length ? "" : !most ? `${data.channel} has nothing to tap: ${list}`
      : some.length > most ? `${counted}; ${data.channel} takes ${most}: ${list}`
      : some.some((one) => [...one].length > chars) ? `${data.channel} takes ${chars} characters in each: ${list}` : `${counted}.`);
  }

  function sms() {
    const place = $("#sms-said");
    if (!place) return;
    const typed = $("#reply-text").value, ready = picked() ? filled(picked()) : "";
    const text = !ready ? typed : typed.trim() ? `${typed.trimEnd()}\n\n${ready}` : ready;
    if (way()?.dataset.sms === undefined || !text) { say(place, ""); return; }
    const found = segments(text, JSON.parse(place.dataset.gsm), JSON.parse(place.dataset.gsmTwo));
    say(place, `${found.count} SMS · ${found.units} of ${found.room} characters`);
    Object.assign(place.dataset, { count: found.count, units: found.units, alphabet: found.gsm ? "gsm" : "ucs2" });
    if (!found.odd) return;
    const why = document.createElement("span");
    why.className = "sms-odd";
    why.textContent = ` · “${found.odd}” is not in the SMS alphabet, so a message holds 70 instead of 160`;
    place.append(why);
  }

  // Which fields the chosen way has. What was typed stays, in fields that are not sent.
  function shape() {
    if (!form()) return;
    const box = $("#reply-text"), menu = $("#ready"), where = $("#where");
    box.disabled = only();
    box.title = only() ? "Only an approved text goes this way now" : "";
    $("#only-said").hidden = !only() || Boolean(picked());
    const queue = $("#begin-queue")?.value;
    for (const one of menu?.options || []) {
      const here = !queue || !one.dataset.queues || one.dataset.queues.split(" ").includes(queue);
      const fits = here && (!only() || !one.value || (one.dataset.approved || "").split(" ").some((name) =>
        name && (name === way().dataset.account || name === way().dataset.account.split("/")[0])));
      one.disabled = one.hidden = !fits;
    }
    if (menu && menu.selectedOptions[0]?.disabled) { menu.value = ""; pick(""); }
    if (menu && queue) menu.required = only();  // a first message has nothing else to send
    if (where) {
      where.hidden = where.disabled = way()?.dataset.public === undefined;
      const alone = way()?.dataset.onlyPublic !== undefined;
      $("input[value='']", where).disabled = alone;
      if (where.hidden || alone) $(`input[value='${alone ? "yes" : ""}']`, where).checked = true;
    }
    for (const set of $$("fieldset.ready")) {
      $(".insert", set).hidden = only();
      $(".drop", set).hidden = false;
      $(".said-as", set).textContent = only() ? "It goes out as the approved text:" : "It will read:";
    }
    taps(); sms();
  }

  function pick(key) {
    for (const set of $$("fieldset.ready")) set.hidden = set.disabled = set.dataset.ready !== key;
    const set = picked();
    if (set) { $(".filled", set).textContent = filled(set); $("input", set)?.focus(); }
    $("#ready").value = key;
    $("#only-said").hidden = !only() || Boolean(set);
    sms();
  }

  // A ready-made reply goes below what stands there already; from then on it is the agent's own text.
  function insert(text, choices) {
    const box = $("#reply-text"), some = $("#choices");
    box.value = (box.value ? box.value.trimEnd() + "\n\n" : "") + text;
    if (some && choices.length && !some.value.trim()) { some.value = choices.join("\n"); $("#taps").open = true; }
    pick(""); box.focus(); box.dispatchEvent(new Event("input", { bubbles: true }));
    taps();
  }

  document.addEventListener("input", (event) => {
    const set = event.target.closest?.("fieldset.ready");
    if (set) $(".filled", set).textContent = filled(set);
    if (event.target.id === "choices") taps();
    if (set || event.target.id === "reply-text") sms();
  });
  document.addEventListener("change", (event) => {
    if (["channel", "begin-queue"].includes(event.target.id)) shape();
    if (event.target.id !== "ready") return;
    if (only()) shape();  // it may have come to that while one wrote
    const one = event.target.selectedOptions[0];
    if (!one.value) pick("");
    else if (only() || $(`[data-ready="${CSS.escape(one.value)}"] input`)) pick(one.value);
    else insert(one.dataset.text, JSON.parse(one.dataset.choices));
  });
  document.addEventListener("click", (event) => {
    const set = event.target.closest?.("fieldset.ready");
    if (!set) return;
    if (event.target.closest(".drop")) pick("");
    if (!event.target.closest(".insert")) return;
    const empty = $$("input[data-place]", set).find((box) => !box.value.trim());
    if (empty) { empty.focus(); return; }
    const one = $(`#ready option[value="${CSS.escape(set.dataset.ready)}"]`);
    insert(filled(set), JSON.parse(one.dataset.choices));
  });

  // The page was fetched again (desk.js): `drawn` put the new form there; `moved` left one that is being written.
  window.desk = {
    drawn: (region) => { if (region.dataset.live === "compose") shape(); },
    moved: (region, fresh) => {
      const open = (root) => ($("#open-ways", root)?.dataset.open || "").split("|");
      const menu = $("#channel", region), now = $("#channel", fresh), mine = menu?.value;
      if (!mine || !$("#open-ways", fresh) || !open(region).includes(mine) || open(fresh).includes(mine)) return;
      $("#shut").hidden = false;
      $("#open-ways", region).dataset.open = $("#open-ways", fresh).dataset.open;
      if (now) { menu.innerHTML = now.innerHTML; menu.value = mine; }
    },
  };
  shape();
  if (picked() && only()) $("input", picked())?.focus();
})();
