// Charts, drawn as SVG in the pixels that they have.

import { h, setAttribute, svg } from "./dom.js";

/** Seconds that a chart of the latest minutes shows. */
export const SECONDS = 300;

const GUTTER = 44;
const FOOT = 18;

/** A number that is round in steps of 1, 2 and 5, not less, and at least 2: half of it is shown, too. */
export function niceAtLeast(value) {
  if (value <= 2) return 2;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * size >= value) * size;
}

/**
 * A chart of the latest five minutes, of areas on top of one another or of a line. `select` is called with the second under the
 * pointer, counted back from now, or with null.
 */
export class TimeChart {
  constructor(parent, { series, label, format, top, isStacked = false, select = () => {} }) {
    Object.assign(this, { parent, series, format, top, isStacked, select });
    this.values = series.map(() => []);
    this.selected = null;
    this.paths = series.map(({ key }) => svg("path", { class: `${isStacked ? "area" : "line"} of-${key}` }));
    this.grid = svg("g", { class: "grid" });
    this.cursor = svg("line", { class: "cursor", visibility: "hidden" });
    this.root = svg("svg", { role: "img", "aria-label": label, tabindex: "0" }, this.grid, this.paths, this.cursor);
    this.empty = h("p", { class: "empty", hidden: true }, "No requests in the last 5 minutes");
    parent.replaceChildren(this.root, this.empty);
    this.root.addEventListener("pointermove", (event) => this.point(event));
    this.root.addEventListener("pointerleave", () => this.choose(null));
    this.root.addEventListener("blur", () => this.choose(null));
    this.root.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(parent);
  }

  /** Shows these values, a list for each of the series, the oldest first. */
  show(values) {
    this.values = values;
    this.draw();
  }

  point(event) {
    const { left } = this.root.getBoundingClientRect();
    const back = Math.round((this.width - (event.clientX - left)) / this.pitch);
    this.choose(back >= 0 && back < this.values[0].length ? back : null);
  }

  step(event) {
    const by = { ArrowLeft: 1, ArrowRight: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (event.key === "Escape") this.choose(null);
    if (!by || !this.values[0].length) return;
    event.preventDefault();
    this.choose(Math.min(Math.max((this.selected ?? -1) + by, 0), this.values[0].length - 1));
  }

  choose(back) {
    this.selected = back;
    this.drawCursor();
    this.select(back);
  }

  drawCursor() {
    const isShown = this.selected !== null && this.selected < this.values[0].length;
    setAttribute(this.cursor, "visibility", isShown ? "visible" : "hidden");
    if (!isShown) return;
    const x = this.width - this.selected * this.pitch;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", 0], ["y2", this.height]]) setAttribute(this.cursor, name, value);
  }

  draw() {
    const { clientWidth: width, clientHeight } = this.parent;
    if (!width) return;
    const length = this.values[0].length;
    this.width = width;
    this.height = clientHeight - FOOT;
    this.pitch = (width - GUTTER) / (SECONDS - 1);
    setAttribute(this.root, "viewBox", `0 0 ${width} ${clientHeight}`);
    const sums = this.stack();
    const highest = Math.max(0, ...sums.at(-1).filter(Number.isFinite));
    const top = this.top ?? niceAtLeast(highest * 1.05);
    this.empty.hidden = this.series.length === 1 || highest > 0;
    const x = (index) => (width - (length - 1 - index) * this.pitch).toFixed(1);
    const y = (value) => (this.height - (value / top) * (this.height - 8)).toFixed(1);
    this.drawGrid(top, y);
    let below = sums[0].map(() => 0);
    for (const [at, path] of this.paths.entries()) {
      setAttribute(path, "d", this.isStacked ? area(sums[at], below, x, y) : line(sums[at], x, y));
      below = sums[at];
    }
    this.drawCursor();
  }

  stack() {
    if (!this.isStacked) return this.values;
    const sum = this.values[0].map(() => 0);
    return this.values.map((values) => values.map((value, at) => (sum[at] += value)));
  }

  drawGrid(top, y) {
    const { width, height } = this;
    const key = `${top} ${width} ${height}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const levels = [0, top / 2, top].map((value) => [
      svg("line", { x1: GUTTER, x2: width, y1: y(value), y2: y(value) }),
      value > 0 ? svg("text", { x: GUTTER - 8, y: Number(y(value)) + 4, "text-anchor": "end" }, this.format(value)) : null,
    ]);
    const minutes = [5, 4, 3, 2, 1, 0].map((minute) => {
      const at = minute === 5 ? GUTTER : width - minute * 60 * this.pitch;
      const anchor = minute === 5 ? "start" : minute ? "middle" : "end";
      const text = minute ? `${minute} min ago` : "now";
      const isShown = width > 520 || minute % 5 === 0;
      return isShown ? svg("text", { x: at, y: height + 14, "text-anchor": anchor }, text) : null;
    });
    this.grid.replaceChildren(...levels.flat().filter(Boolean), ...minutes.filter(Boolean));
  }
}

function line(values, x, y) {
  // Where there is no value, the line has a gap.
  let isOpen = false;
  const parts = values.map((value, index) => {
    if (value == null) {
      isOpen = false;
      return "";
    }
    const part = `${isOpen ? "L" : "M"}${x(index)} ${y(value)}`;
    isOpen = true;
    return part;
  });
  return parts.join("");
}

function area(above, below, x, y) {
  if (above.length < 2) return "";
  const there = above.map((value, index) => `${x(index)} ${y(value)}`);
  const back = below.map((value, index) => `${x(index)} ${y(value)}`).reverse();
  return `M${there.join("L")}L${back.join("L")}Z`;
}

/** A small chart of the last minute, without axes; to be updated by `drawSpark`. */
export function spark() {
  return svg("svg", { class: "spark", viewBox: "0 0 120 24", "aria-hidden": "true" }, svg("path", { class: "spark-area" }), svg("path", { class: "spark-line" }));
}

export function drawSpark(root, values) {
  const top = Math.max(1, ...values);
  const x = (index) => (120 - (values.length - 1 - index) * (120 / 59)).toFixed(1);
  const y = (value) => (23 - (value / top) * 21).toFixed(1);
  const [filled, stroke] = root.children;
  setAttribute(filled, "d", area(values, values.map(() => 0), x, y));
  setAttribute(stroke, "d", line(values, x, y));
}

/** The range from p50 to p99 on a logarithmic scale of decades; to be updated by `drawRange`. */
export function range(key) {
  const bar = svg("rect", { class: `of-${key} range-bar`, y: "9", height: "6", rx: "3" });
  const middle = svg("rect", { class: `of-${key}`, y: "5", width: "3", height: "14", rx: "1.5" });
  return svg("svg", { class: "range-svg", viewBox: "0 0 200 24", preserveAspectRatio: "none", "aria-hidden": "true" }, bar, middle);
}

export function drawRange(root, { p50_ms: low, p99_ms: high }, decades) {
  const [bar, middle] = root.children;
  setAttribute(root, "visibility", low == null ? "hidden" : "visible");
  if (low == null) return;
  const place = (value) => 2 + 194 * (Math.log10(value) - decades[0]) / (decades[1] - decades[0]);
  setAttribute(bar, "x", place(low).toFixed(1));
  setAttribute(bar, "width", Math.max(place(high) - place(low), 3).toFixed(1));
  setAttribute(middle, "x", place(low).toFixed(1));
}

/** The decades that these numbers are in: powers of ten, at least two apart. */
export function decadesOf(numbers) {
  const logs = numbers.filter((number) => number > 0).map(Math.log10);
  if (!logs.length) return [-1, 2];
  const low = Math.floor(Math.min(...logs));
  return [low, Math.max(Math.ceil(Math.max(...logs)), low + 2)];
}

/** A horizontal bar for a share of 1; to be updated by `drawBar`. */
export function bar() {
  return svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "bar-ground", width: "100", height: "6" }), svg("rect", { class: "bar-share", height: "6", width: "0" }));
}

export function drawBar(root, value) {
  setAttribute(root.lastElementChild, "width", (100 * (value ?? 0)).toFixed(1));
}

