// The requests as they are answered: the access log, live. The gateway narrows it, so that a busy one sends no more than is shown.

import { follow, Problem, withQuery, words } from "./api.js";
import { action, byId, h, setAttribute, setText } from "./dom.js";
import { bytes, count, milliseconds, plural, visible } from "./format.js";

/** Rows that are kept, and lines that wait while the view is paused. */
const MOST = 200;
/** Milliseconds between two drawings: faster than that, nobody reads. */
const EVERY = 250;
/** Seconds until the stream is asked for again. */
const AGAIN = 3;

let go, stream, timer, retry;
let isPaused = false;
let waiting = [];
let missed = 0;
let seen = 0;

/** `open.explain(url)` shows the other view. */
export function start(open) {
  go = open;
  const form = byId("live-form");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", restart);
  byId("live-pause").addEventListener("click", () => {
    isPaused = !isPaused;
    setAttribute(byId("live-pause"), "aria-pressed", isPaused);
    draw();
  });
  byId("live-clear").addEventListener("click", () => {
    [waiting, missed, seen] = [[], 0, 0];
    byId("live-rows").replaceChildren();
    draw();
  });
}

export function show() {
  timer = setInterval(draw, EVERY);
  restart();
}

export function hide() {
  clearInterval(timer);
  clearTimeout(retry);
  stream?.abort();
}

/** Begins anew, with what the form asks for by now: rows of another choice would be misleading. */
function restart() {
  [waiting, missed, seen] = [[], 0, 0];
  byId("live-rows").replaceChildren();
  listen();
}

async function listen() {
  clearTimeout(retry);
  stream?.abort();
  const own = (stream = new AbortController());
  const form = byId("live-form");
  const asked = ["route", "result", "status"].map((name) => [name, form.elements[name].value.trim()]);
  setText(byId("live-problem"), "");
  try {
    await follow(withQuery("/tail", asked), own.signal, (line) => own.signal.aborted || take(line));
    throw new TypeError("the stream has ended");
  } catch (error) {
    if (own.signal.aborted) return;
    // What the form asks for is wrong: another attempt would fare no better.
    const isFinal = error instanceof Problem && error.status < 500;
    setText(byId("live-problem"), isFinal ? words(error) : "The stream has ended. Trying again every few seconds.");
    if (!isFinal) retry = setTimeout(listen, AGAIN * 1000);
  }
}

function take(line) {
  if (line.lost) missed += line.lost;
  if (!("status" in line)) return;
  seen += 1;
  waiting.push(line);
  if (waiting.length > MOST) {
    waiting.shift();
    if (isPaused) missed += 1;
  }
}

function draw() {
  const rows = byId("live-rows");
  if (!isPaused && waiting.length) {
    rows.prepend(...waiting.reverse().map(row));
    waiting = [];
    while (rows.children.length > MOST) rows.lastElementChild.remove();
  }
  byId("live-empty").hidden = rows.children.length > 0;
  byId("live-table").hidden = !rows.children.length;
  const left = missed ? `, ${count(missed)} left out` : "";
  const state = isPaused ? `Paused, ${plural(waiting.length, "request")} waiting` : plural(seen, "request");
  setText(byId("live-when"), `${state}${left}; the latest ${MOST} are kept`);
}

function row(line) {
  const url = urlOf(line);
  const result = line.result ?? "error";
  const why = [line.reason ?? line.failure, line.detail, line.attempts > 1 ? `after ${line.attempts} attempts` : ""].filter(Boolean).join(": ");
  const explain = line.target && line.method ? action("Explain", url, () => go.explain(url)) : null;
  return h("tr", {},
    h("td", { class: "when" }, String(line.time ?? "").slice(11, 23)),
    h("td", { class: line.status >= 500 ? "number is-bad" : line.status >= 400 ? "number is-stale" : "number" }, String(line.status)),
    h("td", { class: "result" }, h("i", { class: `swatch of-${result}` }), visible(result)),
    h("td", { class: "main" }, h("code", {}, line.method ? `${visible(line.method)} ${url}` : "(not understood)"), why ? h("span", { class: "cure" }, ` ${visible(why)}`) : null),
    h("td", { class: "number" }, milliseconds(line.duration_ms)),
    h("td", { class: "number minor" }, bytes(line.bytes)),
    h("td", { class: "minor" }, h("code", {}, visible(line.route ?? ""))),
    h("td", { class: "actions" }, explain));
}

/** The URL as the client named it. */
function urlOf({ scheme, host, target }) {
  return visible(host && target?.startsWith("/") ? `${scheme}://${host}${target}` : target ?? "");
}
