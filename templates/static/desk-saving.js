// Saves the text. Until then, the browser has a copy. Each tab has one of the edits.

import { $, explain, form, say, says, stored } from "./desk-page.js";
import { fields, post } from "./desk-server.js";
import { sheet } from "./desk-sheet.js";

const DRAFT = "plotify draft ";
const served = $("text").defaultValue, plot = $("plot"), page = $("page");

// A page keeps its id after Back and Reload. It names the plot that the page begins. If that is saved while the page is
// loaded again, the browser loses the state, but the tab keeps the id.
if (performance.getEntriesByType("navigation")[0]?.type !== "navigate") page.value = history.state?.page ?? stored("page", undefined, 1) ?? page.value;
history.replaceState({ page: page.value }, "");
stored("page", page.value, 1);
const draft = DRAFT + Math.random();

// The server computes the same: server/shelf/marks.py
const mark = (text) => new TextEncoder().encode(text).reduce((all, byte) => (all * 256 + byte) % 4294967291, 0);

let known = [mark(served)];  // marks of the text that the server has, and of those sent since

// undo, redo: the server has texts before and after its own.
export const state = {
  undo: !$("undo").disabled,
  redo: !$("redo").disabled,
  onchange() {},  // other controls may be of use; onshow, set later: the server has a new text
};

const takes = [];  // what the model wrote, and texts that were undone, which the server does not know yet
let steered, timer;  // the options changed since the last save; the next save or try
let sent = Promise.resolve();  // so that requests arrive in order
let trying, told, tries = 0;  // told: a refusal is on the page

export const unsaved = () => steered || new Set(known).add(mark(sheet.value)).size > 1;
const status = (word) => $("saved").textContent = says(word);
const whole = ({ text, taken, rest }) => text + taken + rest;
const plain = () => ({ do: "keep", undone: sheet.edits.redo.length || "", known });
export const name = () => plot.value || page.value;

// leaves: the text was sent, but the page will not see the answer.
function keepDraft(leaves) {
  const { token, ...typed } = Object.fromEntries(new FormData(form)), { value, authors, edits, end } = sheet;
  stored(draft, unsaved() ? { typed, authors, known, leaves, at: Date.now() } : null);
  stored(name(), { value, edits, end }, 1);
}

// From now on, the server may have it.
const send = (text) => known = [...new Set(known).add(mark(text))];

export function soon() {
  keepDraft();
  if (unsaved()) status(navigator.onLine ? "saving" : "offline");
  else if (plot.value) status("saved");
  timer || plan(1500);
}

function plan(pause, again) {
  clearTimeout(timer);
  trying = again;
  timer = setTimeout(save, pause);
}

export function steer() {
  if ((steered = plot.value)) soon();
}

// Saves words of the model as such, or with none the text as it is now.
sheet.ontake = (at, taken) => {
  const { value } = sheet;
  takes.push({ text: value.slice(0, at), taken, rest: value.slice(at + taken.length), undone: "" });
  if (!trying) plan(200);
};

export function save() {
  timer = clearTimeout(timer);
  trying = false;
  return (sent = sent.then(async () => {
    while (takes.length) if (!await deliver(takes[0])) return;
    if (unsaved()) await deliver({});  // not before: what is taken meanwhile would count as typed
  }));
}

async function deliver(what) {
  if (trying) return;  // the one before was refused
  const first = what === takes[0], text = first ? whole(what) : sheet.value;
  what.leaves = true;
  steered &&= what.do === "read";
  send(text);
  const answer = await post("", { ...plain(), ...what }), { plot: id, title, address, replaced } = answer;
  if (answer.status !== 200) {
    if (what.do === "read") return;
    const seconds = what.do ? explain(answer) : refused(answer);
    told = true;
    steered = seconds && plot.value;
    if (seconds) plan(seconds * 1000, true);
    else {
      takes.length = 0;  // the text is saved as it is, after the next change
      status("unsaved");
    }
    return;
  }
  if (first) takes.shift();
  if (answer.text !== text) {
    if (sheet.value === text) {
      sheet.write(0, text.length, answer.text);
      sheet.begin(answer.authors);
      sheet.onmove();
    } else if (!/do/.test(what.do)) return;  // somebody typed meanwhile, and has not seen that text
  }
  const gone = plot.value && plot.value !== id;
  if (told || gone) explain({ message: gone ? says("gone") : "" }, "#text-problem");  // else suggestions have told it
  told = false;
  tries = 0;
  known = [mark(answer.text)];
  Object.assign(state, answer);
  if (replaced) {
    $("go").value = replaced;
    $("elsewhere").hidden = false;
  }
  plot.value = id;
  $("title").textContent = title;
  document.title = `${title} — Plotify`;
  Object.assign($("more"), { hidden: false, href: `${address}/about` });
  history.replaceState(history.state, "", address);
  soon();
  state.onshow();
  return true;
}

// Goes back or forward on the server, to before this page was opened, or to a passage.
export const travel = (where) => (sent = save().then(() => !unsaved() && deliver(where)));

// Returns the seconds until the next try, if there is one.
export function refused(answer) {
  const { status: code, after, message } = answer;
  if (!/^(0|408|429|50[0234])$/.test(code)) return explain(answer);
  // It may succeed later, but not all at once.
  const seconds = after || Math.ceil(Math.min(2 ** ++tries, 60) * (.5 + Math.random() / 2));
  if (!code) status("offline");
  say(code === 503 ? says(unsaved() ? "busy" : "waiting", seconds) : says("later", message, seconds));
  return seconds;
}

// Brings back what an earlier page did not see saved, and offers words of other plots.
function recall() {
  $("end").textContent = "";
  for (const key of stored() ?? []) {
    const each = key.startsWith(DRAFT) && key !== draft && stored(key);
    if (!each) continue;
    const { typed, authors, known: were = [], leaves, at } = each, here = [typed.plot, typed.page].includes(name());
    if (here && sheet.value === served && (!plot.value || [mark(typed.text), ...were].includes(mark(served)))) {
      if (typed.text !== served) {
        known = were;
        sheet.put(0, served.length, typed.text);
        sheet.authors = authors;
        keepDraft();
      }
      stored(key, null);
    } else if (leaves) {
      if (here || Date.now() - at > 864e5) stored(key, null);  // a day
    } else {
      $("end").textContent = typed.text.trim().slice(-100);
      $("discard").onclick = () => {
        stored(key, null);
        recall();
      };
      $("restore").onclick = async () => {
        await save();
        const answer = await post("", { ...typed, do: "keep" });
        if (answer.status !== 200) return explain(answer);
        stored(key, null);
        location = answer.address;
      };
    }
  }
}

ononline = save;
// Another tab may have changed the text.
document.onvisibilitychange = onfocus = () => !document.hidden && plot.value && travel({ do: "read" });
// The next page shows what is saved.
$("more").onclick = async (event) => {
  if (!unsaved()) return;
  event.preventDefault();
  await save();
  location = $("more").href;
};
onpagehide = () => {
  if (!unsaved()) return;
  const all = { ...takes[0], taken: takes.map(({ taken }) => taken).join("") };
  const what = { ...plain(), ...(whole(all) === sheet.value && all) };
  send(sheet.value);
  // A browser refuses more than 64 KiB.
  keepDraft(navigator.onLine && !trying && navigator.sendBeacon(form.action, fields(what)));
};
onpageshow = soon;  // after Back, too
const last = stored(name(), undefined, 1);
recall();
if (last?.value === sheet.value) {
  sheet.edits = last.edits;
  sheet.closed = last.edits.undo.at(-1);
  sheet.select(last.end);
} else if (last) travel({ do: "read" });  // the server wrote this page before it had the words that were saved last
