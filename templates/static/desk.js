// The desk without waiting for pages: the same forms go to the same addresses, and the answers into this page.

const form = document.getElementById("desk");
const [text, plot, title, offers, blank, told, saved, notice, goOn, stop, undo, redo, more] = [
  "text", "plot", "title", "offers", "blank", "told", "saved", "notice", "continue", "stop", "undo", "redo", "more",
].map((id) => document.getElementById(id));

let kept = text.value;    // what the server has of the text
let asking = null;        // the request whose offer is being written
let sent = Promise.resolve();  // one request after another, so that they arrive in order
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
addEventListener("pagehide", () => {
  if (text.value === kept) return;
  fetch("/desk", { method: "POST", body: fields({ do: "keep" }), headers: { Accept: "application/json" }, keepalive: true });
});
addEventListener("keydown", (event) => {
  const digit = event.altKey ? event.code.replace("Digit", "") : document.activeElement === document.body ? event.key : "";
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
  else if (event.key === "Escape" && asking) act({ do: "stop" });
  else if (event.altKey && event.code === "KeyZ") (event.shiftKey ? redo : undo).click();
  else if (/^[123]$/.test(digit)) offers.querySelector(`[slot="take-${digit - 1}"]`)?.click();
  else return;
  event.preventDefault();
});

// Not while an offer is written: it is for the text as it was.
function keepSoon() {
  clearTimeout(timer);
  timer = setTimeout(() => { if (asking) keepSoon(); else if (text.value !== kept) act({ do: "keep" }); }, 1500);
}

const fields = (more) => {
  const all = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
};

// Has the server do what a button says, and shows what the plot is then.
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

// Asks for three ways on, and writes them side by side as they come.
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
      if (name === "piece") places[data.index].firstChild.appendData(data.text);
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
  tell(count ? `${count} ways on are there. Alt and ${[1, 2, 3].slice(0, count).join(", ")} take one.` : "Nothing came of it.");
}

function clear() {
  offers.querySelectorAll("[slot]:not(#blank)").forEach((each) => each.remove());
}

function put(tag, slot, content = "") {
  const element = document.createElement(tag);
  element.slot = slot;
  element.append(content);
  return offers.appendChild(element);
}

function takeButton(index, number) {
  const button = put("button", `take-${index}`, "Take this");
  button.name = "choose";
  button.value = number;
}

// typing: the text on the page is newer than the server's, or is to stay where the cursor is.
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
  if (yes) tell("Three ways on are being written.");
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

// For those who listen: what happened, once, and not word by word.
function tell(words) {
  told.textContent = words;
}

if (goOn) document.documentElement.dataset.script = "on";
