// Elements. What the API and its clients have written is text and goes in as text nodes: nothing here reads HTML.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; `null` and `undefined` children are left out. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null));
  return node;
}

/** Changes the text where it is another, so that a selection in it stays. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Text in which `backticks` mark code. */
export function prose(text) {
  return String(text ?? "")
    .split("`")
    .map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/**
 * Makes the children of `parent` those of `items`, in their order. A child is kept as long as its key is there, so that
 * the focus, a selection and the place of the scrollbar stay.
 */
export function keyed(parent, items, keyOf, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    known.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
    update(child, item);
  }
  for (const child of known.values()) child.remove();
}

/** A button that opens another view with something filled in. */
export function action(label, subject, go) {
  return h("button", { type: "button", class: "quiet", "aria-label": `${label} ${subject}`, click: go }, label);
}
