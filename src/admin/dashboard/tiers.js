// The fleet and the second tiers, of a gateway that has some.

import { byId, h, keyed, setAttribute, setText } from "./dom.js";
import { bytes, count, plural, share } from "./format.js";

const DISK = { serving: ["ok", "in use"], loading: ["wait", "loading"], waiting: ["wait", "not open yet"], off: ["bad", "off"] };

/** Draws what `status` says of them; the panel is hidden where there are none. */
export function drawTiers({ fleet, disk }) {
  const groups = [fleet && ofFleet(fleet), fleet?.shared && ofShared(fleet), disk && ofDisk(disk)].filter(Boolean);
  byId("tiers-panel").hidden = !groups.length;
  keyed(byId("tiers"), groups, ({ title }) => title, create, update);
}

function create({ title }) {
  return h("section", { "aria-label": title }, h("h3", {}, h("i", { class: "dot" }), h("span", {}, title), h("span", { class: "word" })), h("p", { class: "muted" }), h("dl", { class: "facts" }));
}

function update(section, { state, word, why, facts }) {
  const [head, reason, list] = section.children;
  setAttribute(head, "data-state", state);
  setText(head.lastElementChild, word);
  setText(reason, why ?? "");
  reason.hidden = !why;
  keyed(list, facts, ([name]) => name, ([name]) => h("div", {}, h("dt", {}, name), h("dd")), (row, [, value]) => setText(row.lastElementChild, value));
}

function ofFleet({ connected, heard, gateways, behind, pending, epoch, sequence, late }) {
  const isDeaf = heard === false;
  return {
    title: "Fleet",
    state: connected && !isDeaf ? "ok" : "bad",
    word: !connected ? "server not reached" : isDeaf ? "does not hear the others" : "hears the others",
    why: isDeaf ? "What is stored is validated with the API before it is used, until the others are heard again." : null,
    facts: [
      ["Gateways, this one included", count(gateways)],
      ["Behind the others by", plural(behind ?? 0, "invalidation")],
      ["Not acknowledged by all yet", plural(pending, "invalidation")],
      ["Latest invalidation", count(sequence)],
      ["Epoch", epoch ? epoch.slice(0, 8) : "none yet"],
      ["Calls answered too late", count(late)],
    ],
  };
}

function ofShared({ connected, shared }) {
  return {
    title: "Shared tier",
    state: connected ? "ok" : "bad",
    word: connected ? "in use" : "not reached",
    facts: [
      ["Hit ratio", ratio(shared)],
      ["Hits", count(shared.hits)],
      ["Misses", count(shared.misses)],
      ["Waited for another gateway", count(shared.followed)],
      ["Not looked up", count(shared.passed)],
      ["Stored for the others", shared.refused ? `${count(shared.stored)}, ${count(shared.refused)} refused` : count(shared.stored)],
    ],
  };
}

function ofDisk(disk) {
  const [state, word] = DISK[disk.state] ?? ["wait", disk.state];
  return {
    title: "Disk tier",
    state,
    word,
    why: disk.why,
    facts: [
      ["Hit ratio", ratio(disk)],
      ["Hits", count(disk.hits)],
      ["Misses", count(disk.misses)],
      ["Responses", count(disk.responses)],
      ["Files", `${bytes(disk.bytes)} of ${bytes(disk.limit)}`],
      ["Not written", disk.corrupt ? `${count(disk.dropped)}; ${count(disk.corrupt)} damaged` : count(disk.dropped)],
    ],
  };
}

/** Of look-ups since the start. */
function ratio({ hits, misses }) {
  return share(hits + misses ? hits / (hits + misses) : null);
}
