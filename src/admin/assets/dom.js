// Making elements. What strangers wrote becomes text, and never markup.

export const $ = (id) => document.getElementById(id);

/** An element with these properties and children; strings become text. */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets the text only where it differs: a selection stays, and nothing is laid out anew. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Replaces the children where `key` differs from that of last time. */
export function redraw(element, key, children) {
  if (element.drawn === key) return;
  element.drawn = key;
  element.replaceChildren(...children());
}

/** A table; each column is [title, class, cell(row)]. */
export function table(columns, rows, caption) {
  const head = el("tr", {}, ...columns.map(([title, kind]) => el("th", { scope: "col", className: kind }, title)));
  const body = rows.map((row) => el("tr", {}, ...columns.map(([, kind, cell]) => el("td", { className: kind }, cell(row)))));
  return el("table", {}, el("caption", { className: "unseen" }, caption), el("thead", {}, head), el("tbody", {}, ...body));
}
