// Saves the text, and tries again if that fails.

import { element, explain, say } from "./desk-page.js";
import { forget, keepDraft } from "./desk-drafts.js";
import { history } from "./desk-history.js";
import { fields, passes, post, send } from "./desk-server.js";
import { GONE, OFFLINE, SAVED, SAVING, busy, later } from "./desk-strings.js";
import { surface } from "./desk-surface.js";

const plot = element("plot");
const takes = [];              // what the model wrote and the server does not know yet

// kept: the text that the server has. undo, redo: it has texts before and after that one.
export const state = { kept: "", undo: !element("undo").disabled, redo: !element("redo").disabled, onshow: () => {} };

let steered = false;           // the options changed since the last save
let sent = Promise.resolve();  // requests wait for the one before, so they arrive in order
let timer = 0;                 // of the next save or try
let trying = false;
let tries = 0;

export const unsaved = () => surface.value !== state.kept;
const status = (words) => { element("saved").textContent = words; };
const keeping = () => ({ do: "keep", text: surface.value });
const whole = ({ text, taken = "", rest = "" }) => text + taken + rest;

// Saves after a pause.
export function soon(pause = 1500) {
  if (unsaved()) status(navigator.onLine ? SAVING : OFFLINE);
  else if (plot.value) status(SAVED);
  if (trying) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    keepDraft(state.kept);
    save();
  }, pause);
}

// The options are saved with a plot, once there is one.
export function steer() {
  steered = Boolean(plot.value);
  if (steered) soon();
}

// Notes words of the model that now stand between a text and a rest.
export function took(text, taken, rest) {
  const last = takes.at(-1);
  if (last && !last.leaves && last.text + last.taken === text && last.rest === rest) last.taken += taken;
  else takes.push({ text, taken, rest });
  soon(200);
}

export function save() {
  stopTrying();
  return (sent = sent.then(async () => {
    if (trying) return;  // the one before was refused
    while (takes.length) {
      takes[0].leaves = true;
      if (!await deliver("/take", takes[0])) return;
      takes.shift();
    }
    if (unsaved() || steered) await deliver("", keeping());
  }));
}

async function deliver(path, what) {
  steered = false;
  const answer = await post(path, what);
  if (answer.status === 200) {
    show(answer, whole(what));
    return true;
  }
  if (!passes(answer.status)) takes.length = 0;  // the text is saved as it is, after the next change
  const seconds = refused(answer);
  stopTrying();
  trying = Boolean(seconds);
  if (seconds) timer = setTimeout(save, seconds * 1000);
  return false;
}

function stopTrying() {
  clearTimeout(timer);
  trying = false;
}

// Goes back or forward on the server, to before this page was opened.
export async function travel(way) {
  await save();
  if (unsaved()) return;
  const answer = await post("", { ...keeping(), do: way });
  if (answer.status !== 200) return explain(answer);
  state.kept = answer.text;
  surface.write(0, surface.value.length, answer.text);
  history.begin(answer.authors);
  show(answer, answer.text);
}

// at: the text that is now on the server. What was typed since then stays.
function show(answer, at) {
  explain({ message: plot.value && plot.value !== answer.plot ? GONE : "" }, "text");
  tries = 0;
  Object.assign(state, { kept: at, undo: answer.undo, redo: answer.redo });
  plot.value = answer.plot;
  element("title").textContent = answer.title;
  document.title = `${answer.title} — Plotify`;
  element("more").hidden = false;
  element("more").href = `${answer.address}/about`;
  if (location.pathname !== answer.address) window.history.replaceState(window.history.state, "", answer.address);
  if (!unsaved()) forget();
  soon();
  state.onshow();
}

// Says why the server does not do it. Returns the seconds to wait if it may work later.
export function refused({ status: code, after, message = "", problems = {}, state: known }) {
  if (known) show(known, known.text);
  if (!passes(code)) return explain({ message, problems });
  tries += 1;
  // Not all at the same time, if a server comes back.
  const seconds = after || Math.ceil(Math.min(2 ** tries, 60) * (0.5 + Math.random() / 2));
  if (!code) status(OFFLINE);
  say(code === 503 ? busy(!unsaved(), seconds) : later(message || Object.values(problems).join(" "), seconds));
  keepDraft(state.kept);
  return seconds;
}

addEventListener("online", () => { if (trying) save(); });
addEventListener("pagehide", () => {
  if (!unsaved() && !takes.length) return;
  const taken = takes.length === 1 && whole(takes[0]) === surface.value, what = taken ? takes[0] : keeping();
  // Browsers send at most 64 KiB of what outlives its page.
  const leaves = navigator.onLine && !trying && String(fields(what)).length < 60_000;
  keepDraft(state.kept, leaves);
  if (leaves) send(taken ? "/take" : "", what, { keepalive: true }).catch(() => {});
});
addEventListener("pageshow", (event) => { if (event.persisted) soon(); });
