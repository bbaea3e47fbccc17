// Saves the text, with a copy in the browser until the server has it, and tries again if that fails.

import { $, explain, form, say, says, stored } from "./desk-page.js";
import { history } from "./desk-history.js";
import { fields, passes, post } from "./desk-server.js";
import { surface } from "./desk-surface.js";

const DRAFT = "plotify draft ", DAY = 24 * 3600 * 1000;
const served = $("text").defaultValue, plot = $("plot"), page = $("page");

// After Back and Reload, browsers may fill in an older text. A page's id names the plot that it begins, and its copy.
const fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate", past = window.history;
if (!fresh && past.state?.page) page.value = past.state.page;
past.replaceState({ page: page.value }, "");
const draft = DRAFT + page.value;

// kept: the text that the server has. undo, redo: it has texts before and after that one.
export const state = { kept: fresh ? served : surface.value, undo: !$("undo").disabled, redo: !$("redo").disabled, onshow() {} };

const takes = [];              // what the model wrote and the server does not know yet
let steered, timer;            // the options changed since the last save; the next save or try
let sent = Promise.resolve();  // requests wait for the one before, so they arrive in order
let trying = false, tries = 0;

export const unsaved = () => surface.value !== state.kept;
const status = (words) => { $("saved").textContent = words; };
const whole = ({ text, taken, rest }) => text + taken + rest;

// leaves: the text was sent, but the page will not see the answer.
function keepDraft(leaves = false) {
  if (!unsaved()) return;
  const { token, ...typed } = Object.fromEntries(new FormData(form));
  stored(() => { localStorage[draft] = JSON.stringify({ typed, kept: state.kept, leaves, at: Date.now() }); });
}

const forget = (key = draft) => stored(() => localStorage.removeItem(key));

export function soon(pause = 1500) {
  if (unsaved()) status(navigator.onLine ? says("saving") : says("offline"));
  else if (plot.value) status(says("saved"));
  if (!trying) plan(pause);
}

function plan(pause) {
  clearTimeout(timer);
  timer = setTimeout(save, pause);
}

export function steer() {
  steered = plot.value;
  if (steered) soon();
}

export function took(text, taken, rest) {
  const last = takes.at(-1);
  if (last && !last.leaves && last.text + last.taken === text && last.rest === rest) last.taken += taken;
  else takes.push({ text, taken, rest });
  soon(200);
}

export function save() {
  clearTimeout(timer);
  trying = false;
  keepDraft();
  return (sent = sent.then(async () => {
    if (trying) return;  // the one before was refused
    while (takes.length) {
      takes[0].leaves = true;
      if (!await deliver(takes[0])) return;
      takes.shift();
    }
    if (unsaved() || steered) await deliver({});
  }));
}

async function deliver(what) {
  const { value } = surface;
  steered = false;
  const answer = await post("", { do: "keep", ...what });
  if (answer.status === 200) return show(answer, what.taken ? whole(what) : value);
  if (!passes(answer.status)) takes.length = 0;  // the text is saved as it is, after the next change
  const seconds = refused(answer);
  clearTimeout(timer);
  trying = Boolean(seconds);
  if (trying) plan(seconds * 1000);
}

// Goes back or forward on the server, to before this page was opened.
export const travel = (way) => (sent = save().then(async () => {
  if (unsaved() || !state[way]) return;
  const answer = await post("", { do: way }), { text } = answer;
  if (answer.status !== 200) return explain(answer);
  if (unsaved()) return;  // somebody typed meanwhile, and that is saved next
  state.kept = text;
  surface.write(0, surface.value.length, text);
  history.begin(answer.authors);
  return show(answer, text);
}));

// kept: the text that is now on the server
function show({ plot: id, title, address, undo, redo }, kept) {
  explain({ message: plot.value && plot.value !== id ? says("gone") : "" }, "text");
  tries = 0;
  Object.assign(state, { kept, undo, redo });
  plot.value = id;
  $("title").textContent = title;
  document.title = `${title} — Plotify`;
  $("more").hidden = false;
  $("more").href = `${address}/about`;
  if (location.pathname !== address) past.replaceState(past.state, "", address);
  if (!unsaved()) forget();
  soon();
  state.onshow();
  return true;
}

export function refused({ status: code, after, message = "", problems = {}, state: known }) {
  if (known) show(known, known.text);
  if (!passes(code)) return explain({ message, problems });
  tries += 1;
  // not all at once when a server comes back
  const seconds = after || Math.ceil(Math.min(2 ** tries, 60) * (0.5 + Math.random() / 2));
  if (!code) status(says("offline"));
  say(code === 503 ? says(unsaved() ? "busy" : "waiting", seconds) : says("later", message || Object.values(problems).join(" "), seconds));
  keepDraft();
  return seconds;
}

// Brings back words of this page that never reached the server, and offers those of others.
export function recall() {
  $("found").hidden = true;
  for (const key of stored(() => Object.keys(localStorage)) ?? []) {
    const each = key.startsWith(DRAFT) && stored(() => JSON.parse(localStorage[key]));
    if (!each) continue;
    const { typed, kept, leaves, at } = each, here = key === draft || (typed.plot && typed.plot === plot.value);
    if (here && kept === served && typed.text !== served) {
      state.kept = served;
      if (typed.text !== surface.value) history.put(0, surface.value.length, typed.text, "w");
      if (key !== draft) forget(key);
    } else if (here ? leaves || typed.text === served : leaves && Date.now() - at > DAY) forget(key);
    else if (!leaves) offer(key, typed);
  }
}

function offer(key, typed) {
  $("found").hidden = false;
  $("end").textContent = typed.text.trim().split(/\s+/).slice(-12).join(" ").slice(-100);
  $("discard").onclick = () => {
    forget(key);
    recall();
  };
  $("restore").onclick = async () => {
    if (unsaved()) await save();
    const answer = await post("", { ...typed, do: "keep" });
    if (answer.status !== 200) return explain(answer);
    forget(key);
    location.assign(answer.address);
  };
}

addEventListener("online", () => { if (trying) save(); });
addEventListener("pagehide", () => {
  if (!unsaved() && !takes.length) return;
  const [take] = takes, what = { do: "keep", ...(takes.length === 1 && whole(take) === surface.value && take) };
  // A browser refuses more than 64 KiB.
  keepDraft(navigator.onLine && !trying && navigator.sendBeacon(form.action, fields(what)));
});
addEventListener("pageshow", ({ persisted }) => { if (persisted) soon(); });
