// Saves the text, and tries again if that fails.

import { element, explain, fields, say } from "./desk-page.js";
import { forget, keepDraft } from "./desk-drafts.js";
import { history } from "./desk-history.js";
import { passes, post, send } from "./desk-server.js";
import { GONE, OFFLINE, SAVED, SAVING, busy, shortly } from "./desk-strings.js";
import { surface } from "./desk-surface.js";

const KEEP = { do: "keep" };
const plot = element("plot");
const takes = [];              // what the model wrote and the server does not know yet

export const state = {
  kept: "",                    // the text that the server has
  undo: !element("undo").disabled,
  redo: !element("redo").disabled,
  onshow: () => {},
};

let steered = false;           // the options changed since the last save
let sent = Promise.resolve();  // requests wait for the one before, so they arrive in order
let timer = 0;                 // of the next save or try
let waiting = 0;               // the timer, if it is of a try
let tries = 0;

export const unsaved = () => surface.value !== state.kept;

function status(words) {
  element("saved").textContent = words;
}

// Saves after a pause.
export function soon(pause = 1500) {
  if (unsaved()) status(navigator.onLine ? SAVING : OFFLINE);
  else if (plot.value) status(SAVED);
  if (waiting) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    keepDraft(state.kept);
    if (unsaved() || steered || takes.length) save();
  }, pause);
}

// The options are saved with a plot, once there is one.
export function steer() {
  steered = Boolean(plot.value);
  if (steered) soon();
}

// Notes words of the model that now stand after `text`.
export function took(text, taken, rest) {
  const last = takes.at(-1);
  if (last && !last.leaves && last.text + last.taken === text && last.rest === rest) last.taken += taken;
  else takes.push({ text, taken, rest });
  soon(200);
}

const after = (what) => (what.taken === undefined ? what.text : what.text + what.taken) + what.rest;

export function save() {
  stopTrying();
  return (sent = sent.then(async () => {
    while (takes.length) {
      takes[0].leaves = true;
      if (!await deliver("/take", takes[0])) return;
      takes.shift();
    }
    if (unsaved() || steered) await deliver("", { ...KEEP, text: surface.value, rest: "" });
  }));
}

async function deliver(path, what) {
  steered = false;
  const answer = await post(path, what);
  if (answer.status !== 200) {
    if (!passes(answer.status)) takes.length = 0;  // the text is saved as it is, after the next change
    saveLater(answer);
    return false;
  }
  show(answer, after(what));
  return true;
}

// Goes back or forward on the server, to before this page was opened.
export async function travel(way) {
  await save();
  if (unsaved()) return;
  return (sent = sent.then(async () => {
    const answer = await post("", { do: way, text: surface.value, rest: "" });
    if (answer.status !== 200) return saveLater(answer);
    state.kept = answer.text;
    surface.write(0, surface.value.length, answer.text);
    history.begin(answer.authors ?? []);
    show(answer, answer.text);
  }));
}

// at: the text that is now on the server. What was typed since then stays.
export function show(answer, at) {
  const other = plot.value && plot.value !== answer.plot;
  explain({ message: other ? GONE : "" });
  tries = 0;
  Object.assign(state, { kept: at, undo: answer.undo, redo: answer.redo });
  plot.value = answer.plot;
  element("title").textContent = answer.title;
  document.title = `${answer.title} — Plotify`;
  const more = element("more");
  more.hidden = false;
  more.href = `${answer.address}/about`;
  if (location.pathname !== answer.address) window.history.replaceState(window.history.state, "", answer.address);
  stopTrying();
  if (!unsaved()) forget();
  soon();
  state.onshow();
}

// Says why the server does not do it. Returns the seconds to wait if it may work later.
export function refused({ status: code, after: wait, message = "", problems = {}, state: known }) {
  if (known) show(known, known.text);
  if (!passes(code)) return explain({ message, problems });
  tries += 1;
  // Not all at the same time, if a server comes back.
  const seconds = wait || Math.ceil(Math.min(2 ** tries, 60) * (0.5 + Math.random() / 2));
  if (code === 0) status(OFFLINE);
  say(shortly(code === 503 ? busy(!unsaved()) : message || Object.values(problems).join(" "), seconds));
  keepDraft(state.kept);
  return seconds;
}

function saveLater(answer) {
  const seconds = refused(answer);
  stopTrying();
  if (seconds) waiting = timer = setTimeout(save, seconds * 1000);
}

function stopTrying() {
  clearTimeout(timer);
  waiting = 0;
}

addEventListener("online", () => { if (waiting) save(); });
addEventListener("offline", () => { if (unsaved()) status(OFFLINE); });
addEventListener("pagehide", () => {
  if (!unsaved() && !takes.length) return;
  const [take] = takes.length === 1 && after(takes[0]) === surface.value ? takes : [];
  const what = take ?? { ...KEEP, text: surface.value, rest: "" };
  // Browsers send at most 64 KiB of what outlives its page.
  const leaves = navigator.onLine && !waiting && String(fields(what)).length < 60_000;
  keepDraft(state.kept, leaves);
  if (leaves) send(take ? "/take" : "", what, "application/json", { keepalive: true }).catch(() => {});
});
addEventListener("pageshow", (event) => { if (event.persisted && unsaved()) soon(); });
