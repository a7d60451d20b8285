// Tables: of columns that know how to fill their cells, and that can be sorted where they have a value to sort by.

import { h, keyed, setText } from "./dom.js";

/**
 * A column is { label, text(row) } for text, or { label, create(row), update(cell, row) } for more; `sort(row)` is what it is sorted
 * by; `kind` is "number", "main" or nothing; `isMinor` leaves it out on small screens,
 * and a table that `isFolded` has its cells below one another there.
 */
export class Table {
  constructor(parent, { columns, keyOf, empty, isFolded = false }) {
    Object.assign(this, { columns, keyOf });
    this.rows = [];
    this.order = null;
    this.body = h("tbody");
    this.heads = columns.map((column, at) => h("th", { scope: "col", class: classes(column) }, this.head(column, at)));
    this.empty = h("p", { class: "muted empty-table", hidden: true }, empty);
    this.table = h("table", { class: isFolded ? "fold" : null }, h("thead", {}, h("tr", {}, this.heads)), this.body);
    parent.replaceChildren(this.table, this.empty);
  }

  head(column, at) {
    if (!column.sort) return column.label;
    return h("button", { type: "button", class: "sort", click: () => this.sortBy(at) }, column.label);
  }

  sortBy(at) {
    const isAgain = this.order?.at === at;
    this.order = isAgain && !this.order.isDown ? null : { at, isDown: !isAgain };
    for (const [index, head] of this.heads.entries()) {
      if (this.order?.at === index) head.setAttribute("aria-sort", this.order.isDown ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.draw(true);
  }

  /** Shows these rows. While somebody reads or uses the table, rows keep their places. */
  show(rows) {
    this.rows = rows;
    this.draw(!this.body.matches(":hover, :focus-within"));
  }

  draw(mayMove) {
    this.table.hidden = this.rows.length === 0;
    this.empty.hidden = this.rows.length > 0;
    keyed(this.body, mayMove ? this.sorted() : this.inPlace(), this.keyOf, () => this.create(), (row, item) => this.update(row, item));
  }

  sorted() {
    if (!this.order) return this.rows;
    const { at, isDown } = this.order;
    const value = (row) => this.columns[at].sort(row) ?? -Infinity;
    const compare = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    return [...this.rows].sort((a, b) => (isDown ? compare(b, a) : compare(a, b)));
  }

  inPlace() {
    const rows = new Map(this.rows.map((row) => [String(this.keyOf(row)), row]));
    const before = [...this.body.children].map((child) => child.dataset.key).filter((key) => rows.has(key));
    const known = new Set(before);
    return [...before.map((key) => rows.get(key)), ...this.rows.filter((row) => !known.has(String(this.keyOf(row))))];
  }

  create() {
    return h("tr", {}, this.columns.map((column) => h("td", { class: classes(column), "data-label": column.label }, column.create?.())));
  }

  update(row, item) {
    for (const [at, column] of this.columns.entries()) {
      if (column.update) column.update(row.children[at], item);
      else setText(row.children[at], column.text(item));
    }
  }
}

function classes({ kind, isMinor }) {
  return [kind, isMinor ? "minor" : ""].filter(Boolean).join(" ");
}
