// Requests to the admin API. The token goes into `Authorization`, never into a URL.

const TOKEN = "bookend-token";

/** Seconds without an event after which the gateway counts as gone: there is one a second. */
const SILENCE = 6;

let token = stored();
let refused = () => {};

function stored() {
  try {
    return sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    return "";
  }
}

export const hasToken = () => token !== "";

export function setToken(value) {
  token = value;
  try {
    sessionStorage.setItem(TOKEN, value);
  } catch {
    // Storage is switched off: the token is kept as long as the page is open.
  }
}

/** Has `call` called when the token is missing or wrong. */
export function whenRefused(call) {
  refused = call;
}

/** An answer of the admin API that is no success. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** Whether this gateway does not have what was asked for. */
  get isMissing() {
    return this.status === 404 || this.status === 501;
  }
}

/** `path` with these parameters, given as pairs; those without a value are left out. */
export function withQuery(path, pairs) {
  const given = pairs.filter(([, value]) => value);
  const query = given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return query ? `${path}?${query}` : path;
}

async function send(path, options = {}) {
  const fields = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options, headers: { ...fields, ...options.headers } });
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await detail(answer));
  if (answer.status === 401) refused();
  throw problem;
}

async function detail(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).detail ?? text;
  } catch {
    return text || `The admin API answered ${answer.status}.`;
  }
}

/** The document of an answer. Fails with a Problem, or with a TypeError where no answer came. */
export async function ask(path, options) {
  const answer = await send(path, options);
  return answer.json();
}

export function post(path, document) {
  return ask(path, { method: "POST", body: JSON.stringify(document), headers: { "Content-Type": "application/json" } });
}

/** What to tell the user of a failure. */
export function words(error) {
  return error instanceof Problem ? error.message : "The gateway did not answer.";
}

/**
 * Calls `event` with each state of the gateway until the stream ends, which is a failure. EventSource cannot send the token,
 * so the stream is read here.
 */
export async function listen(event) {
  const abort = new AbortController();
  let silence = setTimeout(() => abort.abort(), SILENCE * 1000);
  try {
    const answer = await send("/live", { headers: { Accept: "text/event-stream" }, signal: abort.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new TypeError("the stream has ended");
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE * 1000);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      // Of several that have come together, the latest says all.
      const last = events.findLast((lines) => lines.includes("data: "));
      if (last) event(JSON.parse(data(last)));
    }
  } finally {
    clearTimeout(silence);
    abort.abort();
  }
}

/** Calls `take` with each object of a stream of lines until it ends, which is no failure, or `signal` aborts it. */
export async function follow(path, signal, take) {
  const answer = await send(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) take(JSON.parse(line));
  }
}

function data(event) {
  const lines = event.split("\n").filter((line) => line.startsWith("data: "));
  return lines.map((line) => line.slice("data: ".length)).join("\n");
}
