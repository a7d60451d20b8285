// The URLs that are asked for most, and what is stored.

import { ask, Problem, withQuery, words } from "./api.js";
import { action, byId, h, prose, setAttribute, setText } from "./dom.js";
import { bytes, count, duration, plural } from "./format.js";
import { Table } from "./table.js";

const EVERY = 5000;
const PAGE = 50;

let frequent, stored, timer, go;
let by = "requests";
let search = [];
let next = null;
let listed = [];

/** `open.explain(url)` and `open.purge(kind, value)` show the other views. */
export function start(open) {
  go = open;
  frequent = new Table(byId("top"), { columns: TOP_COLUMNS, keyOf: (row) => row.url, empty: "No requests yet", isFolded: true });
  stored = new Table(byId("stored-list"), { columns: STORED_COLUMNS, keyOf: (row) => row.key, empty: "Nothing that is stored matches", isFolded: true });
  for (const button of document.querySelectorAll("[data-by]")) {
    button.addEventListener("click", () => {
      by = button.dataset.by;
      for (const other of document.querySelectorAll("[data-by]")) setAttribute(other, "aria-pressed", other === button);
      readTop();
    });
  }
  byId("stored-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    search = ["prefix", "route", "tag", "sort"].map((name) => [name, form.get(name).trim()]);
    readStored(null);
  });
  byId("stored-more-button").addEventListener("click", () => readStored(next));
}

export function show() {
  readTop();
  readStored(null);
  timer = setInterval(readTop, EVERY);
}

export function hide() {
  clearInterval(timer);
}

async function readTop() {
  try {
    const { urls } = await ask(withQuery("/top", [["by", by], ["limit", "20"]]));
    byId("top-panel").hidden = false;
    frequent.show(urls);
  } catch (error) {
    byId("top-panel").hidden = error instanceof Problem && error.isMissing;
  }
  sayWhatIsMissing();
}

async function readStored(page) {
  const sorted = search.length ? search : [["sort", "hits"]];
  try {
    const answer = await ask(withQuery("/stored", [...sorted, ["limit", PAGE], ["page", page]]));
    byId("stored-panel").hidden = false;
    const rows = answer.stored.map((row, at) => ({ ...row, key: `${page} ${at} ${row.url}` }));
    listed = page === null ? rows : [...listed, ...rows];
    next = answer.next;
    stored.show(listed);
    setText(byId("stored-when"), plural(listed.length, "resource"));
    setText(byId("stored-problem"), "");
    byId("stored-more-button").hidden = next == null;
  } catch (error) {
    const isMissing = error instanceof Problem && error.isMissing;
    byId("stored-panel").hidden = isMissing;
    if (!isMissing) setText(byId("stored-problem"), words(error));
  }
  sayWhatIsMissing();
}

function sayWhatIsMissing() {
  byId("urls-missing").hidden = !(byId("top-panel").hidden && byId("stored-panel").hidden);
}

const actions = {
  label: "",
  kind: "actions",
  create: () => h("span"),
  update(cell, { url }) {
    if (cell.dataset.url === url) return;
    cell.dataset.url = url;
    cell.replaceChildren(action("Explain", url, () => go.explain(url)), action("Purge", url, () => go.purge("url", url)));
  },
};

const TOP_COLUMNS = [
  { label: "URL", kind: "main", create: () => h("code"), update: (cell, row) => setText(cell.firstElementChild, row.url) },
  { label: "Number, about", kind: "number", text: (row) => (by === "bytes" ? bytes(row.sum) : count(row.sum)) },
  { label: "Latest reason, and what to change", kind: "words", create: () => h("p"), update: drawReason },
  actions,
];

function drawReason(cell, { reason, sentence, cure }) {
  const text = `${reason} ${sentence} ${cure}`;
  if (cell.dataset.text === text) return;
  cell.dataset.text = text;
  cell.replaceChildren(...(reason ? [h("p", {}, h("code", {}, reason), " ", prose(sentence)), h("p", { class: "cure" }, prose(cure))] : []));
}

const STORED_COLUMNS = [
  { label: "URL", kind: "main", create: () => h("code"), update: (cell, row) => setText(cell.firstElementChild, row.url) },
  { label: "Hits", kind: "number", text: (row) => count(row.hits) },
  { label: "Size", kind: "number", text: (row) => bytes(row.bytes) },
  { label: "Age", kind: "number", isMinor: true, text: (row) => duration(row.age) },
  { label: "Fresh for", kind: "number", create: () => h("span"), update: drawTtl },
  { label: "Status", kind: "number", isMinor: true, text: (row) => String(row.status ?? "") },
  { label: "Variants", kind: "number", isMinor: true, text: (row) => count(row.variants) },
  { label: "Tags", isMinor: true, text: (row) => row.tags.join(", ") },
  actions,
];

function drawTtl(cell, { ttl }) {
  setText(cell.firstElementChild, ttl > 0 ? duration(ttl) : "stale");
  cell.firstElementChild.className = ttl > 0 ? "" : "is-stale";
}
