import { form, says } from "./desk-page.js";

const SILENCE = 12e4;  // milliseconds without a byte, after which a request has failed
export const lost = { status: 0, message: says("lost") };

export function fields(more) {
  const all = new URLSearchParams(new FormData(form));
  for (const name in more) all.set(name, more[name]);
  return all;
}

const send = (path, more, signal, Accept) => fetch(form.action + path, { method: "POST", body: fields(more), headers: { Accept }, signal });

// A proxy on the way may answer with something else than JSON.
async function read(answer) {
  const { status, ok, headers } = answer, after = +headers.get("Retry-After");
  try {
    return { ...await answer.json(), status, after };
  } catch {
    return { message: says("cannot", status), status: ok ? 502 : status, after };
  }
}

export async function post(path, more) {
  try {
    return await read(await send(path, more, AbortSignal.timeout(SILENCE), "application/json"));
  } catch {
    return lost;
  }
}

// Yields server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
// Throws the server's refusal. stop: an AbortController.
export async function* events(path, more, stop) {
  const wait = () => setTimeout(() => stop.abort(), SILENCE);
  let timer = wait(), rest = "";
  try {
    const answer = await send(path, more, stop.signal, "text/event-stream");
    if (!answer.ok) throw await read(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
      clearTimeout(timer);
      timer = wait();
      const whole = (rest + value).split("\n\n");
      rest = whole.pop();
      for (const event of whole) {
        const [, name, data] = /event: (.*)\ndata: (.*)/.exec(event) ?? [];
        if (name) yield [name, JSON.parse(data)];
      }
    }
  } catch (refusal) {
    throw refusal.status ? refusal : lost;
  } finally {
    clearTimeout(timer);
  }
}
