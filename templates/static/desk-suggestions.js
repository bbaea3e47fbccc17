// Suggestions: three continuations of what stands before the caret. One is shown there as ghost text, all in the tray.

import { element, kept, say, tell } from "./desk-page.js";
import { history } from "./desk-history.js";
import { refused, took } from "./desk-saving.js";
import { Patience, events, lost, read, send } from "./desk-server.js";
import { BROKEN, NO_SUGGESTIONS, TAKEN, WRITING, arrived, reads } from "./desk-strings.js";
import { surface } from "./desk-surface.js";
import { tray } from "./desk-tray.js";

const MOST = 100;  // sets that the browser keeps of a plot
const session = kept("sessionStorage");

// A place in the text, by what stands before it: its length and a hash (FNV-1a).
function place(before) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < before.length; at++) hash = Math.imul(hash ^ before.charCodeAt(at), 0x01000193);
  return `${before.length}:${hash >>> 0}`;
}

const bare = (before) => !before || /\s$/.test(before);
const count = (text) => text.split(/\s+/).filter(Boolean).length;

const suggested = (before, ways = ["", "", ""]) =>
  ({ place: place(before), bare: bare(before), seeds: [], ways, settled: Boolean(ways[0]) });

// Everything suggested for this plot, taken or not, so that nothing is lost by another try, undo, reload or Back.
class Memory {
  sets = [];

  name() {
    return `plotify suggestions ${element("plot").value || element("page").value}`;
  }

  recall() {
    this.sets = session.get(this.name()) ?? [];
  }

  add(set) {
    const same = ({ place, seeds, rewriting }) => place === set.place && !rewriting && seeds.length && String(seeds) === String(set.seeds);
    this.sets = this.sets.filter((each) => each !== set && !same(each)).concat(set);
    this.keep();
  }

  keep() {
    while (this.sets.length && !session.set(this.name(), this.sets.slice(-MOST))) this.sets.splice(0, Math.ceil(this.sets.length / 2));
  }

  at(before) {
    const here = place(before);
    return this.sets.filter((set) => set.place === here);
  }
}

export const memory = new Memory();

let now = null;     // what is shown: { set, index, at, from, given, bare }
let asking = null;  // the request for it in progress
let ahead = null;   // the next three, that are written while these are read: { set, patience }
let timer = 0;      // of the request ahead, or of another try
let tries = null;   // what is tried again
let onchange = () => {};

export let reading = "";  // how much of the text the model read

export const shown = () => now;
export const busy = () => Boolean(asking || tries);
export const watch = (callback) => { onchange = callback; };

const before = () => surface.value.slice(0, surface.end);

// The words of a suggestion, with the space that is due where they are shown.
function fitted(index = now.index) {
  const way = now.set.ways[index] ?? "";
  const words = now.bare && !now.set.bare ? way.trimStart() : !now.bare && now.set.bare && /^[\p{L}\p{N}]/u.test(way) ? ` ${way}` : way;
  return index === now.index ? words.slice(now.given) : words;
}

function draw() {
  surface.ghost(now && !now.set.rewriting ? fitted() : "");
  const sets = now ? memory.at(surface.value.slice(0, now.from)) : [];
  tray.draw(now, now && sets.indexOf(now.set), sets.length, Boolean(asking));
  onchange();
}

// Shows suggestions at the caret; instead of the selection if they are other ways to say it.
export function present(set) {
  memory.add(set);
  now = { set, index: 0, at: surface.end, from: set.rewriting ? surface.start : surface.end, given: 0, bare: bare(before()) };
  draw();
  surface.show();
  prefetchSoon();
}

// Takes the suggestions out of view, and stops those that are being written.
export function rest() {
  stop();
  now = null;
  draw();
}

export function stop() {
  clearTimeout(timer);
  asking?.abort();
  ahead?.patience.abort();
  if (tries) say("");
  asking = ahead = tries = null;
  if (now) {
    now.set.settled = true;
    memory.add(now.set);
  }
  draw();
}

// Reads three continuations into a set as they are written. Returns the server's answer if it refuses.
async function write(set, text, behind, more, patience, changed) {
  try {
    const answer = await send("/suggest", { text, rest: behind, ...more }, "text/event-stream", { signal: patience.signal });
    if (!answer.ok) return await read(answer);
    for await (const [name, data] of events(answer.body, patience)) {
      if (name === "begun") Object.assign(set, { seeds: data.seeds, read: count(text.slice(-data.read || text.length)), all: data.read >= text.trim().length, notes: data.notes });
      if (name === "piece") set.ways[data.index] += data.text;
      if (name === "settled") Object.assign(set, { settled: true, failure: data.failure });
      changed();
    }
    return set.settled ? null : { ...lost, message: BROKEN };
  } catch {
    return patience.left ? null : lost;
  } finally {
    patience.end();
  }
}

// Asks for three. quiet: nobody asked, so it yields to everybody, and says nothing if it is refused.
export async function ask(quiet = false) {
  rest();
  const text = before(), set = suggested(text), patience = asking = new Patience();
  surface.select(surface.end);
  if (!quiet) {
    present(set);
    tell(WRITING);
  }
  await follow(set, patience, write(set, text, surface.value.slice(surface.end), quiet ? { ahead: "1" } : {}, patience, () => seen(set)), quiet);
}

function seen(set) {
  if (now?.set === set) draw();
  else if (asking && !now && set.ways.some(Boolean)) present(set);
}

async function follow(set, patience, answer, quiet) {
  const refusal = await answer;
  if (patience !== asking) return;
  asking = null;
  if (refusal) {
    if (!set.ways.some(Boolean)) {
      memory.sets = memory.sets.filter((each) => each !== set);
      rest();
    }
    set.settled = true;
    if (quiet) return draw();
    const seconds = refused(refusal);
    if (seconds) {
      tries = () => ask();
      timer = setTimeout(tries, seconds * 1000);
    }
    return onchange();
  }
  if (!quiet) say(set.failure ?? "");
  memory.add(set);
  reading = reads(set);
  draw();
  surface.show();
  const arrivals = set.ways.filter(Boolean).length;
  tell(arrivals ? arrived(arrivals) : NO_SUGGESTIONS);
  prefetchSoon(0);
}

function prefetchSoon(pause = 300) {
  if (!tries) clearTimeout(timer);
  if (now?.set.settled && !now.set.rewriting && !asking) timer = setTimeout(prefetch, pause);
}

// Has the next three written, after the one that is shown, before it is taken.
function prefetch() {
  if (!now || !fitted()) return;
  const text = before() + fitted();
  if (ahead?.set.place === place(text) || memory.at(text).length) return;
  ahead?.patience.abort();
  const set = suggested(text), patience = new Patience();
  const answer = write(set, text, surface.value.slice(surface.end), { ahead: "1" }, patience, () => seen(set));
  ahead = { set, patience, answer };
  answer.then((refusal) => { if (refusal && ahead?.set === set) ahead = null; });
}

// Shows what comes after words that were just taken.
function goOn() {
  const text = before(), coming = ahead, [known] = memory.at(text).slice(-1);
  now = ahead = null;
  if (known) return present(known);
  if (coming?.set.place !== place(text)) return ask(true);
  if (!coming.set.settled) asking = coming.patience;
  if (coming.set.ways.some(Boolean)) present(coming.set);
  else draw();
  return asking && follow(coming.set, coming.patience, coming.answer, true);
}

function put(words) {
  const { from, at, set } = now, text = surface.value.slice(0, from), behind = surface.value.slice(at);
  surface.ghost("");
  history.put(from, at - from, words, "model");
  took(text, words, behind);
  memory.add(set);
}

// Takes all of a suggestion.
export function take(index = now.index) {
  const words = fitted(index), { rewriting } = now.set;
  if (!words) return;
  if (asking) stop();
  put(words);
  tell(TAKEN);
  if (rewriting) rest();
  else goOn();
}

// Takes its next word.
export function takeWord() {
  const [word] = fitted().match(/^\s*\S+\s*?/) ?? [];
  if (!word || now.set.rewriting) return;
  if (word === fitted() && now.set.settled) return take();
  const { set, index, given, bare } = now;
  put(word);
  now = { set, index, given: given + word.length, bare, at: surface.end, from: surface.end };
  draw();
}

// Shows another one of the three. Returns false if a part of this one is taken already.
export function other(step) {
  if (now.given) return false;
  do now.index = (now.index + step + 3) % 3;
  while (!now.set.ways[now.index] && now.set.ways.some(Boolean));
  draw();
  surface.show();
  tell(fitted());
  prefetchSoon();
  return true;
}

// Goes to the suggestions before or after these. Returns false if there are none for this place.
export function step(by) {
  const sets = memory.at(surface.value.slice(0, now.from)), next = sets[sets.indexOf(now.set) + by];
  if (next) present(next);
  return Boolean(next);
}

// Shows the last ones again.
export function again() {
  const set = memory.at(before()).at(-1) ?? memory.sets.at(-1);
  if (set && !set.rewriting) present(set);
}

// Suggestions from a page that was opened without this script, or from before a reload.
export function recall() {
  memory.recall();
  const ways = [0, 1, 2].map((index) => [...document.querySelectorAll(`[slot=text-${index}]`)].map((each) => each.textContent).join(""));
  if (ways.some(Boolean) && !memory.at(surface.value).length) memory.add(suggested(surface.value, ways));
  if (memory.at(surface.value).length) again();
}

addEventListener("online", () => tries?.());
