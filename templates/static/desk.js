// Writes the plot into the page word by word. Without this module the form does the same, one page for each plot.

const [form, sheet, blank, opening, continuation, colophon, notice, write, stop, again, startOver] = [
  "brief", "plot", "blank", "opening", "continuation", "colophon", "notice", "write", "stop", "again", "start-over",
].map((id) => document.getElementById(id));
const endings = JSON.parse(colophon.dataset.endings);
let reading = null;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (reading) return;
  if (event.submitter === again) document.getElementById("seed").value = "";
  writePlot(new URLSearchParams(new FormData(form)));
});
stop.addEventListener("click", () => reading?.abort());

async function writePlot(fields) {
  reading = new AbortController();
  let seed;
  try {
    const response = await fetch("/stream", { method: "POST", body: fields, signal: reading.signal });
    if (!response.ok) return refuse(await response.json());
    seed = response.headers.get("Plot-Seed");
    begin(fields.get("prompt").trim());
    colophonFor(await readInto(continuation, response), fields, seed);
  } catch (error) {
    if (error.name === "AbortError") colophonFor(endings.cancelled, fields, seed);
    else say("The connection to Plotify was lost. Try again in a moment.");
  } finally {
    reading = null;
    showWriting(false);
  }
}

function begin(prompt) {
  refuse({});
  blank.hidden = again.hidden = startOver.hidden = true;
  opening.textContent = prompt;
  continuation.textContent = colophon.textContent = "";
  showWriting(true);
  const { top } = sheet.getBoundingClientRect();
  if (top > window.innerHeight * 0.6 || top < 0) sheet.scrollIntoView();
}

// While aria-busy, the live region is silent; then it is read out once, whole.
function showWriting(writing) {
  const focused = document.activeElement;
  sheet.setAttribute("aria-busy", writing);
  write.hidden = writing;
  stop.hidden = !writing;
  if (writing) return focused === write || focused === again ? stop.focus() : undefined;
  again.hidden = startOver.hidden = blank.hidden === false;
  if (focused === stop) again.focus();
}

// Appends the words of the stream as they are whole, and returns how it ended.
async function readInto(element, response) {
  const text = element.appendChild(document.createTextNode(""));
  let word = "";
  for await (const [name, data] of events(response.body.getReader())) {
    if (name === "token") {
      word += data.text;
      const whole = word.search(/\s\S*$/);
      if (whole > 0) text.appendData(word.slice(0, whole));
      if (whole > 0) word = word.slice(whole);
    } else {
      text.appendData(word);
      return name === "done" ? endings[data.finish_reason] : data.message;
    }
  }
  throw new Error("The stream ended without an ending.");
}

async function* events(reader) {
  const decoder = new TextDecoder();
  let received = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const messages = (received + decoder.decode(value, { stream: true })).split("\n\n");
    received = messages.pop();
    for (const message of messages) {
      const fields = Object.fromEntries(message.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      yield [fields.event, JSON.parse(fields.data)];
    }
  }
}

function colophonFor(ending, fields, seed) {
  colophon.textContent = `${ending} `;
  if (!seed) return;
  const link = colophon.appendChild(document.createElement("a"));
  fields.set("seed", seed);
  link.href = `/?${fields}`;
  link.textContent = `Seed ${seed}`;
}

function refuse({ message = "", problems = {} }) {
  for (const paragraph of form.querySelectorAll(".problem")) {
    const name = paragraph.id.replace("-problem", "");
    paragraph.textContent = problems[name] ?? "";
    paragraph.hidden = !(name in problems);
    const control = document.getElementById(name);
    if (name in problems) control?.setAttribute("aria-invalid", "true");
    else control?.removeAttribute("aria-invalid");
  }
  form.querySelector("[aria-invalid]")?.focus();
  say(Object.keys(problems).length ? "" : message);
}

function say(text) {
  notice.textContent = text;
  notice.hidden = !text;
}
