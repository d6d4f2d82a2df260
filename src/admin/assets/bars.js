// The exchanges as bars on a time axis. Only the rows that can be seen are made; a bar stands still in
// its lane, and all lanes move together, so that a thousand of them cost no more than thirty.

import { $, el, text } from "./dom.js";
import { doing, lasting, request, wrong } from "./words.js";
import { segments } from "./stages.js";

export class Bars {
  #box = $("bars");
  #space = el("div");
  #rows = [];
  #shown = new Map();
  #selected = null;
  #span = 30_000;
  /** Pixels are counted from this moment. */
  #base = 0;
  #scale = 0;
  #height = 26;
  /** Of the box. */
  #lines = 0;
  #open;

  constructor(open) {
    this.#open = open;
    this.#space.setAttribute("role", "presentation");
    this.#box.append(this.#space);
    this.#box.addEventListener("scroll", () => this.#place(), { passive: true });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#box.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#measure()).observe(this.#box);
    this.#axis();
  }

  set span(span) {
    this.#span = span;
    this.#axis();
    this.#measure();
  }

  get selected() {
    return this.#selected;
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  /** Draws these groups, [title, exchanges]. */
  draw(groups, model, places) {
    this.#rows = [];
    let position = 0;
    const count = groups.reduce((sum, [, list]) => sum + list.length, 0);
    for (const [title, list] of groups) {
      if (!list.length) continue;
      this.#rows.push({ key: `group ${title}`, title, count: list.length });
      for (const one of list) this.#rows.push({ key: one.serial, one, position: ++position, count });
    }
    this.model = model;
    this.places = places;
    const height = `${this.#rows.length * this.#height}px`;
    if (this.#space.style.height !== height) this.#space.style.height = height;
    // It grows with what there is to see, and does not jump back at each that ends.
    const lines = Math.min(Math.max(this.#rows.length, LEAST, this.#rows.length && this.#lines), MOST);
    if (lines !== this.#lines) this.#box.style.height = `${lines * this.#height}px`;
    this.#lines = lines;
    this.#place();
    this.#move();
  }

  #measure() {
    this.#height = parseFloat(getComputedStyle(this.#box).getPropertyValue("--row")) || 26;
    for (const row of this.#shown.values()) row.element.remove();
    this.#shown.clear();
    [this.#scale, this.#lines] = [0, 0];
    if (this.model) this.#place();
  }

  #place() {
    const first = Math.max(Math.floor(this.#box.scrollTop / this.#height) - 4, 0);
    const last = first + Math.ceil(this.#box.clientHeight / this.#height) + 8;
    const wanted = new Set();
    let made = false;
    for (const [offset, row] of this.#rows.slice(first, last).entries()) {
      wanted.add(row.key);
      let shown = this.#shown.get(row.key);
      if (!shown) {
        shown = row.title ? group() : line(row.key);
        this.#shown.set(row.key, shown);
        this.#space.append(shown.element);
        made = true;
      }
      const top = (first + offset) * this.#height;
      if (shown.top !== top) shown.element.style.transform = `translateY(${top}px)`;
      shown.top = top;
      if (row.title) text(shown.element, `${row.title} · ${row.count}`);
      else this.#fill(shown, row);
    }
    for (const [key, row] of this.#shown) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.#shown.delete(key);
    }
    // What comes into sight by scrolling does not wait for the next drawing.
    if (made) this.#move();
    const active = this.#shown.get(this.#selected);
    if (active) this.#box.setAttribute("aria-activedescendant", active.element.id);
    else this.#box.removeAttribute("aria-activedescendant");
  }

  #fill(shown, { one, position, count }) {
    const { element } = shown;
    const now = this.model.now();
    const held = this.model.isHeld(one);
    const place = this.places.get(one.serial);
    const word = doing(one, held);
    if (!this.#scale) this.#fit(shown);
    element.setAttribute("aria-selected", String(one.serial === this.#selected));
    element.setAttribute("aria-posinset", position);
    element.setAttribute("aria-setsize", count);
    text(shown.place, place ? `${place}.` : "");
    text(shown.time, lasting(quarter((one.until ?? now) - one.began, one.ended)));
    // The bar grows by itself: its end lies in the future, and out of sight.
    const fresh = shown.one === one && shown.base === this.#base && shown.held === held && (one.ended || shown.until > now + 1000);
    if (fresh) return;
    Object.assign(shown, { one, base: this.#base, held, until: now + AHEAD });
    text(shown.path, request(one));
    const bad = one.ended && wrong(one) !== null;
    const known = one.ended === "abandoned" ? null : one.status ?? one.backend_status;
    const status = one.ended && known ? `${known} ` : "";
    text(shown.word, `${status}${word}`);
    element.className = `row${bad ? " bad" : ""}${one.orphan ? " orphaned" : ""}`;
    const parts = segments(one, now + AHEAD, held).map(({ kind, from, to }) => bar(`is-${kind}`, this.#x(from), this.#x(to) - this.#x(from)));
    if (one.left_at && one.left_at > one.began) parts.push(bar("mark", this.#x(one.left_at)));
    if (bad) parts.push(bar("mark bad", this.#x(one.until) - 3));
    shown.lane.replaceChildren(...parts);
  }

  #fit(shown) {
    this.#scale = shown.track.clientWidth / this.#span;
    this.#base = this.model.now();
  }

  #x(at) {
    // Far outside, a pixel more or less is none.
    return Math.round(Math.max((at - this.#base) * this.#scale, -1e6) * 10) / 10;
  }

  /** Where "now" will be when this is called next: the lanes glide there. */
  #move() {
    if (!this.#scale) return;
    const glide = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : GLIDE;
    const now = this.model.now() + glide;
    const shift = this.#span * this.#scale - (now - this.#base) * this.#scale;
    if (now - this.#base > 20 * this.#span) {
      this.#base = now;
      return this.#place();
    }
    for (const row of this.#shown.values()) {
      if (!row.lane) continue;
      row.lane.style.transition = row.moved && glide ? `transform ${glide}ms linear` : "none";
      row.lane.style.transform = `translateX(${shift.toFixed(1)}px)`;
      row.moved = true;
    }
  }

  #axis() {
    const part = this.#span / 3;
    const label = (ms) => (ms ? `−${lasting(ms).replace(/ 0 s$/, "")}` : "now");
    $("axis").replaceChildren(...[3, 2, 1, 0].map((parts) => {
      const mark = el("span", {}, label(parts * part));
      mark.style.left = `${(1 - parts / 3) * 100}%`;
      return mark;
    }));
  }

  #key(event) {
    const list = this.#rows.filter((row) => row.one);
    const at = list.findIndex((row) => row.key === this.#selected);
    const page = Math.max(Math.floor(this.#box.clientHeight / this.#height) - 1, 1);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: list.length - 1 }[event.key];
    if (to !== undefined && list.length) {
      event.preventDefault();
      this.#select(list[Math.min(Math.max(to, 0), list.length - 1)].key);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      this.#open(this.#selected);
    }
  }

  #click(event) {
    const row = event.target.closest("[role=option]");
    // Who selects text wants no panel.
    if (!row || String(getSelection())) return;
    this.#select(Number(row.dataset.serial));
    this.#open(this.#selected);
  }

  #select(serial) {
    this.#selected = serial;
    const top = this.#rows.findIndex((row) => row.key === serial) * this.#height;
    const { scrollTop, clientHeight } = this.#box;
    if (top < scrollTop) this.#box.scrollTop = top - this.#height;
    else if (top + this.#height > scrollTop + clientHeight) this.#box.scrollTop = top + this.#height - clientHeight;
    this.#place();
  }
}

function line(serial) {
  const [place, path, lane, word, time] = ["place", "path", "lane", "word", "time"].map((className) => el("span", { className }));
  // What changes all the time is not to be read aloud all the time.
  time.setAttribute("aria-hidden", "true");
  const track = el("span", { className: "track" }, lane);
  const label = el("span", { className: "label" }, place, path);
  const state = el("span", { className: "state" }, word, time);
  const element = el("div", { className: "row", role: "option", id: `exchange-${serial}`, "data-serial": serial }, label, track, state);
  return { element, place, path, track, lane, word, time };
}

function group() {
  return { element: el("div", { className: "row group", "aria-hidden": "true" }) };
}

function bar(kind, from, width) {
  const made = el("i", { className: kind });
  made.style.left = `${from}px`;
  if (width !== undefined) made.style.width = `${width.toFixed(1)}px`;
  return made;
}

/** What still grows need not flicker. */
const quarter = (ms, ended) => (ended || ms < 1000 ? ms : Math.round(ms / 100) * 100);

/** Rows that the box has room for. */
const LEAST = 6;
const MOST = 16;
/** How far a bar that grows reaches into the future. */
const AHEAD = 15_000;
/** The time from one drawing to the next. */
const GLIDE = 250;
