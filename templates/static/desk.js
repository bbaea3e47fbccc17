// The desk without page loads. The same forms go to the same addresses, and this script shows the answers.

const form = document.getElementById("desk");
const [text, printed, plot, title, offers, blank, told, saved, notice, goOn, stop, undo, redo, more] = [
  "text", "printed", "plot", "title", "offers", "blank", "told", "saved", "notice", "continue", "stop", "undo", "redo",
  "more",
].map((id) => document.getElementById(id));

// On a Mac, Option types letters. Elsewhere, browsers switch tabs with Control and a digit.
const modifier = /Mac|iP/.test(navigator.platform) ? "Control" : "Alt";

let kept = text.value;    // the text that the server has
let asking = null;        // the request for the continuations in progress
let sent = Promise.resolve();  // requests wait for the one before, so they arrive in order
let timer = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter ?? goOn;
  if (button === goOn) ask();
  else act({ [button.name]: button.value });
});
text.addEventListener("input", () => {
  label();
  saved.textContent = "";
  keepSoon();
});
addEventListener("beforeprint", () => { printed.textContent = text.value; });
addEventListener("afterprint", () => { printed.textContent = ""; });
addEventListener("pagehide", () => {
  if (text.value === kept) return;
  fetch("/desk", { method: "POST", body: fields({ do: "keep" }), headers: { Accept: "application/json" }, keepalive: true });
});
addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const held = ["Alt", "AltGraph", "Control", "Meta"].filter((key) => event.getModifierState(key)).join();
  const shortcut = held === modifier && !event.code.startsWith("Numpad");  // Alt and these type characters on Windows
  const bare = held === "" && document.activeElement === document.body;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
  else if (event.key === "Escape" && asking) act({ do: "stop" });
  else if (shortcut && event.key.toLowerCase() === "z") (event.shiftKey ? redo : undo).click();
  else if ((shortcut || bare) && /^[123]$/.test(event.key)) offers.querySelector(`[slot="take-${event.key - 1}"]`)?.click();
  else return;
  event.preventDefault();
});

// Not while continuations are being written, because they belong to the text as it was.
function keepSoon() {
  clearTimeout(timer);
  timer = setTimeout(() => { if (asking) keepSoon(); else if (text.value !== kept) act({ do: "keep" }); }, 1500);
}

const fields = (more) => {
  const all = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
};

// Sends a button's action to the server, and shows the new state of the plot.
function act(what) {
  clearTimeout(timer);
  const job = async () => {
    try {
      const before = text.value;
      const answer = await fetch("/desk", { method: "POST", body: fields(what), headers: { Accept: "application/json" } });
      if (!answer.ok) return refuse(await answer.json());
      const state = await answer.json();
      if (what.do === "keep" || what.do === "stop") return show(state, text.value !== before, false);
      show(state);
      text.focus();
      text.setSelectionRange(text.value.length, text.value.length);
      text.scrollTop = text.scrollHeight;
      if (what.choose) tell("It is part of your plot now.");
    } catch {
      lost();
    }
  };
  return (sent = sent.then(job));
}

// Requests three continuations, and shows them side by side as they are generated.
async function ask() {
  if (asking) return;
  asking = new AbortController();
  working(true);
  await sent;
  try {
    const answer = await fetch("/desk", { method: "POST", body: fields({ do: "continue" }), headers: { Accept: "text/event-stream" } });
    if (!answer.ok) return refuse(await answer.json());
    refuse({});
    clear();
    const places = [0, 1, 2].map((index) => put("span", `text-${index}`));
    for await (const [name, data] of events(answer.body)) {
      if (name === "kept") show(data, true, false);
      if (name === "piece") places[data.index].append(data.text);  // a translator may have moved the nodes inside
      if (name === "settled") settle(data);
    }
  } catch {
    lost();
  } finally {
    asking = null;
    working(false);
  }
}

// Server-sent events of a response: https://html.spec.whatwg.org/multipage/server-sent-events.html
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const [, name, data] = /event: (.*)\ndata: (.*)/.exec(event) ?? [];
      if (name) yield [name, JSON.parse(data)];
    }
  }
}

function settle({ numbers, failure }) {
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

// typing: keep the text of the page, because it is newer than the server's, or to keep the cursor in place.
function show(state, typing = false, withOffers = true) {
  refuse({});
  kept = state.text;
  if (!typing) text.value = state.text;
  plot.value = state.plot;
  title.textContent = state.title;
  document.title = `${state.title} — Plotify`;
  undo.disabled = !state.undo;
  redo.disabled = !state.redo;
  more.hidden = false;
  more.href = `${state.address}/about`;
  saved.textContent = text.value === kept ? "Kept on your shelf." : "";
  if (location.pathname !== state.address) history.replaceState(null, "", state.address);
  label();
  if (!withOffers || asking) return;
  clear();
  blank.hidden = state.offers.length > 0;
  state.offers.forEach(([number, words], index) => {
    takeButton(index, number);
    put("span", `text-${index}`, words);
  });
}

function working(yes) {
  offers.setAttribute("aria-busy", yes);
  stop.disabled = !yes;
  blank.hidden = yes || Boolean(offers.querySelector("[slot]:not(#blank)"));
  goOn.disabled = yes;
  if (yes) tell("Three continuations are being written.");
}

function label() {
  goOn.textContent = text.value.trim() ? "Go on" : "Give me a first line";
}

function refuse({ message = "", problems = {}, state = null }) {
  if (state) { plot.value = state.plot; kept = state.text; }
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

function lost() {
  say("The connection to Plotify was lost. Your text is here; try again in a moment.");
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
