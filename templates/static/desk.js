// The desk without page loads. The same forms go to the same addresses, and this script shows the answers.

const form = document.getElementById("desk");
const [text, printed, plot, title, offers, blank, told, saved, notice, goOn, stop, undo, redo, more, found, restore, discard] = [
  "text", "printed", "plot", "title", "offers", "blank", "told", "saved", "notice", "continue", "stop", "undo", "redo", "more",
  "found", "restore", "discard",
].map((id) => document.getElementById(id));

// On a Mac, Option types letters. Elsewhere, browsers switch tabs with Control and a digit.
const modifier = /Mac|iP/.test(navigator.platform) ? "Control" : "Alt";

const KEEP = { do: "keep" };
const SILENCE = 120_000;  // milliseconds without a byte, after which a request has failed
const LOST = { status: 0, message: "The connection to Plotify was lost. Your text is here." };
const PASSING = [0, 408, 429, 500, 502, 503, 504];  // the same request may succeed later

const served = text.defaultValue;
// After Back and Reload, browsers may fill in an older text.
const fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate";

// The page's id names the plot that a blank page begins, and the copy of its text. The history keeps it for Back.
const page = document.getElementById("page");
if (!fresh && history.state?.page) page.value = history.state.page;
history.replaceState({ page: page.value }, "");

let kept = fresh ? served : text.value;  // the text that the server has
let asking = null;             // the request for the continuations in progress
let broken = false;            // it ended early, so the page may lack continuations
let gone = false;              // the continuations on the page were deleted elsewhere, with their plot
let sent = Promise.resolve();  // requests wait for the one before, so they arrive in order
let timer = 0;                 // of the next save or try
let waiting = null;            // the action that is tried again then
let tries = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter ?? goOn;
  if (button === goOn) ask();
  else act({ [button.name]: button.value });
});
text.addEventListener("input", typing);
addEventListener("beforeprint", () => { printed.textContent = text.value; });
addEventListener("afterprint", () => { printed.textContent = ""; });
addEventListener("pagehide", () => {
  if (text.value === kept) return;
  const body = fields(KEEP);
  // Browsers send at most 64 KiB of what outlives its page.
  const leaves = navigator.onLine && !waiting && String(body).length < 60_000;
  copy(leaves);
  if (leaves) send(KEEP, "application/json", { keepalive: true }).catch(() => {});
});
addEventListener("pageshow", (event) => { if (event.persisted && text.value !== kept) keepSoon(); });
addEventListener("online", () => { if (waiting) tryAgain(); });
addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const held = ["Alt", "AltGraph", "Control", "Meta"].filter((key) => event.getModifierState(key)).join();
  const shortcut = held === modifier && !event.code.startsWith("Numpad");  // Alt and these type characters on Windows
  const bare = held === "" && document.activeElement === document.body;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
  else if (event.key === "Escape" && !stop.disabled) act({ do: "stop" });
  else if (shortcut && event.key.toLowerCase() === "z") (event.shiftKey ? redo : undo).click();
  else if ((shortcut || bare) && /^[123]$/.test(event.key)) offers.querySelector(`[slot="take-${event.key - 1}"]`)?.click();
  else return;
  event.preventDefault();
});

function typing() {
  label();
  saved.textContent = "";
  keepSoon();
}

// Not while continuations are being written, because they belong to the text as it was.
function keepSoon() {
  if (waiting) {
    waiting = KEEP;
    return;
  }
  clearTimeout(timer);
  timer = setTimeout(() => {
    copy();
    if (asking) keepSoon();
    else if (text.value !== kept) act(KEEP);
  }, 1500);
}

const fields = (more) => {
  const all = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
};

const send = (what, accept, options) =>
  fetch(form.action, { method: "POST", body: fields(what), headers: { Accept: accept }, ...options });

// Returns the JSON of an answer with its status. A proxy on the way may answer with something else.
async function read(answer) {
  const after = Number(answer.headers.get("Retry-After")) || 0;
  try {
    return { ...await answer.json(), status: answer.status, after };
  } catch {
    return { message: `The server cannot answer just now (${answer.status}).`, status: answer.ok ? 502 : answer.status, after };
  }
}

// Sends a form, and returns the JSON of the answer with its status.
async function post(what) {
  const patience = new Patience();
  try {
    return await read(await send(what, "application/json", { signal: patience.signal }));
  } catch {
    return LOST;
  } finally {
    patience.end();
  }
}

// Aborts a request after a time of silence.
class Patience extends AbortController {
  constructor() {
    super();
    this.renew();
  }

  renew() {
    this.end();
    this.timer = setTimeout(() => this.abort(), SILENCE);
  }

  end() {
    clearTimeout(this.timer);
  }
}

// Sends a button's action to the server, and shows the new state of the plot.
function act(what) {
  cancelTry();
  const job = async () => {
    const before = text.value;
    const answer = await post(what);
    if (answer.status !== 200) return refused(answer, what, before);
    if (what.do === "keep" || what.do === "stop") return show(answer, before, broken);
    // What was typed meanwhile goes on from the new text.
    const typed = text.value.startsWith(before) ? text.value.slice(before.length) : "";
    text.value = answer.text;
    const now = text.value;
    text.value += typed;
    show(answer, now);
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
    text.scrollTop = text.scrollHeight;
    if (what.choose) tell("It is part of your plot now.");
  };
  return (sent = sent.then(job));
}

// Requests three continuations, and shows them side by side as they are generated.
async function ask() {
  if (asking) return;
  cancelTry();
  asking = new Patience();
  working(true);
  await sent;
  asking.renew();
  const before = text.value;
  let begun = false;
  try {
    const answer = await send({ do: "continue" }, "text/event-stream", { signal: asking.signal });
    if (!answer.ok) return refused(await read(answer), { do: "continue" }, before);
    explain({});
    clear();
    begun = broken = true;
    const places = [0, 1, 2].map((index) => put("span", `text-${index}`));
    for await (const [name, data] of events(answer.body)) {
      if (name === "kept") show(data, before, false);
      if (name === "piece") places[data.index].append(data.text);  // a translator may have moved the nodes inside
      if (name === "settled") settle(data);
    }
    if (broken) throw new Error("The stream has no end.");
  } catch {
    // The server stops writing if nobody reads, and keeps what it has.
    refused(LOST, { do: begun ? "stop" : "continue" }, before);
  } finally {
    asking.end();
    asking = null;
    working(false);
  }
}

// Shows why the server does not do it, and tries again if it may work later.
function refused({ status, after, message = "", problems = {}, state }, what, before) {
  if (state) show(state, before, false);
  if (status === 404 && what.choose) {
    gone = true;
    clear();
    return tryLater(KEEP, 0);
  }
  if (!PASSING.includes(status)) return explain({ message, problems });
  tries += 1;
  // Not all at the same time, if a server comes back.
  const seconds = after || Math.ceil(Math.min(2 ** tries, 60) * (0.5 + Math.random() / 2));
  say(`${message || Object.values(problems).join(" ")} This page tries again in ${seconds} second${seconds === 1 ? "" : "s"}.`);
  copy();
  tryLater(what, seconds);
}

function tryLater(what, seconds) {
  cancelTry();
  waiting = what;
  timer = setTimeout(tryAgain, seconds * 1000);
}

function tryAgain() {
  const what = waiting;
  if (what.do === "continue") ask();
  else act(what);
}

function cancelTry() {
  clearTimeout(timer);
  waiting = null;
}

// Server-sent events of a response: https://html.spec.whatwg.org/multipage/server-sent-events.html
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
    asking.renew();
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const [, name, data] = /event: (.*)\ndata: (.*)/.exec(event) ?? [];
      if (name) yield [name, JSON.parse(data)];
    }
  }
}

function settle({ numbers, failure }) {
  broken = false;
  numbers.forEach((number, index) => { if (number !== null) takeButton(index, number); });
  if (failure) put("p", "after", failure).className = "problem";
  const count = numbers.filter((number) => number !== null).length;
  tell(count ? `${count} continuations are ready. Press ${modifier} and ${[1, 2, 3].slice(0, count).join(" or ")} to take one.` : "There are no continuations.");
}

function clear() {
  offers.querySelectorAll("[slot]:not(#blank)").forEach((each) => each.remove());
}

function put(tag, slot, content = "") {
  const element = document.createElement(tag);
  element.slot = slot;
  element.translate = tag !== "span";  // texts are taken as they are
  element.append(content);
  return offers.appendChild(element);
}

function takeButton(index, number) {
  const button = put("button", `take-${index}`, "Take this");
  button.name = "choose";
  button.value = number;
}

// at: the text of the page that is now on the server. What was typed since then stays.
function show(state, at, withOffers = true) {
  const other = gone || (plot.value && plot.value !== state.plot);
  explain({ message: other ? "The plot is no longer on your shelf, so your text is a new plot." : "" });
  gone = false;
  tries = 0;
  kept = at;
  plot.value = state.plot;
  title.textContent = state.title;
  document.title = `${state.title} — Plotify`;
  undo.disabled = !state.undo;
  redo.disabled = !state.redo;
  stop.disabled = !asking;
  more.hidden = false;
  more.href = `${state.address}/about`;
  saved.textContent = text.value === kept ? "Kept on your shelf." : "";
  if (location.pathname !== state.address) history.replaceState(history.state, "", state.address);
  label();
  cancelTry();
  if (text.value === kept) forget(draft);
  else keepSoon();
  if (asking || !(withOffers || other)) return;
  broken = false;
  clear();
  blank.hidden = state.offers.length > 0;
  state.offers.forEach(([number, words], index) => {
    takeButton(index, number);
    put("span", `text-${index}`, words);
  });
}

function working(yes) {
  offers.setAttribute("aria-busy", yes);
  stop.disabled = !yes && waiting?.do !== "continue";
  blank.hidden = yes || Boolean(offers.querySelector("[slot]:not(#blank)"));
  goOn.disabled = yes;
  if (yes) tell("Three continuations are being written.");
}

function label() {
  goOn.textContent = text.value.trim() ? "Go on" : "Give me a first line";
}

function explain({ message = "", problems = {} }) {
  for (const paragraph of form.querySelectorAll(".problem[id]")) {
    const name = paragraph.id.replace("-problem", "");
    paragraph.textContent = problems[name] ?? "";
    paragraph.hidden = !(name in problems);
    const control = document.getElementById(name);
    if (name in problems) control?.setAttribute("aria-invalid", "true");
    else control?.removeAttribute("aria-invalid");
  }
  const wrong = form.querySelector("[aria-invalid]");
  if (wrong?.closest("details")) wrong.closest("details").open = true;
  wrong?.focus();
  say(Object.keys(problems).length ? "" : message);
}

function say(words) {
  notice.textContent = words;
  notice.hidden = !words;
}

// For screen readers: each event once, not word by word.
function tell(words) {
  told.textContent = words;
}

for (const button of [undo, redo]) button.ariaKeyShortcuts = button.ariaKeyShortcuts.replace("Alt", modifier);

// A copy of the text in this browser, until the server has it.

const DRAFT = "plotify draft ";
const draft = DRAFT + page.value;
const DAY = 24 * 3600 * 1000;

// leaves: the text was sent, but the page will not see the answer.
function copy(leaves = false) {
  if (text.value === kept) return;
  const { token, ...typed } = Object.fromEntries(new FormData(form));
  try {
    localStorage.setItem(draft, JSON.stringify({ typed, kept, leaves, at: Date.now() }));
  } catch { /* There is no room, or the browser keeps nothing. */ }
}

function forget(key) {
  try {
    localStorage.removeItem(key);
  } catch { /* The browser keeps nothing. */ }
}

function drafts() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(DRAFT));
    return keys.map((key) => ({ key, ...JSON.parse(localStorage.getItem(key)) }));
  } catch {
    return [];
  }
}

// Puts words that never reached the server back into their page, and offers them elsewhere.
function recall() {
  found.hidden = true;
  for (const each of drafts()) {
    const here = each.key === draft || (each.typed.plot && each.typed.plot === plot.value);
    if (here && each.kept === served && each.typed.text !== served) {
      kept = served;
      text.value = each.typed.text;
      if (each.key !== draft) forget(each.key);
      copy();
      typing();
    } else if (here ? each.leaves || each.typed.text === served : each.leaves && Date.now() - each.at > DAY) {
      forget(each.key);
    } else if (!each.leaves) {
      offerBack(each);
    }
  }
}

function offerBack({ key, typed }) {
  found.hidden = false;
  document.getElementById("end").textContent = typed.text.trim().split(/\s+/).slice(-12).join(" ").slice(-100);
  discard.onclick = () => {
    forget(key);
    recall();
  };
  restore.onclick = async () => {
    if (text.value !== kept) await act(KEEP);
    const answer = await post({ ...typed, ...KEEP });
    if (answer.status !== 200) return explain(answer);
    forget(key);
    location.assign(answer.address);
  };
}

recall();
if (text.value !== kept) typing();  // before the script was there
