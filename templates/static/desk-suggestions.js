// Suggestions: three continuations of what stands before the caret. One is shown there as ghost text, all in the tray.

import { count, element, explain, say, stored, tell } from "./desk-page.js";
import { history } from "./desk-history.js";
import { refused, save, took, unsaved } from "./desk-saving.js";
import { Patience, events, lost, read, send } from "./desk-server.js";
import { BROKEN, NONE, TAKEN, WRITING, arrived } from "./desk-strings.js";
import { surface } from "./desk-surface.js";
import { drawTray } from "./desk-tray.js";

const MOST = 100;  // sets that the browser keeps of a plot

let sets = [];      // everything suggested for this plot: another try, undo, reload or Back lose none
let now = null;     // what is shown: { set, index, given: characters taken of it, from and at: its place, bare }
let asking = null;  // the request for it in progress
let ahead = null;   // the next three, which are written while these are read
let timer = 0;      // of the request ahead, or of another try
let tries = false;

export const shown = () => now;
export const busy = () => asking || tries;
export const any = () => sets.length > 0;
export const suggesting = { onchange() {} };

const before = () => surface.value.slice(0, surface.end);
const bare = (text) => !text || /\s$/.test(text);

// A place in the text, by what stands before it: its length and a hash (FNV-1a).
function place(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return `${text.length}:${hash >>> 0}`;
}

const begun = (text, ways = ["", "", ""]) => ({ place: place(text), bare: bare(text), ways, settled: Boolean(ways[0]) });
const known = (text) => sets.filter((set) => set.place === place(text));
const name = () => `plotify suggestions ${element("plot").value || element("page").value}`;

// The same seeds write the same words.
export function remember(set) {
  const same = (each) => set?.seeds && each.place === set.place && String(each.seeds) === String(set.seeds);
  sets = sets.filter((each) => each === set || !same(each));
  if (set && !sets.includes(set)) sets.push(set);
  stored(() => sessionStorage.setItem(name(), JSON.stringify(sets.slice(-MOST))));
}

const letter = (text) => /^[\p{L}\p{N}]/u.test(text);

// The words of a suggestion, with the spaces that are due where they are shown.
function words(index = now.index) {
  const { set: { ways, bare, rewriting }, bare: here, given, at } = now, way = ways[index];
  if (!way || rewriting) return way;
  const due = here && !bare ? way.trimStart() : !here && bare && letter(way) ? ` ${way}` : way;
  return due.slice(index === now.index ? given : 0) + (letter(surface.value.slice(at)) ? " " : "");
}

function draw() {
  surface.ghost(now && !now.set.rewriting && words());
  const here = now ? sets.filter((set) => set.place === now.set.place) : [];
  drawTray(now, here.indexOf(now?.set), here.length, Boolean(asking));
  suggesting.onchange();
}

// Shows suggestions at the caret; instead of the selection if they are other ways to say it.
export function present(set) {
  if (!set.rewriting) remember(set);
  now = { set, index: 0, given: 0, from: set.rewriting ? surface.start : surface.end, at: surface.end, bare: bare(before()) };
  draw();
  surface.show();
  prefetchSoon();
}

// Takes the suggestions out of view.
export function rest() {
  stop();
  now = null;
  draw();
}

// Stops what is being written.
export function stop() {
  clearTimeout(timer);
  if (asking) asking.set.settled = true;
  asking?.patience.abort();
  ahead?.patience.abort();
  if (tries) say("");
  asking = ahead = null;
  tries = false;
  draw();
}

// Has three continuations written, and returns the request.
function request(text, more) {
  const asked = { set: begun(text), patience: new Patience() };
  return Object.assign(asked, { answer: write(asked, text, more) });
}

// Returns null, or the server's refusal.
async function write({ set, patience }, text, more) {
  try {
    const answer = await send("/suggest", { text, rest: surface.value.slice(surface.end), ...more }, { signal: patience.signal });
    if (!answer.ok) return await read(answer);
    for await (const [event, { seeds, read: characters, notes, index, text: piece, failure }] of events(answer.body, patience)) {
      if (event === "begun") Object.assign(set, { seeds, notes, all: characters >= text.trim().length, read: count(text.slice(-characters)) });
      if (event === "piece") set.ways[index] += piece;
      if (event === "settled") Object.assign(set, { settled: true, failure });
      if (now?.set === set) {
        draw();
        surface.show();
      } else if (asking?.set === set && set.ways.some(Boolean)) {
        present(set);
      }
    }
    return set.settled ? null : { ...lost, message: BROKEN };
  } catch {
    return lost;
  } finally {
    patience.end();
  }
}

// Asks for three. quiet: nobody asked, so it yields to everybody, and says nothing if it is refused.
export function ask(quiet = false) {
  rest();
  if (unsaved()) save();
  surface.select(surface.end);
  asking = request(before(), quiet ? { ahead: "1" } : {});
  if (!quiet) {
    present(asking.set);
    tell(WRITING);
  }
  follow(quiet);
}

async function follow(quiet) {
  const { set, answer } = asking, refusal = await answer;
  if (asking?.set !== set) return;  // it was stopped
  asking = null;
  const ways = set.ways.filter(Boolean).length;
  if (refusal && !ways) {
    sets = sets.filter((each) => each !== set);
    now = null;
  }
  set.settled = true;
  const seconds = refusal && !quiet && refused(refusal);
  if (!refusal && !quiet) explain({ message: set.failure ?? "" });
  tries = Boolean(seconds);
  if (tries) timer = setTimeout(ask, seconds * 1000);
  if (now) remember(set);
  draw();
  if (refusal) return;
  surface.show();
  tell(ways ? arrived(ways) : NONE);
  prefetchSoon(0);
}

function prefetchSoon(pause = 300) {
  if (tries) return;
  clearTimeout(timer);
  if (now?.set.settled && !now.set.rewriting && !asking) timer = setTimeout(prefetch, pause);
}

// Has the next three written, after the one that is shown, before it is taken.
function prefetch() {
  const text = before() + words();
  if (ahead?.set.place === place(text) || known(text).length || !words()) return;
  ahead?.patience.abort();
  const next = ahead = request(text, { ahead: "1" });
  next.answer.then((refusal) => { if ((refusal || next.set.failure) && ahead === next) ahead = null; });
}

// Shows what comes after words that were just taken.
function goOn() {
  const text = before(), coming = ahead, last = known(text).at(-1);
  now = ahead = null;
  if (last) return present(last);
  if (coming?.set.place !== place(text)) return ask(true);
  if (coming.set.ways.some(Boolean)) present(coming.set);
  else draw();
  if (coming.set.settled) return prefetchSoon(0);
  asking = coming;
  follow(true);
}

function put(taken) {
  const { from, at } = now, text = surface.value.slice(0, from), behind = surface.value.slice(at);
  surface.ghost("");
  history.put(from, at - from, taken, "model");
  took(text, taken, behind);
}

// Takes all of a suggestion.
export function take(index = now.index) {
  const taken = words(index), { rewriting } = now.set;
  if (!taken) return;
  asking?.patience.abort();
  asking = null;
  put(taken);
  tell(TAKEN);
  if (rewriting) rest();
  else goOn();
}

// Takes its next word. Returns false if there is none.
export function takeWord() {
  const [word] = words()?.match(/^\s*\S+(\s+$)?/) ?? [], shown = now;
  if (!word || shown.set.rewriting) return false;
  if (word === words() && shown.set.settled) return take();
  put(word);
  now = { ...shown, given: shown.given + word.length, from: surface.end, at: surface.end };
  draw();
}

// Shows another one of the three. Returns false if a part of this one is taken already.
export function other(step) {
  if (now.given) return false;
  do now.index = (now.index + step + 3) % 3;
  while (!now.set.ways[now.index] && now.set.ways.some(Boolean));
  draw();
  surface.show();
  tell(now.set.ways[now.index]);
  prefetchSoon();
}

// Goes to the suggestions before or after these. Returns false if there are none for this place.
export function step(by) {
  const here = sets.filter((set) => set.place === now.set.place), next = here[here.indexOf(now.set) + by];
  if (next) present(next);
  return Boolean(next);
}

// Shows the last ones again. here: those of this place, if any.
export function again(here = false) {
  const set = known(before()).at(-1) ?? (here ? null : sets.at(-1));
  if (set) present(set);
}

// Brings back what was there before a reload, or what a page without this script offered.
export function recall() {
  sets = stored(() => JSON.parse(sessionStorage.getItem(name()))) ?? [];
  const ways = [0, 1, 2].map((index) => [...document.querySelectorAll(`[slot=text-${index}]`)].map((each) => each.textContent).join(""));
  if (ways.some(Boolean) && !known(before()).length) sets.push(begun(before(), ways));
  again(true);
}

addEventListener("online", () => { if (tries) ask(); });
addEventListener("pagehide", () => remember(now?.set.rewriting ? null : now?.set));
