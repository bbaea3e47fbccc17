// Writes the plot into the page word by word. Without this module the form does the same, one page for each plot.

const [form, sheet, blank, opening, continuation, colophon, notice, write, stop, again, startOver] = [
  "brief", "plot", "blank", "opening", "continuation", "colophon", "notice", "write", "stop", "again", "start-over",
].map((id) => document.getElementById(id));
const endings = JSON.parse(colophon.dataset.endings);
let busy = false;
let stopWriting = () => {};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (busy) return;
  if (event.submitter === again) document.getElementById("seed").value = "";
  writePlot(new URLSearchParams(new FormData(form)));
});
stop.addEventListener("click", () => stopWriting());

async function writePlot(fields) {
  busy = true;
  try {
    const response = await fetch("/api/plots", { method: "POST", body: fields });
    if (!response.ok) return refuse(await response.json());
    const plot = await response.json();
    begin(fields.get("prompt").trim());
    colophonFor(await readInto(continuation, plot), fields, plot.seed);
  } catch {
    say("The connection to Plotify was lost. Try again in a moment.");
  } finally {
    busy = false;
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

// Appends the words of the plot as they are whole, and resolves to how it ended. A connection that is lost comes back
// by itself, and the plot goes on where it was; one that is refused rejects.
function readInto(element, plot) {
  const text = element.appendChild(document.createTextNode(""));
  let word = "";
  return new Promise((resolve, reject) => {
    const source = new EventSource(plot.events);
    const end = (ending) => {
      source.close();
      text.appendData(word);
      resolve(ending);
    };
    stopWriting = () => {
      fetch(plot.self, { method: "DELETE" }).catch(() => {});  // unread, it is stopped a little later
      end(endings.cancelled);
    };
    source.addEventListener("open", () => { colophon.textContent = ""; });
    source.addEventListener("token", ({ data }) => {
      word += JSON.parse(data).text;
      const whole = word.search(/\s\S*$/);
      if (whole > 0) text.appendData(word.slice(0, whole));
      if (whole > 0) word = word.slice(whole);
    });
    source.addEventListener("done", ({ data }) => end(endings[JSON.parse(data).finish_reason]));
    // The plot's own error has data, the connection's has none.
    source.addEventListener("error", ({ data }) => {
      if (data) end(JSON.parse(data).message);
      else if (source.readyState === EventSource.CLOSED) reject(source);
      else colophon.textContent = "The connection was lost; the plot goes on when it is back.";
    });
  });
}

function colophonFor(ending, fields, seed) {
  colophon.textContent = `${ending} `;
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
