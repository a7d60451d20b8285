// Purges: a preview, a confirmation of what was previewed, and the log.

import { ask, post, words } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { bytes, count, dateTime, plural, visible } from "./format.js";
import { Table } from "./table.js";

const EVERY = 10000;
/** URLs of each list of a preview. */
const MOST = 5;
const EXAMPLES = { url: "/books/123", prefix: "/books", tag: "book-123", route: "/books/{id}" };

let log, timer;
let form;

export function start() {
  form = byId("purge-form");
  log = new Table(byId("purge-log"), { columns: COLUMNS, keyOf: (purge) => purge.sequence, empty: "No purges since the start", isFolded: true });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    preview();
  });
  // A preview is of what was asked for, and of nothing else.
  form.addEventListener("input", forget);
}

export function show() {
  readLog();
  timer = setInterval(readLog, EVERY);
}

export function hide() {
  clearInterval(timer);
}

/** Fills the form in, and shows what such a purge would remove. */
export function prepare(kind, value) {
  form.reset();
  form.elements.kind.value = kind;
  form.elements.values.value = value;
  forget();
  preview();
}

function forget() {
  const kind = form.elements.kind.value;
  byId("purge-values").hidden = kind === "all";
  form.elements.values.placeholder = EXAMPLES[kind] ?? "";
  byId("preview").replaceChildren();
  setText(byId("purge-problem"), "");
}

function asked() {
  const { kind, values, soft, reason } = form.elements;
  const lines = values.value.split("\n").map((line) => line.trim()).filter(Boolean);
  const purge = kind.value === "all" ? { all: true } : { [kind.value]: lines };
  if (soft.checked) purge.soft = true;
  if (reason.value.trim()) purge.reason = reason.value.trim();
  return purge;
}

async function preview() {
  const purge = asked();
  if (!purge.all && !Object.values(purge)[0].length) {
    setText(byId("purge-problem"), "Name what to purge, one a line.");
    form.elements.values.focus();
    return;
  }
  try {
    const would = await post("/purge", { ...purge, dry_run: true });
    setText(byId("purge-problem"), "");
    byId("preview").replaceChildren(...previewed(purge, would));
  } catch (error) {
    byId("preview").replaceChildren();
    setText(byId("purge-problem"), words(error));
  }
}

function previewed(purge, { would_purge: number, bytes: size, requests_a_second: rate, largest, top }) {
  const done = purge.soft ? "would be validated before the next use" : "would be removed";
  if (!number) return [h("h3", {}, "Nothing that is stored matches"), h("p", { class: "muted" }, "A purge would still stop fills that are under way from being stored."), decision(purge, "Purge all the same")];
  return [
    h("h3", {}, `${plural(number, "resource")}, ${bytes(size)}, ${done}`),
    h("p", {}, load(rate, purge.soft)),
    decision(purge, `Purge ${plural(number, "resource")}`),
    h("div", { class: "previews" },
      top?.length ? list("Asked for most", top.slice(0, MOST), ({ requests_a_second: each }) => `${perSecond(each)} a second`) : null,
      largest?.length ? list("The largest", largest.slice(0, MOST), ({ bytes: weight }) => bytes(weight)) : null),
  ].flat().filter(Boolean);
}

/** What the API has to bear, until all is stored again. */
function load(rate, isSoft) {
  if (!rate) return "None of them was asked for lately.";
  return `They answer about ${perSecond(rate)} requests a second. After the purge, the first request for each of them ${isSoft ? "is validated with" : "goes to"} the API.`;
}

const perSecond = (rate) => (rate < 10 ? rate.toFixed(1) : count(Math.round(rate)));

function list(title, rows, figure) {
  return h("div", { class: "largest" }, h("h4", {}, title), h("ul", {}, rows.map((row) => h("li", {}, h("code", {}, visible(row.key)), h("b", {}, figure(row))))));
}

function decision(purge, label) {
  const confirm = h("button", { type: "button", class: "danger", id: "confirm-purge", click: () => carryOut(purge, confirm) }, label);
  return h("p", { class: "row" }, confirm, h("button", { type: "button", click: forget }, "Cancel"));
}

async function carryOut(purge, button) {
  button.disabled = true;
  try {
    const { purged, bytes: size, sequence, acknowledged, gateways, why } = await post("/purge", purge);
    const where = acknowledged === false ? ` It holds at this gateway, and is not acknowledged yet: ${why}.` : gateways ? ` It holds at all ${plural(gateways, "gateway")}.` : "";
    const result = h("p", { class: acknowledged === false ? "is-bad" : "muted" }, `It is number ${sequence} in the log.${where}`);
    byId("preview").replaceChildren(h("h3", {}, `Purged ${plural(purged, "resource")}, ${bytes(size)}`), result);
  } catch (error) {
    button.disabled = false;
    setText(byId("purge-problem"), words(error));
  }
  readLog();
}

async function readLog() {
  try {
    const { purges } = await ask("/purges?limit=100");
    log.show(purges);
  } catch {
    // The state of the connection is told at the top of the page.
  }
}

const COLUMNS = [
  { label: "No.", kind: "number", isMinor: true, text: (purge) => count(purge.sequence) },
  { label: "When", text: (purge) => dateTime(purge.at) },
  { label: "What", kind: "main", text: (purge) => (Array.isArray(purge.covers) ? purge.covers.join(", ") : String(purge.covers)) },
  { label: "How", isMinor: true, text: (purge) => (purge.soft ? "soft" : "hard") },
  { label: "Resources", kind: "number", text: (purge) => count(purge.purged) },
  { label: "Size", kind: "number", isMinor: true, text: (purge) => bytes(purge.bytes) },
  { label: "Who", isMinor: true, text: (purge) => purge.actor },
  { label: "Why", kind: "words", text: (purge) => purge.reason ?? "" },
];
