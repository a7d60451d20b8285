// The overview: what the gateway does now, drawn anew with each event.

import { bar, decadesOf, drawBar, drawRange, drawSpark, range, spark, TimeChart } from "./charts.js";
import { byId, h, keyed, setAttribute, setText } from "./dom.js";
import { bytes, clockTime, count, milliseconds, plural, rate, share } from "./format.js";
import { Table } from "./table.js";
import { drawTiers } from "./tiers.js";

/** In the order in which the areas lie on one another: what the cache answered at the bottom. */
const RESULTS = [
  { key: "hit", says: "answered from the store while fresh" },
  { key: "validated", says: "answered from the store after the API said that it is current" },
  { key: "stale", says: "answered from the store while stale" },
  { key: "direct", says: "answered by the gateway, as its configuration says" },
  { key: "pass", says: "answered by the API without asking the store" },
  { key: "miss", says: "answered by the API, since nothing suitable was stored" },
  { key: "error", says: "answered by the gateway with an error of its own, or left by its client" },
];
const TIMED = [["hit", "Hit"], ["miss", "Miss"], ["pass", "Pass"], ["upstream", "API"]];

let latest = null;
let span = "1m";
let requests, ratio, routes;

export function start() {
  requests = new TimeChart(byId("requests-chart"), {
    series: RESULTS,
    isStacked: true,
    label: "Requests a second by result, last 5 minutes. The arrow keys choose a second, whose numbers stand below.",
    format: (value) => (value < 1e5 ? count(value) : rate(value)),
    select: drawLegend,
  });
  ratio = new TimeChart(byId("ratio-chart"), {
    series: [{ key: "hit" }],
    top: 1,
    label: "Share of requests that the cache answered, last 5 minutes",
    format: (value) => `${value * 100} %`,
  });
  routes = new Table(byId("routes"), { columns: ROUTE_COLUMNS, keyOf: (row) => `${row.upstream} ${row.route}`, empty: "No requests yet" });
  for (const button of document.querySelectorAll("[data-window]")) {
    button.addEventListener("click", () => {
      span = button.dataset.window;
      for (const other of document.querySelectorAll("[data-window]")) setAttribute(other, "aria-pressed", other === button);
      if (latest) drawTimes(latest.times);
    });
  }
}

/** Draws the state that came while another view was shown. */
export function show() {
  if (latest) update(latest);
}

/** Takes a state that is not to be drawn now. */
export function keep(status) {
  latest = status;
}

export function update(status) {
  keep(status);
  drawFigures(status);
  drawCharts(status.requests.history);
  drawLegend(requests.selected);
  drawTimes(status.times);
  drawServers(status.upstreams ?? []);
  drawWork(status);
  drawTiers(status);
  drawRoutes(status);
  drawUnstored(status.not_stored ?? {});
}

function drawFigures(status) {
  const { requests: now, connections, memory, stored, evictions } = status;
  const text = (id, words) => setText(byId(id), words);
  text("rate", rate(now.per_second.all));
  text("rate-more", `${count(now.total.all)} since the start`);
  text("ratio", share(now.hit_ratio));
  text("ratio-more", `${share(now.hit_ratio_total)} since the start`);
  text("errors", rate(now.per_second.error));
  text("errors-more", `${count(now.total.error)} since the start`);
  byId("errors").classList.toggle("is-bad", now.per_second.error > 0);
  text("memory", bytes(memory?.used_bytes));
  text("memory-limit", `of ${bytes(memory?.limit_bytes)}`);
  byId("memory-meter").value = memory ? memory.used_bytes / memory.limit_bytes : 0;
  text("stored", count(stored?.resources));
  text("stored-more", evictions?.total ? `${rate(evictions.per_second)} evicted a second` : "none evicted");
  text("connections", count(connections.open));
  text("connections-more", connections.refused ? `${count(connections.refused)} refused` : `${count(connections.accepted)} accepted`);
}

function drawCharts(history) {
  // A gateway of an earlier version has no history of each result.
  const of = (key) => history[key] ?? history.all.map(() => 0);
  requests.show(RESULTS.map(({ key }) => of(key)));
  ratio.show([history.all.map((all, at) => (all ? history.cached[at] / all : null))]);
}

function drawLegend(back) {
  if (!latest) return;
  const { history, per_second: now } = latest.requests;
  const at = back === null ? null : history.all.length - 1 - back;
  const value = (key) => (at === null ? now[key] : history[key]?.[at] ?? 0);
  const second = () => clockTime(new Date(Date.parse(latest.at) - back * 1000));
  const all = at === null ? now.all : history.all[at];
  setText(byId("requests-when"), at === null ? "a second, last 5 minutes" : `at ${second()}: ${plural(all, "request")}`);
  keyed(byId("legend"), RESULTS, ({ key }) => key, createLegend, (item, { key }) => {
    setText(item.lastElementChild, rate(value(key)));
    item.classList.toggle("is-none", !value(key) && !latest.requests.total[key]);
  });
}

function createLegend({ key, says }) {
  return h("li", { title: `${key}: ${says}` }, h("i", { class: `swatch of-${key}` }), h("span", {}, key), h("b"));
}

function drawTimes(times) {
  const of = (key) => times[key][span];
  const decades = decadesOf(TIMED.flatMap(([key]) => [of(key).p50_ms, of(key).p99_ms]));
  keyed(byId("times"), TIMED, ([key]) => key, createTime, (row, [key]) => {
    const { p50_ms, p95_ms, p99_ms, count: measured } = of(key);
    drawRange(row.children[1].firstElementChild, of(key), decades);
    setAttribute(row, "title", `${count(measured)} measured`);
    for (const [at, value] of [[2, p50_ms], [3, p95_ms], [4, p99_ms]]) setText(row.children[at], milliseconds(value));
  });
  const ends = [milliseconds(10 ** decades[0]), milliseconds(10 ** decades[1])];
  keyed(byId("times-scale"), [0, 1], (at) => at, () => h("span"), (node, at) => setText(node, ends[at]));
}

function createTime([key, label]) {
  const cell = () => h("td", { class: "number" });
  return h("tr", {}, h("th", { scope: "row" }, label), h("td", { class: "range" }, range(key === "upstream" ? "pass" : key)), cell(), cell(), cell());
}

function drawServers(servers) {
  const up = servers.filter((server) => server.up).length;
  setText(byId("servers-when"), servers.length ? `${up} of ${servers.length} up` : "");
  keyed(byId("servers"), servers, ({ upstream, server }) => `${upstream} ${server}`, createServer, (item, server) => {
    item.dataset.state = server.up ? "ok" : "bad";
    const [, words, more] = item.children;
    setText(words.lastElementChild, [server.upstream, server.up ? "up" : "down"].filter(Boolean).join(", "));
    const parts = [`${count(server.in_flight)} in flight`, server.waiting ? `${count(server.waiting)} waiting` : "", plural(server.connections, "connection"), server.failed ? `${count(server.failed)} failed` : ""];
    setText(more, parts.filter(Boolean).join(" · "));
  });
}

function createServer({ server }) {
  return h("li", {}, h("i", { class: "dot" }), h("p", {}, h("code", {}, server), " ", h("span", { class: "word" })), h("p", { class: "muted" }));
}

function drawWork(status) {
  const { requests: now, fills, memory, process, config } = status;
  const facts = [
    ["Requests in flight", count(now.in_flight)],
    ["… waiting for the API", count(now.waiting)],
    ["… sharing another's fill", count(now.followers)],
    ["Fills running", count(fills.running)],
    ["… in the background", count(fills.background)],
    ["Content in flight", bytes(memory?.in_flight_bytes)],
    ["Memory of the process", bytes(process.resident_bytes)],
    ["Reloads", config?.failed_reloads ? `${count(config.reloads)}, ${count(config.failed_reloads)} failed` : count(config?.reloads)],
  ];
  keyed(byId("work"), facts, ([name]) => name, ([name]) => h("div", {}, h("dt", {}, name), h("dd")), (row, [, value]) => setText(row.lastElementChild, value));
}

const ROUTE_COLUMNS = [
  { label: "Route", kind: "main", sort: (row) => row.route, create: () => [h("code"), h("span", { class: "muted" })], update: drawRouteName },
  { label: "Requests/s", kind: "number", sort: (row) => row.per_second, text: (row) => rate(row.per_second) },
  { label: "Last minute", kind: "figure", isMinor: true, create: spark, update: (cell, row) => drawSpark(cell.firstElementChild, row.history) },
  { label: "Hit ratio", kind: "number", sort: (row) => row.hit_ratio, create: () => [h("span"), bar()], update: drawRatio },
  { label: "p50", kind: "number", isMinor: true, sort: (row) => row.p50_ms, text: (row) => milliseconds(row.p50_ms) },
  { label: "p99", kind: "number", sort: (row) => row.p99_ms, text: (row) => milliseconds(row.p99_ms) },
  { label: "5xx/s", kind: "number", isMinor: true, sort: (row) => row.server_errors_per_second, create: () => h("span"), update: drawErrors },
  { label: "In all", kind: "number", isMinor: true, sort: (row) => row.total.all, text: (row) => count(row.total.all) },
];

function drawRouteName(cell, { route, upstream }) {
  setText(cell.firstElementChild, route);
  setText(cell.lastElementChild, upstream ? ` to ${upstream}` : "");
}

function drawRatio(cell, row) {
  setText(cell.firstElementChild, share(row.hit_ratio));
  drawBar(cell.lastElementChild, row.hit_ratio);
}

function drawErrors(cell, row) {
  setText(cell.firstElementChild, rate(row.server_errors_per_second));
  cell.firstElementChild.className = row.server_errors_per_second > 0 ? "is-bad" : "";
}

function drawRoutes({ routes: rows, known_routes: known }) {
  routes.show(rows);
  const more = known > rows.length ? `, those ${rows.length} of ${count(known)} with most requests` : "";
  setText(byId("routes-when"), `rates over 10 s; hit ratio and times over a minute${more}`);
  keyed(byId("route-names"), rows, ({ upstream, route }) => `${upstream} ${route}`, ({ route }) => h("option", { value: route }), () => {});
}

function drawUnstored(reasons) {
  const rows = Object.entries(reasons).filter(([, number]) => number > 0).sort(([, a], [, b]) => b - a);
  const most = rows[0]?.[1];
  keyed(byId("unstored"), rows.slice(0, 8), ([reason]) => reason, ([reason]) => h("li", {}, h("code", {}, reason), bar(), h("b")), (row, [, number]) => {
    drawBar(row.children[1], number / most);
    setText(row.lastElementChild, count(number));
  });
  if (!rows.length) byId("unstored").replaceChildren(h("li", { class: "muted" }, "None"));
}

