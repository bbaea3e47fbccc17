// Keeps the figures and lines of the page up to date. Without this module the page loads itself anew.

const connection = document.getElementById("connection");

function connect() {
  const source = new EventSource("/status");
  source.addEventListener("message", ({ data }) => {
    const { values, lines } = JSON.parse(data);
    for (const [id, value] of Object.entries(values)) show(document.getElementById(id), value);
    for (const [id, line] of Object.entries(lines)) document.getElementById(id)?.setAttribute("d", line);
    show(connection, "");
  });
  source.addEventListener("error", () => {
    show(connection, "The connection was lost; this is how it was.");
    // It comes back by itself, unless it was answered with something else than events.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  });
}

// Only what has changed, so that what a reader has selected stays so; and what is there, if the server is a newer one.
function show(element, value) {
  if (element && element.textContent !== value) element.textContent = value;
}

connect();
