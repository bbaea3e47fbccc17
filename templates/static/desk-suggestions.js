// Three continuations of what stands before the caret: one is shown there as ghost text, all in the tray.

import { $, count, explain, say, says, stored, tell } from "./desk-page.js";
import { history } from "./desk-history.js";
import { refused, save, took, unsaved } from "./desk-saving.js";
import { events } from "./desk-server.js";
import { surface } from "./desk-surface.js";

const PREFIX = "plotify suggestions ", MOST = 60, PLOTS = 20;  // sets that the browser keeps of a plot, and plots
const tray = $("tray");
export const cards = [...tray.querySelectorAll(".way")];

let sets = [];        // sets of three for this plot; another try, undo, reload, Back and another tab lose none
let now = null;       // what is shown: { set, index, given: characters taken of it, at: its place in the text }
let next = null;      // the set for what comes after that, which is written in advance
let timer, tries;     // of the next request; it is another try of one that was refused

export const shown = () => now;
export const busy = () => tries || (now && !now.set.settled);
export const any = () => sets.length > 0;
export const suggesting = { onchange() {} };

const before = () => surface.value.slice(0, surface.end);
const bare = (text) => !text || /\s$/.test(text);
const letter = (text) => /^[\p{L}\p{N}]/u.test(text);
const full = ({ ways }) => ways.filter(Boolean).length;

// A place in the text, by what stands before it: its length and its end.
const place = (text) => `${text.length} ${text.slice(-50)}`;
const known = (where = now?.set.place) => sets.filter((set) => set.place === where);
const here = () => known(place(before()));

export const beside = (step) => known()[known().indexOf(now?.set) + step];

// The last set near the caret tells how much of the text the model reads.
export const reading = () => sets.findLast(({ read, place }) => read >= 0 && Math.abs(parseInt(place) - surface.end) < 500);

const same = (one, other) => one.place === other.place && one.ways.every((way, at) => other.ways[at].startsWith(way));
const name = () => PREFIX + ($("plot").value || $("page").value);
const load = () => (stored(() => JSON.parse(localStorage[name()])) ?? []).map((set) => ({ ...set, settled: true }));

// Keeps the sets, beside those of other tabs.
export function remember() {
  sets = [...load(), ...sets].filter((each, at, all) => full(each) + !each.settled && !all.slice(at + 1).some((later) => same(each, later)));
  if (any()) stored(() => {
    localStorage[name()] = JSON.stringify(sets.filter(full).slice(-MOST));
    const names = JSON.parse(localStorage[PREFIX] ?? "[]").filter((each) => each !== name());
    localStorage[PREFIX] = JSON.stringify([...names, name()].slice(-PLOTS));
    for (const old of names.slice(0, 1 - PLOTS)) localStorage.removeItem(old);
  });
}

function words(index = now.index) {
  const { set, given, at } = now, way = set.ways[index], text = surface.value;
  const due = bare(text.slice(0, at - given)) ? way.trimStart() : set.bare && letter(way) ? ` ${way}` : way;
  return way && due.slice(index === now.index ? given : 0) + (letter(text.slice(at)) ? " " : "");
}

function draw() {
  surface.ghost(now && words());
  tray.hidden = !now;
  tray.ariaBusy = Boolean(busy());
  if (now) {
    const { set, index, given } = now, all = known();
    $("which").textContent = all[1] ? says("which", all.indexOf(set) + 1, all.length) : says("heading");
    cards.forEach((card, at) => {
      card.textContent = set.ways[at];
      card.disabled = !set.ways[at] || (given && at !== index);
      card.ariaCurrent = at === index;
    });
  }
  suggesting.onchange();
}

export function present(set) {
  if (!sets.includes(set)) sets.push(set);
  now = { set, index: 0, given: 0, at: surface.end };
  if (set.settled) remember();
  draw();
  surface.show();
  inAdvance();
}

export function rest() {
  stop();
  now = null;
  draw();
}

export function stop() {
  clearTimeout(timer);
  if (tries) say("");
  tries = false;
  halt(now?.set);
  halt(next);
  next = null;
  sets = sets.filter(full);
  draw();
}

function halt(set) {
  if (!set || set.settled) return;
  set.settled = true;
  set.stop.abort();
}

// quiet: nobody asked, so it yields to everybody, and says nothing if it is refused.
function written(text, quiet) {
  const set = { place: place(text), bare: bare(text), ways: ["", "", ""], stop: new AbortController() };
  write(set, text, quiet);
  return set;
}

async function write(set, text, quiet) {
  const fields = { text, rest: surface.value.slice(surface.end), ...(quiet && { ahead: 1 }) };
  let refusal;
  try {
    for await (const [event, { seeds, read, notes, index, text: piece, failure }] of events("/suggest", fields, set.stop)) {
      if (event === "begun") Object.assign(set, { seeds, notes, all: read >= text.trim().length, read: count(text.slice(-read)) });
      if (event === "piece") set.ways[index] += piece;
      if (event === "settled") Object.assign(set, { settled: true, failure, seeds });
      if (now?.set === set) {
        draw();
        surface.show();
      }
    }
    if (!set.settled) refusal = { status: 0, message: says("broken") };
  } catch (error) {
    refusal = error;
  }
  if (refusal && set.settled) return;  // it was stopped
  set.settled = true;
  if (next === set && (refusal || set.failure)) next = null;
  if (now?.set !== set) return;
  const seconds = refusal && (quiet ? refusal.status === 503 && (refusal.after || 2) : refused(refusal));
  tries = Boolean(seconds);
  if (tries) timer = setTimeout(ask, seconds * 1000, quiet);
  if (refusal && !full(set) && !(quiet && tries)) now = null;
  remember();
  draw();
  if (refusal) return;
  if (!quiet) explain({ message: set.failure ?? "" });
  surface.show();
  tell(full(set) ? says("arrived", full(set)) : says("none"));
  inAdvance(0);
}

export function ask(quiet) {
  rest();
  if (unsaved()) save();
  surface.select(surface.end);
  present(written(before(), quiet));
  if (!quiet) tell(says("writing"));
}

// Has the next three written before this one is taken.
function inAdvance(pause = 300) {
  if (tries || !now.set.settled) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const text = before() + words(), where = place(text);
    if (next?.place === where || known(where).length || !words()) return;
    halt(next);
    next = written(text, true);
  }, pause);
}

function put(taken) {
  const { at } = now, { value } = surface;
  history.put(at, 0, taken, "m");
  took(value.slice(0, at), taken, value.slice(at));
}

export function take(index = now.index) {
  const taken = words(index);
  if (!taken) return;
  halt(now.set);
  put(taken);
  const last = here().at(-1) ?? (next?.place === place(before()) ? next : null);
  if (last === next) next = null;
  if (last) present(last);
  else ask(true);
  tell(says("taken") + (last?.settled ? ` ${says("arrived", full(last))}` : ""));
}

export function takeWord() {
  const [word] = words().match(/^\s*\S+(\s+$)?/) ?? [], { given, set } = now;
  if (!word) return;
  if (word === words() && set.settled) return take();
  const shown = now;
  put(word);
  now = { ...shown, given: given + word.length, at: surface.end };
  draw();
}

// Of one taken in part there is no other, so three go on from here.
export function other(step) {
  if (now.given) return ask();
  do now.index = (now.index + step + 3) % 3;
  while (!now.set.ways[now.index] && full(now.set));
  draw();
  surface.show();
  tell(now.set.ways[now.index]);
  inAdvance();
}

export function again(near) {
  const set = here().at(-1) ?? (near ? null : sets.at(-1));
  if (set) present(set);
}

// Also brings back what the page offered without this script.
export function recallSets() {
  sets = load();
  const set = { place: place(before()), bare: bare(before()), ways: ["", "", ""], settled: true };
  for (const { slot, textContent } of document.querySelectorAll("[slot^=text]")) set.ways[slot.at(-1)] += textContent;
  if (full(set) && !here().length) sets.push(set);
  again(true);
}

addEventListener("online", () => { if (tries) ask(); });
addEventListener("pagehide", remember);
