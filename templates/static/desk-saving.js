// Saves the text, with a copy in the browser until the server has it.

import { $, explain, form, say, says, stored } from "./desk-page.js";
import { fields, passes, post } from "./desk-server.js";
import { sheet } from "./desk-sheet.js";

const DRAFT = "plotify draft ", DAY = 24 * 3600 * 1000;
const served = $("text").defaultValue, plot = $("plot"), page = $("page");

// After Back and Reload, browsers may fill in an older text. A page's id names the plot that it begins, and its copy.
const fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate";
if (!fresh && history.state?.page) page.value = history.state.page;
history.replaceState({ page: page.value }, "");
const draft = DRAFT + page.value;

// kept: the text that the server has. undo, redo: it has texts before and after that one.
export const state = {
  kept: fresh ? served : sheet.value,
  undo: !$("undo").disabled,
  redo: !$("redo").disabled,
  onshow() {},    // the server has a new text
  onchange() {},  // other controls may be of use
};

const takes = [];              // what the model wrote and the server does not know yet
let steered, timer;            // the options changed since the last save; the next save or try
let sent = Promise.resolve();  // requests wait for the one before, so they arrive in order
let trying = false, told = false, tries = 0;  // told: a refusal is on the page

export const unsaved = () => sheet.value !== state.kept;
const status = (name) => { $("saved").textContent = says(name); };
const whole = ({ text, taken, rest }) => text + taken + rest;
const plain = () => ({ do: "keep", ...(sheet.edits.redo.length && { undone: 1 }) });
const forget = (name = draft) => stored(name, null);

// leaves: the text was sent, but the page will not see the answer.
function keepDraft(leaves = false) {
  const { token, ...typed } = Object.fromEntries(new FormData(form));
  if (unsaved()) stored(draft, { typed, authors: sheet.authors, kept: state.kept, leaves, at: Date.now() });
}

export function soon(pause = 1500) {
  if (unsaved()) status(navigator.onLine ? "saving" : "offline");
  else if (plot.value) status("saved");
  if (!trying) plan(pause);
}

function plan(pause, again = false) {
  clearTimeout(timer);
  trying = again;
  timer = setTimeout(save, pause);
}

export function steer() {
  steered = plot.value;
  if (steered) soon();
}

// Puts words of the model into the text. They are saved as such, so the server knows their author.
export function insert(at, length, taken) {
  const { value } = sheet, text = value.slice(0, at), rest = value.slice(at + length), last = takes.at(-1);
  sheet.put(at, length, taken, "m");
  if (last && !last.leaves && last.text + last.taken === text && last.rest === rest) last.taken += taken;
  else takes.push({ text, taken, rest });
  soon(200);
}

export function save() {
  clearTimeout(timer);
  trying = false;
  keepDraft();
  return (sent = sent.then(async () => {
    while (takes.length) if (!await deliver(takes[0])) return;
    await deliver({});  // not before: what is taken meanwhile would count as typed
  }));
}

async function deliver(what) {
  if (trying || !(what.do || what.taken || unsaved() || steered)) return;  // the one before was refused, or nothing is new
  let text = what.taken ? whole(what) : sheet.value;
  what.leaves = true;
  steered = false;
  const answer = await post("", { ...plain(), ...what }), { plot: id, title, address, undo, redo } = answer;
  if (answer.status !== 200) {
    const seconds = what.do ? explain(answer) : refused(answer);
    told = true;
    if (seconds) plan(seconds * 1000, true);
    else {
      takes.length = 0;  // the text is saved as it is, after the next change
      status("unsaved");
    }
    return;
  }
  if (what.taken) takes.shift();
  if (what.do && !unsaved()) {  // else somebody typed meanwhile, and that is saved next
    ({ text } = answer);
    sheet.write(0, sheet.value.length, text);
    sheet.begin(answer.authors);
  }
  const gone = plot.value && plot.value !== id;
  if (told || gone) explain({ message: gone ? says("gone") : "" }, "#text-problem");  // else suggestions have told it
  told = false;
  tries = 0;
  Object.assign(state, { kept: text, undo, redo });
  plot.value = id;
  $("title").textContent = title;
  document.title = `${title} — Plotify`;
  $("more").hidden = false;
  $("more").href = `${address}/about`;
  history.replaceState(history.state, "", address);
  if (!unsaved()) forget();
  soon();
  state.onshow();
  return true;
}

// Goes back or forward on the server, to before this page was opened.
export const travel = (way) => (sent = save().then(() => !unsaved() && state[way] && deliver({ do: way })));

// Returns the seconds until the next try, if another is of use.
export function refused({ status: code, after, message = "", problems = {} }) {
  if (!passes(code)) return explain({ message, problems });
  // Not all at once when a server comes back.
  const seconds = after || Math.ceil(Math.min(2 ** ++tries, 60) * (0.5 + Math.random() / 2));
  if (!code) status("offline");
  say(code === 503 ? says(unsaved() ? "busy" : "waiting", seconds) : says("later", message || Object.values(problems).join(" "), seconds));
  keepDraft();
  return seconds;
}

// Brings back words of this page that never reached the server, and offers those of others.
function recall() {
  $("end").textContent = "";
  for (const name of stored() ?? []) {
    const each = name.startsWith(DRAFT) && stored(name);
    if (!each) continue;
    const { typed, authors, kept, leaves, at } = each, here = name === draft || (typed.plot && typed.plot === plot.value);
    if (here && kept === served && typed.text !== served) {
      state.kept = null;  // what was sent may have arrived since
      if (typed.text !== sheet.value) sheet.put(0, sheet.value.length, typed.text);
      if (authors?.length === sheet.value.length) sheet.authors = authors;
      if (name !== draft) forget(name);
    } else if (here ? leaves || typed.text === served : leaves && Date.now() - at > DAY) forget(name);
    else if (!leaves) {
      $("end").textContent = typed.text.trim().split(/\s+/).slice(-12).join(" ").slice(-100);
      $("discard").onclick = () => {
        forget(name);
        recall();
      };
      $("restore").onclick = async () => {
        if (unsaved()) await save();
        const answer = await post("", { ...typed, do: "keep" });
        if (answer.status !== 200) return explain(answer);
        forget(name);
        location.assign(answer.address);
      };
    }
  }
}

addEventListener("online", save);
addEventListener("pagehide", () => {
  if (!unsaved() && !takes.length) return;
  const [take] = takes, what = { ...plain(), ...(takes.length === 1 && whole(take) === sheet.value && take) };
  // A browser refuses more than 64 KiB.
  keepDraft(navigator.onLine && !trying && navigator.sendBeacon(form.action, fields(what)));
});
// A phone may end a page that nobody sees, and never tell it.
document.onvisibilitychange = () => keepDraft();
addEventListener("pageshow", () => soon());  // after Back, too
recall();
