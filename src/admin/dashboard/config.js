// The configuration with all its defaults; what the file sets stands out.

import { ask, Problem, words } from "./api.js";
import { byId, h, setText } from "./dom.js";

/** The end of a value: where it comes from. */
const ORIGIN = /^(.*?) {2}# (default|\S.*:\d+)$/s;

let sections = [];

export function start() {
  byId("config-all").addEventListener("change", draw);
}

export async function show() {
  try {
    const { file, text, changed_since_read: isChanged, overridden_by: options } = await ask("/config");
    sections = parse(text);
    const parts = [file ?? "no file: the defaults", options.length ? `the command line has ${options.join(", ")}` : ""];
    setText(byId("config-file"), parts.filter(Boolean).join("; "));
    setText(byId("config-problem"), isChanged ? "The file has changed since it was read: what it says is in force after a reload." : "");
    draw();
  } catch (error) {
    const isMissing = error instanceof Problem && error.isMissing;
    setText(byId("config-problem"), isMissing ? "This gateway was started without a file." : words(error));
  }
}

/** The sections of what `bookend config` prints: titles, and entries of a text and an origin. */
function parse(text) {
  const sections = [];
  let open = "";
  for (const line of text.split("\n")) {
    if (!open && /^\[.*\]$/.test(line)) {
      sections.push({ title: line, entries: [] });
      continue;
    }
    // A value may go over several lines, of which the last has the origin.
    open = open ? `${open}\n${line}` : line;
    const entry = ORIGIN.exec(open);
    if (entry) sections.at(-1)?.entries.push({ text: entry[1], origin: entry[2] });
    if (entry || !open.trim()) open = "";
  }
  return sections;
}

function draw() {
  const isAll = byId("config-all").checked;
  const isShown = ({ origin }) => isAll || origin !== "default";
  const shown = sections.map(({ title, entries }) => ({ title, entries: entries.filter(isShown) })).filter(({ entries }) => entries.length);
  byId("config").replaceChildren(...shown.map(({ title, entries }) => h("section", {}, h("h3", {}, h("code", {}, title)), h("ul", {}, entries.map(entryPart)))));
  if (!shown.length) byId("config").replaceChildren(h("p", { class: "muted" }, "Every key has its default."));
}

function entryPart({ text, origin }) {
  return h("li", { class: origin === "default" ? "" : "is-set" }, h("code", {}, text), h("span", { class: "muted" }, origin.replace(/^.*:(\d+)$/s, "line $1")));
}
