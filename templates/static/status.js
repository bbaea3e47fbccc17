// Keeps the figures and lines of the page up to date. Without this module the page reloads itself.

const connection = document.getElementById("connection");

function connect() {
  const source = new EventSource(location.pathname);
  source.addEventListener("message", ({ data }) => {
    const { values, lines } = JSON.parse(data);
    for (const [id, value] of Object.entries(values)) show(document.getElementById(id), value);
    for (const [id, line] of Object.entries(lines)) document.getElementById(id)?.setAttribute("d", line);
    show(connection, "");
  });
  source.addEventListener("error", () => {
    show(connection, "The connection was lost. These are the last figures.");
    // It reconnects by itself, unless the answer was not an event stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  });
}

// Changes only what differs, so that selected text stays selected. A newer server may send values without a place.
function show(element, value) {
  if (element && element.textContent !== value) element.textContent = value;
}

connect();
