// Three continuations of what stands before the caret: one is shown there as ghost text, all in the tray.

import { $, count, explain, say, says, stored, tell } from "./desk-page.js";
import { name, refused, save, state } from "./desk-saving.js";
import { events, lost } from "./desk-server.js";
import { sheet } from "./desk-sheet.js";

const KEPT = "plotify suggestions ", MOST = 60, PLOTS = 20;  // sets that the browser keeps of a plot, and plots
export const AHEAD = { ahead: 1 };
const WORDS = new Intl.Segmenter("en", { granularity: "word" });
const tray = $("tray"), cards = tray.querySelectorAll(".way");

let sets = [];  // all sets of three for this plot; none is ever lost
let now = null;  // what is shown: { set, index, given: characters taken of it, at: its place in the text }
let next = null;  // the set for what comes after that, written in advance
let timer, tries;  // of the next request; the seconds until it, after a refusal

export const shown = () => now;
const busy = () => !!(tries || now?.set.stop);

const before = () => sheet.value.slice(0, sheet.end);
const bare = (text) => /^$|\s$/.test(text);
const letter = (text) => /^[\p{L}\p{N}]/u.test(text);
const full = ({ ways }) => ways.filter(Boolean).length;

// A place in the text, by what stands before it: its length and its end.
const place = (text = before()) => `${text.length} ${text.slice(-50)}`;
const known = (where = now?.set.place) => sets.filter((set) => set.place === where);
export const offered = (text) => known(place(text)).at(-1);

export const beside = (step) => known()[known().indexOf(now?.set) + step];

// The last set near the caret tells how much the model reads.
export const reading = () => sets.findLast(({ read, place }) => read >= 0 && Math.abs(parseInt(place) - sheet.end) < 500);

// Keeps the sets, beside those of other tabs.
function remember() {
  const key = KEPT + name(), plots = (stored(KEPT) ?? []).filter((each) => each !== key);
  sets = [...new Map([...(stored(key) ?? []), ...sets].map((set) => [set.place + set.ways, set])).values()].filter((set) => full(set) || set.stop);
  const ended = sets.filter((set) => full(set) && !set.stop).slice(-MOST);
  if (!ended[0]) return;
  stored(key, ended);
  stored(KEPT, [...plots, key].slice(-PLOTS));
  for (const old of plots.slice(0, 1 - PLOTS)) stored(old, null);
}

function words(index = now.index) {
  const { set, given, at } = now, text = sheet.value, way = set.ways[index];
  const due = bare(text.slice(0, at - given)) ? way.trimStart() : bare(set.place) && letter(way) ? ` ${way}` : way;
  return way && due.slice(index === now.index ? given : 0);
}

function draw() {
  tray.hidden = !now;
  tray.ariaBusy = busy();
  if (now) {
    const { set, index, given } = now, all = known();
    $("which").textContent = all[1] ? says("which", all.indexOf(set) + 1, all.length) : says("heading");
    cards.forEach((card, at) => {
      card.textContent = given && at === index ? words() : set.ways[at];
      card.disabled = !set.ways[at] || (given && at !== index);
      card.ariaCurrent = at === index;
    });
  }
  // On phones, the tray is fixed, and so has no offsetParent.
  sheet.ghost(now ? words() : "", !tray.offsetParent && tray.getBoundingClientRect().top - $("foot").offsetHeight);
  $("stop").disabled = !busy();
  $("word").ariaKeyShortcuts = sheet.element.matches(":dir(rtl)") ? "ArrowLeft" : "ArrowRight";
  state.onchange();
}

export function present(set) {
  if (!sets.includes(set)) sets.push(set);
  if (now) now.set.away = true;
  set.away = false;
  now = { set, index: 0, given: 0, at: sheet.end };
  remember();
  draw();
  inAdvance();
}

export function rest() {
  stop();
  if (!now) return;
  now.set.away = true;
  now = null;
  tell();
  remember();
  draw();
}

export function stop() {
  clearTimeout(timer);
  tries &&= say();
  now?.set.stop?.();
  next?.stop?.();
  next = null;
  sets = sets.filter(full);
  draw();
}

// more: fields of the request. With `ahead`, nobody asked, so it yields to everybody, and says nothing if it is refused.
// A `seed` gives the same ones as before. The set's `stop` ends the writing; there is none once it has ended.
function written(text, more) {
  const writing = new AbortController(), set = { place: place(text), ways: ["", "", ""], stop: () => set.stop = writing.abort() };
  write(set, text, more, writing);
  return set;
}

async function write(set, text, more, writing) {
  const quiet = more?.ahead;
  let refusal;
  try {
    for await (const [event, data] of events("/suggest", { text, rest: sheet.value.slice(sheet.end), ...more }, writing)) {
      if (event === "begun") Object.assign(set, data, { all: data.read >= text.trim().length, read: count(text.slice(-data.read)) });
      if (event === "piece") set.ways[data.index] += data.text;
      if (event === "settled") Object.assign(set, data, { stop: null });
      if (now?.set === set) draw();
    }
    if (set.stop) throw lost;
  } catch (error) {
    refusal = error;
  }
  if (refusal && !set.stop) return;  // it was stopped
  set.stop = null;
  if (next === set && (refusal || set.failure)) next = null;
  if (now?.set !== set) return;
  const yields = quiet && refusal?.status === 503;
  if (refusal && !full(set) && !yields) now = null;
  remember();
  draw();  // shows the options, one of which may be refused
  if (refusal) {
    tries = yields ? refusal.after || 2 : !quiet && refused(refusal);
    timer = tries && setTimeout(ask, tries * 1000, more);
    return draw();
  }
  if (!quiet) explain({ message: set.failure }, ":not(#text-problem)");
  tell(full(set) ? says("arrived", full(set)) : says("none"));
  inAdvance(0);
}

// Inside a word, the text goes on behind the word. A writer who pauses there is correcting it.
export function ask(more) {
  rest();
  const { index, segment, isWordLike } = WORDS.segment(sheet.value).containing(sheet.end) ?? {};
  const inside = isWordLike && index < sheet.end;
  if (more?.ahead && inside) return;
  save();
  sheet.select(inside ? index + segment.length : sheet.end);
  present(written(before(), more));
  if (!more?.ahead) tell(says("writing"));
}

// Has the next three written before this one is taken.
function inAdvance(pause = 300) {
  if (busy()) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const text = before() + words();
    if (!words() || next?.place === place(text) || offered(text)) return;
    next?.stop?.();
    next = written(text, AHEAD);
  }, pause);
}

export function take(index = now.index) {
  const taken = words(index);
  if (!taken) return;
  now.set.stop?.();
  insert(now.at, taken);
  const last = [next, ...sets].findLast((set) => set?.place === place());
  if (last === next) next = null;
  last ? present(last) : ask(AHEAD);
  tell(says("taken") + (last && !last.stop ? ` ${says("arrived", full(last))}` : ""));
}

// A suggestion may be put away after any word, so words behind it keep a space before them. The caret stays before it.
function insert(at, words) {
  sheet.put(at, 0, letter(sheet.value.slice(at)) ? `${words} ` : words, "m");
  sheet.select(at + words.length);
}

export function takeWord() {
  const [word] = words().match(/^\s*\S+/) ?? [], { set, at } = now;
  if (!word) return;
  if (word === words() && !set.stop) return take();
  now.given += word.length;
  now.at += word.length;
  insert(at, word);
  draw();
}

// Of one taken in part there is no other, so three go on from here.
export function other(step) {
  if (now.given) return ask();
  do now.index = (now.index + step + 3) % 3;
  while (!now.set.ways[now.index] && full(now.set));
  draw();
  tell(now.set.ways[now.index]);
  inAdvance();
}

export const again = () => present(offered());

cards.forEach((card, at) => card.onclick = () => take(at));
addEventListener("online", () => tries && ask());
// After a reload, what was being written is written again from its seed, not kept in part: the tab keeps its place.
addEventListener("pagehide", () => {
  stored(KEPT + name(), busy() ? [place(), { seed: now?.set.seeds?.[0] }] : null, 1);
  if (now?.set.stop) sets.pop();
  stop();
  remember();
});
addEventListener("pageshow", () => {
  const [where, seed] = stored(KEPT + name(), undefined, 1) ?? [];
  if (where === place()) ask(seed);
});
state.onshow = () => {
  remember();  // under the name of the plot, which may be new
  draw();
};

remember();
const open = known(place()).findLast(({ away }) => !away);
if (open) present(open);
else if ($("offers").ariaBusy === "true") ask();  // the button was pressed before this script was there
draw();
