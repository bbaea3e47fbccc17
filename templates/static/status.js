// Keeps the figures and lines of the page up to date. Without this module the page reloads itself.

// Browsers open six connections to a server, so the pages of one browser share a connection to the events.
const pages = new BroadcastChannel("status");
const rank = Math.random();
const connection = document.getElementById("connection");
let source = null;
let timer = 0;

pages.addEventListener("message", ({ data }) => {
  // If two pages have a connection, the one with the lower rank keeps it.
  if (source && rank < data.rank) return;
  show(data);
  wait();
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", wait);

// The page with the connection tells the others every second. If it no longer does, another one connects.
function wait() {
  disconnect();
  timer = setTimeout(connect, 1500 * (1 + rank));
}

function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function connect() {
  const events = source = new EventSource(location.pathname);
  events.addEventListener("message", ({ data }) => tell(JSON.parse(data)));
  events.addEventListener("error", () => {
    tell({ values: { connection: "The connection was lost. These are the last figures." }, lines: {} });
    // It reconnects by itself, unless the answer was not an event stream.
    if (events.readyState === EventSource.CLOSED) timer = setTimeout(connect, 5000);
  });
}

function tell({ values, lines }) {
  const shown = { values: { connection: "", ...values }, lines, rank };
  show(shown);
  pages.postMessage(shown);
}

// Changes only what differs, so that selected text stays selected. A newer server may send values without a place.
function show({ values, lines }) {
  for (const [id, value] of Object.entries(values)) {
    const element = document.getElementById(id);
    if (element && element.textContent !== value) element.textContent = value;
  }
  for (const [id, line] of Object.entries(lines)) document.getElementById(id)?.setAttribute("d", line);
}
