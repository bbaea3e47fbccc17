// Requests to the server.

import { form } from "./desk-page.js";
import { LOST, cannot } from "./desk-strings.js";

const SILENCE = 120_000;  // milliseconds without a byte, after which a request has failed
const PASSING = [0, 408, 429, 500, 502, 503, 504];

export const lost = { status: 0, message: LOST };

// The same request may succeed later.
export const passes = (status) => PASSING.includes(status);

// The fields of the form, with other values for some of them.
export function fields(more) {
  const all = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
}

// Sends the form to an address below the desk's.
export const send = (path, more, options) => fetch(form.action.split("#")[0] + path, {
  method: "POST", body: fields(more), headers: { Accept: path === "/suggest" ? "text/event-stream" : "application/json" }, ...options,
});

// Returns the JSON of an answer with its status. A proxy on the way may answer with something else.
export async function read(answer) {
  const after = Number(answer.headers.get("Retry-After"));
  try {
    return { ...await answer.json(), status: answer.status, after };
  } catch {
    return { message: cannot(answer.status), status: answer.ok ? 502 : answer.status, after };
  }
}

export async function post(path, more) {
  const patience = new Patience();
  try {
    return await read(await send(path, more, { signal: patience.signal }));
  } catch {
    return lost;
  } finally {
    patience.end();
  }
}

// Aborts a request after a time of silence.
export class Patience extends AbortController {
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

// Server-sent events of a response: https://html.spec.whatwg.org/multipage/server-sent-events.html
export async function* events(body, patience) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
    patience.renew();
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const [, name, data] = /event: (.*)\ndata: (.*)/.exec(event) ?? [];
      if (name) yield [name, JSON.parse(data)];
    }
  }
}
